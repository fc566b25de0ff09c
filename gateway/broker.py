"""The Kafka cluster that the settings name."""

from adapters.bus.kafka_client import Cluster
from gateway.settings import Settings


class BrokerRefused(Exception):
    """The cluster's settings can't be used; one sentence, without a value."""


def cluster(settings: Settings) -> Cluster | None:
    """The cluster and our way in; None: the log itself carries messages. Raises BrokerRefused."""
    if settings.kafka_bootstrap is None:
        return None
    found = Cluster(
        settings.kafka_bootstrap,
        protocol=settings.kafka_protocol,
        mechanism=settings.kafka_mechanism,
        username=settings.kafka_username,
        password=_password(settings),
        ca_file=settings.kafka_ca_file,
        certificate_file=settings.kafka_certificate_file,
        key_file=settings.kafka_key_file,
        session=settings.kafka_session_seconds,
        instance=settings.kafka_instance,
    )
    try:
        found.connection()
    except OSError as error:
        raise BrokerRefused(
            f"The certificate files of Kafka can't be used ({type(error).__name__}); see ORIGIN_KAFKA_CA_FILE,"
            " ORIGIN_KAFKA_CERTIFICATE_FILE, ORIGIN_KAFKA_KEY_FILE."
        ) from error
    return found


def _password(settings: Settings) -> str | None:
    if settings.kafka_password is not None:
        return settings.kafka_password.get_secret_value()
    if settings.kafka_password_file is None:
        return None
    try:
        return settings.kafka_password_file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BrokerRefused("ORIGIN_KAFKA_PASSWORD_FILE can't be read.") from error
