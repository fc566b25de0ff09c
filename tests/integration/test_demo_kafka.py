"""`origin demo --kafka`: the whole way by way of a real broker, and again on what it left."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from gateway.app import Gateway
from gateway.dev_kafka.cluster import Kafka
from simulators.demo import main
from tests.fixtures_kafka import BROKER_GOES_AWAY
from tests.integration.test_demo import assert_whole
from tests.leftovers import leftovers

pytestmark = BROKER_GOES_AWAY


@pytest.mark.long
@pytest.mark.timeout(300)
def test_the_whole_way_on_kafka_and_again(tmp_path: Path) -> None:
    for _ in range(2):
        said = io.StringIO()
        assert main(Gateway, tmp_path, Console(file=said, width=120), kafka=Kafka) == 0, said.getvalue()
        assert "carries the messages" in said.getvalue()
        assert_whole(tmp_path)
    assert not leftovers(tmp_path)
