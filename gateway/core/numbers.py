"""Certificate numbers (证书编号): type + 2-digit year + 9-character organisation code + 4-character serial.

Source: GACC notice 2022-1 (CertNo), declaration manual, terms (新证): the serial counts from 1 per type and year
and may start with the user's own prefix of 1 to 3 letters or digits (证书号序列自定义前缀).
"""

import re
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

SHANGHAI = ZoneInfo("Asia/Shanghai")
SERIAL_LENGTH = 4
LITTLE = 50
LITTLE_PART = 20
"""So many numbers, and this part of a series, are never an unusual hour or day (ours): 499 of 9,999."""
FAR = 3
"""Times the busiest hour or day so far (ours)."""


class Series(NamedTuple):
    """One counter: numbers of one organisation, type, year and prefix."""

    organisation: str
    certificate_type: str
    year: str
    prefix: str

    @property
    def capacity(self) -> int:
        """Numbers in the series: 9999 without a prefix, 9 with three characters of prefix."""
        return int(10 ** (SERIAL_LENGTH - len(self.prefix))) - 1

    @property
    def blank(self) -> str:
        """What stands for a number of the series until one is drawn: serial 0, which is never given."""
        return _blank(self)

    def number(self, serial: int) -> str:
        """The certificate number of `serial`, which counts from 1. Raises SeriesFull beyond the capacity."""
        if serial > self.capacity:
            raise SeriesFull(self)
        digits = SERIAL_LENGTH - len(self.prefix)
        return f"{self.certificate_type}{self.year}{self.organisation}{self.prefix}{serial:0{digits}d}"


class SeriesFull(Exception):
    """No number is left in a series; another prefix opens a new one."""

    def __init__(self, series: Series) -> None:
        self.series = series
        super().__init__(f"series {series.certificate_type}{series.year} with prefix '{series.prefix}' is full")


class Pace(NamedTuple):
    """How fast a series empties, beside what was usual for its owner, the organisation, in the four weeks before."""

    series: Series
    in_hour: int
    """Numbers drawn since the hour before this one began."""
    in_day: int
    """Since midnight in Shanghai."""
    busiest_hour: int
    """The most that was drawn in an hour from one series of the owner's, before today."""
    busiest_day: int

    @property
    def unusual(self) -> bool:
        """Far more than ever; what is little for the series is never unusual."""
        little = max(LITTLE, self.series.capacity // LITTLE_PART)
        return self.in_hour > max(little, FAR * self.busiest_hour) or self.in_day > max(little, FAR * self.busiest_day)


@lru_cache(maxsize=1024)
def _blank(of: Series) -> str:
    """Remembered: a batch asks for each of its declarations."""
    return of.number(0)


@lru_cache(maxsize=1024)
def series(certificate_type: str, exporter_code: str, prefix: str, now: datetime) -> Series:
    """The series a new number comes from. Organisation code = characters 9 to 17 of the credit code (GB 32100).
    Remembered: a batch has one time and few enterprises."""
    return Series(exporter_code[8:17], certificate_type, _year(now), prefix)


@lru_cache(maxsize=16)
def _year(now: datetime) -> str:
    """Remembered: a batch has one time."""
    return f"{now.astimezone(SHANGHAI):%y}"


_SHAPE = re.compile(r"[A-Za-z]{1,2}[0-9]{2}([0-9A-Za-z]{9})[0-9A-Za-z]{4}")


def organisation_in(number: str) -> str | None:
    """The organisation code in `number`; None when it does not have the shape of a certificate number of any type."""
    found = _SHAPE.fullmatch(number)
    return found[1] if found else None


def well_formed(number: str, certificate_type: str, exporter_code: str) -> bool:
    """True when `number` has the shape of a number of this type and exporter."""
    head, organisation = re.escape(certificate_type), re.escape(exporter_code[8:17])
    pattern = rf"{head}[0-9]{{2}}{organisation}[0-9A-Za-z]{{{SERIAL_LENGTH}}}"
    return re.fullmatch(pattern, number) is not None
