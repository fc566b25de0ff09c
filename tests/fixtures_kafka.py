"""A real Kafka for tests: one broker a run. Topics are the tests' own: each makes some with names of its own.

With ORIGIN_KAFKA_BOOTSTRAP set, `kafka_bootstrap` is that address and no broker is started for it.
"""

import gc
import os
from collections.abc import Iterator

import pytest

from gateway.dev_kafka.cluster import Kafka

BROKER_GOES_AWAY = [
    pytest.mark.usefixtures("collected"),
    pytest.mark.filterwarnings("ignore:.*(socket.socket|_SelectorTransport):pytest.PytestUnraisableExceptionWarning"),
]
"""For tests in whose process a client loses its broker: aiokafka, which was just connecting, sometimes leaves that
connection unclosed. It is collected, and let pass, here; else it breaks whatever test Python collects it in."""


@pytest.fixture
def collected() -> Iterator[None]:
    """Everything that nobody holds any longer has gone when the test ends."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def kafka_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """The run's broker, with TLS listeners too; about 3 s. A test that kills or pauses it starts it again."""
    with Kafka(tmp_path_factory.mktemp("kafka"), sasl=True, die_with_parent=True) as server:
        yield server


@pytest.fixture
def kafka_bootstrap(request: pytest.FixtureRequest) -> str:
    """host:port of a broker that answers."""
    given = os.environ.get("ORIGIN_KAFKA_BOOTSTRAP")
    if given:
        return given
    server: Kafka = request.getfixturevalue("kafka_server")
    return server.bootstrap
