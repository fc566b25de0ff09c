"""The certificate types that are packaged: profiles and code lists read from `schemas` and compiled once at start."""

from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

import schemas
from gateway.core.checks import Checks, compile_profile
from gateway.core.faults import Fault
from gateway.core.overdue import Rules, load_rules
from gateway.core.profile import CodeList, Profile, load_codelists, load_profiles, sourced
from gateway.core.quotas import Limits, load_quotas
from gateway.ports import Reading
from gateway.runtime.sources import load_register, source


@cache
def load_lists() -> Mapping[str, CodeList]:
    """Every code list by name. Raises ProfileError."""
    return load_codelists(schemas.read_text("codelists", "index.toml"), schemas.read_texts("codelists", ".csv"))


@cache
def load_types() -> Mapping[str, Profile]:
    """Profiles by certificate type, with their sources told. Raises ProfileError."""
    register = load_register()
    texts = schemas.read_texts("profiles", ".toml")
    profiles = load_profiles({name.removesuffix(".toml"): text for name, text in texts.items()})
    return MappingProxyType({kind: sourced(profile, register) for kind, profile in sorted(profiles.items())})


@cache
def load_checks() -> Mapping[str, Checks]:
    """Compiled checks by certificate type. Raises ProfileError."""
    lists = load_lists()
    return MappingProxyType({kind: compile_profile(profile, lists) for kind, profile in load_types().items()})


@cache
def load_overdue() -> Rules:
    """The shipped rules about what is overdue. Raises RulesRefused."""
    return load_rules(schemas.read_text("overdue.toml"))


@cache
def load_limits() -> Limits:
    """The shipped quotas of a client. Raises QuotasRefused."""
    return load_quotas(schemas.read_text("quotas.toml"))


class ProfileChecks:
    """Judges a declaration by the profile of its type; implements the door's `Checks`."""

    def __init__(self, checks: Mapping[str, Checks] | None = None) -> None:
        self._checks = load_checks() if checks is None else checks

    def faults(self, reading: Reading) -> list[Fault]:
        """Every broken rule with the path and line in the sender's document; an unknown type is one fault."""
        checks = self._checks.get(reading.fields["certificate_type"])
        if checks is None:
            path, line = reading.locate(("certificate_type",))
            return [
                Fault(
                    code="PROFILE-TYPE",
                    path=path,
                    line=line,
                    message="There is no profile for this certificate type.",
                    remedy=f"Types that can be declared here: {', '.join(sorted(self._checks))}.",
                    source=source("decision-0034"),
                )
            ]
        return [finding.fault(reading.locate) for finding in checks.run(reading.fields)]


def form_of(certificate_type: str) -> str:
    """The form of a certificate type, a folder of ``schemas/forms``. Raises KeyError for a type without profile."""
    return load_checks()[certificate_type].header.form
