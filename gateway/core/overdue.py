"""Overdue rules as data: how long what is waited for, and whether the declaration is then sent to customs again.

The shipped rules are ``schemas/overdue.toml``; `gateway.runtime.catalog` reads them. A due date is a row; when it has
come, what the rule allows travels in the `TimerDue` message, so that `decide` needs nothing but state and message.
"""

import tomllib
from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Annotated

from pydantic import Field, ValidationError, model_validator

from gateway.core.messages import Reminder
from gateway.core.value import Value


class RulesRefused(Exception):
    """Overdue rules that can't be used; every mistake with its place."""


class Rule(Value):
    """When `about` is overdue, and what follows besides the alarm."""

    about: Reminder
    title: str
    zh: str
    after: Annotated[timedelta, Field(gt=timedelta(0), le=timedelta(days=366))]
    resends: Annotated[int, Field(ge=0, le=20)] = 0
    """How often the declaration is sent to customs again; then alarm only."""
    again: Annotated[timedelta, Field(gt=timedelta(0), le=timedelta(days=366))] | None = None
    """The time after each resend; None: `after`."""
    source: str
    sure: Annotated[str, Field(pattern="^(V|H|M|L|mem|ours)$")]

    @model_validator(mode="after")
    def _only_what_customs_never_answered(self) -> "Rule":
        if self.resends and self.about is not Reminder.CUSTOMS_RECEIPT:
            raise ValueError("only customs_receipt may be sent again")
        return self

    def wait(self, resends: int) -> timedelta:
        """How long from now until it is overdue, after so many resends."""
        return (self.again or self.after) if resends else self.after


Rules = Mapping[str, Rule]
"""Reminder -> its rule."""


def load_rules(text: str, shipped: Rules = MappingProxyType({})) -> Rules:
    """The rules of a TOML text, one for each reminder; what it does not name goes by the `shipped` rules. Raises
    RulesRefused."""
    try:
        rows = tomllib.loads(text).get("rule", [])
        rules = [Rule.model_validate(row) for row in rows]
    except tomllib.TOMLDecodeError as error:
        raise RulesRefused(f"This is not TOML: {error}.") from None
    except ValidationError as error:
        told = [
            f"{'.'.join(str(part) for part in one['loc']) or 'rule'}: {one['msg']}."
            for one in error.errors(include_input=False, include_url=False)
        ]
        raise RulesRefused(f"A rule about what is overdue can't be used: {' '.join(told)}") from None
    found: dict[str, Rule] = {rule.about: rule for rule in rules}
    whole: dict[str, Rule] = {**shipped, **found}
    if len(found) != len(rules) or set(whole) != set(Reminder):
        raise RulesRefused(f"There must be one rule about each of: {', '.join(Reminder)}.")
    return MappingProxyType(whole)
