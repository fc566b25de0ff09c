"""What processes tell each other of their clients' use, in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from gateway.core.quotas import Used
from gateway.runtime.quotas import Count


class MemoryQuotas:
    """See `gateway.runtime.quotas.QuotaTable`."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, UUID], Used] = {}

    async def exchange(
        self, process: UUID, own: Sequence[Count], asked: Sequence[str], minute: int, day: int
    ) -> Mapping[str, Used]:
        """What others count of `asked`."""
        self._rows |= {(one.client, process): replace(one.used) for one in own}
        found: dict[str, Used] = {}
        for (client, writer), row in self._rows.items():
            if writer != process and client in asked:
                now = replace(row)
                now.turn_to(minute, day)
                others = found.setdefault(client, Used(minute, day))
                others.declarations_in_minute += now.declarations_in_minute
                others.bytes_in_minute += now.bytes_in_minute
                others.declarations_in_day += now.declarations_in_day
                others.bytes_in_day += now.bytes_in_day
        return found
