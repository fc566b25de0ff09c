"""Rules of the gateway that an operator may have a file of his own for; else the shipped ones count."""

from pathlib import Path

from gateway.core.overdue import Rules, load_rules
from gateway.core.quotas import NO_LIMITS, Limits, load_quotas
from gateway.runtime.catalog import load_limits, load_overdue
from gateway.settings import Settings

OFF = Path("off")
"""ORIGIN_QUOTAS: no quotas."""


def overdue_rules(settings: Settings) -> Rules:
    """What is overdue when. Raises RulesRefused and OSError."""
    path = settings.overdue_rules
    return load_overdue() if path is None else load_rules(path.read_text("utf-8", "replace"), load_overdue())


def limits(settings: Settings) -> Limits:
    """Quotas of a client that has none of its own. Raises QuotasRefused and OSError."""
    path = settings.quotas
    if path is None:
        return load_limits()
    return NO_LIMITS if path == OFF else load_quotas(path.read_text("utf-8", "replace"))
