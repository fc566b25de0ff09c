"""What one client may do, as data: limits, how they are counted, and when to come again. Pure.

The shipped limits are ``schemas/quotas.toml``; `gateway.runtime.catalog` reads them, `gateway.runtime.quotas` counts.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Annotated, Final, NamedTuple

from pydantic import Field, ValidationError

from gateway.core.value import Value

MINUTE: Final = 60
DAY: Final = 86_400
SHANGHAI: Final = 8 * 3600
"""Seconds that Shanghai's day is ahead of UTC's; there is no summer time."""


class Quota(StrEnum):
    """What is limited."""

    __hash__ = str.__hash__  # an enumeration's own is written in Python, and quotas are looked up for every request

    DECLARATIONS_PER_MINUTE = "declarations_per_minute"
    DECLARATIONS_PER_DAY = "declarations_per_day"
    BYTES_PER_MINUTE = "bytes_per_minute"
    BYTES_PER_DAY = "bytes_per_day"
    CONNECTIONS = "connections"
    STREAMS = "streams"
    OPEN_DRAFTS = "open_drafts"


class QuotasRefused(Exception):
    """Quotas that can't be used; every mistake with its place."""


class Over(NamedTuple):
    """A client has done as much as it may: which quota, how much that is, and in how many seconds to come again."""

    quota: Quota
    most: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Limits:
    """One client's quotas; None: no limit."""

    declarations_per_minute: int | None = None
    declarations_per_day: int | None = None
    bytes_per_minute: int | None = None
    bytes_per_day: int | None = None
    connections: int | None = None
    streams: int | None = None
    open_drafts: int | None = None

    def but(self, own: Mapping[str, int | None]) -> "Limits":
        """These, but for a client's own. A quota that this version does not know is passed over."""
        if not own:
            return self
        known = {field.name for field in fields(self)} & own.keys()
        return replace(self, **{name: own[name] for name in known})


NO_LIMITS: Final = Limits()


class _Row(Value):
    name: Quota
    title: str
    zh: str
    most: Annotated[int, Field(ge=1, le=1 << 62)] | None = None
    why: str
    source: str


def load_quotas(text: str) -> Limits:
    """The limits of a TOML text, one for each quota. Raises QuotasRefused."""
    try:
        rows = [_Row.model_validate(row) for row in tomllib.loads(text).get("quota", [])]
    except tomllib.TOMLDecodeError as error:
        raise QuotasRefused(f"This is not TOML: {error}.") from None
    except ValidationError as error:
        told = [
            f"{'.'.join(str(part) for part in one['loc']) or 'quota'}: {one['msg']}."
            for one in error.errors(include_input=False, include_url=False)
        ]
        raise QuotasRefused(f"A quota can't be used: {' '.join(told)}") from None
    found = {row.name.value: row.most for row in rows}
    if len(found) != len(rows) or set(found) != set(Quota):
        raise QuotasRefused(f"There must be one of each: {', '.join(Quota)}.")
    return Limits(**found)


@dataclass(slots=True)
class Used:
    """What was used in one minute and one day (of Shanghai), each by its number since 1970."""

    minute: int
    day: int
    declarations_in_minute: int = 0
    bytes_in_minute: int = 0
    declarations_in_day: int = 0
    bytes_in_day: int = 0

    def turn_to(self, minute: int, day: int) -> None:
        """Begin anew what is over."""
        if minute != self.minute:
            self.minute, self.declarations_in_minute, self.bytes_in_minute = minute, 0, 0
        if day != self.day:
            self.day, self.declarations_in_day, self.bytes_in_day = day, 0, 0

    def add(self, declarations: int, size: int) -> None:
        """So many more, of `size` bytes in all."""
        self.declarations_in_minute += declarations
        self.bytes_in_minute += size
        self.declarations_in_day += declarations
        self.bytes_in_day += size

    def take_back(self, declarations: int, size: int) -> None:
        """So many fewer; what was added before this minute or day began can't be taken from it."""
        self.declarations_in_minute = max(0, self.declarations_in_minute - declarations)
        self.bytes_in_minute = max(0, self.bytes_in_minute - size)
        self.declarations_in_day = max(0, self.declarations_in_day - declarations)
        self.bytes_in_day = max(0, self.bytes_in_day - size)


def windows(now: float) -> tuple[int, int]:
    """(minute, day) of a moment, seconds since 1970."""
    return int(now) // MINUTE, (int(now) + SHANGHAI) // DAY


def over(limits: Limits, own: Used, others: Used, now: float) -> Over | None:
    """The quota that leaves no room for another declaration; one of the day, which stays longest, goes first.

    There is room while anything is left, whatever the next declaration's size: its size is not known before it is here.
    Asked for every declaration, so written out.
    """
    most = limits.declarations_per_day
    if most is not None and own.declarations_in_day + others.declarations_in_day >= most:
        return Over(Quota.DECLARATIONS_PER_DAY, most, _until_midnight(now))
    most = limits.bytes_per_day
    if most is not None and own.bytes_in_day + others.bytes_in_day >= most:
        return Over(Quota.BYTES_PER_DAY, most, _until_midnight(now))
    most = limits.declarations_per_minute
    if most is not None and own.declarations_in_minute + others.declarations_in_minute >= most:
        return Over(Quota.DECLARATIONS_PER_MINUTE, most, MINUTE - int(now) % MINUTE)
    most = limits.bytes_per_minute
    if most is not None and own.bytes_in_minute + others.bytes_in_minute >= most:
        return Over(Quota.BYTES_PER_MINUTE, most, MINUTE - int(now) % MINUTE)
    return None


def _until_midnight(now: float) -> int:
    return DAY - (int(now) + SHANGHAI) % DAY
