"""The contract, on a real Kafka broker."""

from collections.abc import AsyncIterator

import pytest

from tests.contract.bus_suite import BusSuite
from tests.contract.kafka_harness import KafkaHarness


@pytest.fixture
async def harness(kafka_bootstrap: str) -> AsyncIterator[KafkaHarness]:
    harness = KafkaHarness(kafka_bootstrap)
    await harness.prepare()
    yield harness
    await harness.end()


class TestKafkaBus(BusSuite):
    """Every promise."""
