"""A broker killed for a minute, played whole: every role in a process of its own, the rules as they are shipped."""

import asyncio
from pathlib import Path

import pytest

from tests.integration.broker_away import killed
from tests.integration.kafka_office import office

ROLES = ("intake", "turn", "relay", "customs-simulator", "render", "print")


@pytest.mark.long
@pytest.mark.needs("prometheus", "prometheus-alertmanager")
@pytest.mark.timeout(600)
def test_a_broker_killed_for_a_minute(tmp_path: Path) -> None:
    with office(tmp_path, ROLES) as running:
        seen = asyncio.run(killed(running, tmp_path, seconds=60, factor=1, seed=44))
    print(f"fired: {seen.fired}", *(f"{name}: {value:.1f}" for name, value in seen.figures.items()), sep="\n")
    assert set(seen.pager) == {("BrokerAway", "firing"), ("BrokerAway", "resolved")}, "one cause, one alert"
