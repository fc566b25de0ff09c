"""How a cluster is named in settings: what belongs together, and what never shows."""

from pathlib import Path

import pytest

from gateway.broker import BrokerRefused, cluster
from gateway.settings import SettingsRefused, load

HUSH = "hush-hush"


def test_without_a_bootstrap_there_is_no_cluster() -> None:
    assert cluster(load(kafka_bootstrap="")) is None


def test_a_password_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "password").write_text(f"{HUSH}\n")
    common = {"kafka_bootstrap": "a:1,b:2", "kafka_protocol": "SASL_PLAINTEXT", "kafka_username": "gateway"}
    from_file = load(**common, kafka_password_file=tmp_path / "password", kafka_instance="host-1")
    monkeypatch.setenv("ORIGIN_KAFKA_PASSWORD", HUSH)
    from_environment = load(**common)
    for settings in (from_file, from_environment):
        found = cluster(settings)
        assert found is not None
        options = found.connection()
        assert options["bootstrap_servers"] == "a:1,b:2"
        assert options["sasl_mechanism"] == "SCRAM-SHA-512"
        assert (options["sasl_plain_username"], options["sasl_plain_password"]) == ("gateway", HUSH)
        assert HUSH not in f"{settings!r} {settings} {found!r} {settings.model_dump()}"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"kafka_protocol": "SASL_SSL"}, "ORIGIN_KAFKA_USERNAME"),
        ({"kafka_protocol": "SASL_SSL", "kafka_username": "u"}, "ORIGIN_KAFKA_PASSWORD_FILE"),
        (
            {
                "kafka_protocol": "SASL_SSL",
                "kafka_username": "u",
                "kafka_password": HUSH,
                "kafka_password_file": Path("p"),
            },
            "one of",
        ),
        ({"kafka_certificate_file": Path("c.pem")}, "go together"),
        ({"kafka_protocol": HUSH}, "ORIGIN_KAFKA_PROTOCOL"),
        ({"kafka_instance": f"{HUSH} with a blank"}, "ORIGIN_KAFKA_INSTANCE"),
    ],
)
def test_what_does_not_fit_together_is_refused_without_its_values(settings: dict[str, object], said: str) -> None:
    with pytest.raises(SettingsRefused) as refusal:
        load(kafka_bootstrap="a:1", **settings)
    assert said in str(refusal.value)
    assert HUSH not in str(refusal.value)


def test_files_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text(HUSH)
    for settings in (
        {"kafka_protocol": "SSL", "kafka_ca_file": tmp_path / "ca.pem"},
        {"kafka_protocol": "SSL", "kafka_ca_file": tmp_path / "missing.pem"},
        {
            "kafka_protocol": "SASL_PLAINTEXT",
            "kafka_username": "u",
            "kafka_password_file": tmp_path / "missing",
        },
    ):
        with pytest.raises(BrokerRefused, match="ORIGIN_KAFKA_") as refusal:
            cluster(load(kafka_bootstrap="a:1", **settings))
        assert HUSH not in str(refusal.value)
