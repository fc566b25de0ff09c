"""What we depend on: locked with hashes, above the floors that security needs, under licences we can ship."""

import re
import tomllib
from collections.abc import Callable, Iterable
from importlib.metadata import PackageNotFoundError, metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.architecture.tree import ROOT

LOCK = (ROOT / "constraints.txt").read_text(encoding="utf-8")
FLOORS = {"lxml": "6.1", "pillow": "12.3", "aiokafka": "0.14"}
AGPL = re.compile(r"\bAGPL|Affero", re.IGNORECASE)


def locked(text: str) -> dict[str, tuple[Requirement, int]]:
    """name -> (requirement, number of hashes) of a constraints file."""
    entries: dict[str, tuple[Requirement, int]] = {}
    for block in re.split(r"\n(?=[A-Za-z])", text):
        first = block.split("\\", 1)[0].strip()
        if re.match(r"[A-Za-z]", first):
            requirement = Requirement(first)
            entries[canonicalize_name(requirement.name)] = (
                requirement,
                len(re.findall(r"--hash=sha256:", block)),
            )
    return entries


def declared() -> list[Requirement]:
    """What pyproject.toml asks for, the tools of the developer and of the build included."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project = document["project"]
    return [
        Requirement(line)
        for line in (
            *project["dependencies"],
            *project["optional-dependencies"]["dev"],
            *document["build-system"]["requires"],
        )
    ]


def version(requirement: Requirement) -> Version:
    return Version(next(iter(requirement.specifier)).version)


def stale(requirements: Iterable[Requirement], lock: str) -> list[str]:
    """Declared dependencies that the lock lacks or holds too old."""
    entries = locked(lock)
    return [
        str(requirement)
        for requirement in requirements
        if canonicalize_name(requirement.name) not in entries
        or version(entries[canonicalize_name(requirement.name)][0]) not in requirement.specifier
    ]


def licence_of(name: str) -> str:
    """All an installed package says of its licence: expression, short field and classifiers."""
    about = metadata(name)
    short = [text.split("\n", 1)[0] for text in about.get_all("License") or []]
    classifiers = [line for line in about.get_all("Classifier") or [] if line.startswith("License")]
    return " | ".join([*(about.get_all("License-Expression") or []), *short, *classifiers])


def agpl(names: Iterable[str], licence: Callable[[str], str]) -> list[str]:
    """Those of `names` whose licence is the Affero GPL in any form. What is not installed is not judged."""
    found = []
    for name in names:
        try:
            if AGPL.search(licence(name)):
                found.append(name)
        except PackageNotFoundError:
            continue
    return found


def test_every_package_is_pinned_with_hashes() -> None:
    assert [
        name
        for name, (requirement, hashes) in locked(LOCK).items()
        if not hashes or not re.fullmatch(r"==[^*]+", str(requirement.specifier))
    ] == []


def test_lock_fits_the_project() -> None:
    assert stale(declared(), LOCK) == []


def test_lock_guard_notices() -> None:
    asked = [Requirement("lxml>=6.1"), Requirement("absent")]
    assert stale(asked, "lxml==6.0.2 \\\n    --hash=sha256:00\n") == ["lxml>=6.1", "absent"]


@pytest.mark.parametrize(("name", "floor"), FLOORS.items())
def test_floor_is_asked_for_locked_and_installed(name: str, floor: str) -> None:
    asked = next(requirement for requirement in declared() if requirement.name == name)
    assert not asked.specifier.contains(f"{floor}.dev0", prereleases=True)
    assert not asked.specifier.contains("0.1")
    assert version(locked(LOCK)[name][0]) >= Version(floor)
    assert Version(metadata(name)["Version"]) >= Version(floor)


def test_no_package_is_agpl() -> None:
    assert agpl(locked(LOCK), licence_of) == []


@pytest.mark.parametrize(
    "licence",
    [
        "AGPL-3.0-or-later",
        "GNU Affero General Public License v3",
        "MIT OR AGPL-3.0-only",
        "Dual: AGPLv3 or commercial",
    ],
)
def test_licence_guard_notices(licence: str) -> None:
    assert agpl(["bad", "good"], {"bad": licence, "good": "LGPL-2.1-or-later"}.__getitem__) == ["bad"]


def test_most_of_the_lock_is_judged() -> None:
    """A guard that finds nothing installed would pass for nothing."""
    judged = [name for name in locked(LOCK) if agpl([name], lambda name: licence_of(name) and "AGPL")]
    assert len(judged) > 0.8 * len(locked(LOCK))
