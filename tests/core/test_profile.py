"""The format of profiles and code lists: what is refused at load."""

import pytest

from gateway.core.profile import ProfileError, load_codelists, load_profiles
from gateway.runtime.catalog import load_checks, load_lists

PROFILE = """
[profile]
type = "C"
title = "t"
zh = "z"
agreement = ""
form = "C"
version = "1"
valid_from = "2022-01-01"
number = "C[0-9]+"
includes = ["common"]
"""
RULE = """
[[rule]]
id = "{id}"
path = "marks"
word = "present"
message = "m"
remedy = "r"
source = "s"
sure = "V"
"""


def test_included_rules_come_first() -> None:
    found = load_profiles({"C": PROFILE + RULE.format(id="C-001"), "common": RULE.format(id="COM-001")})
    assert [rule.id for rule in found["C"].rules] == ["COM-001", "C-001"]


@pytest.mark.parametrize(
    ("texts", "complaint"),
    [
        ({"C": PROFILE}, "includes common, which is missing"),
        ({"C": "[profile"}, "profiles/C.toml"),
        ({"C": '[profile]\ntype = "C"'}, "title: Field required"),
        ({"C": PROFILE + 'colour = "red"', "common": ""}, "colour"),
        ({"common": "[[rules]]\n"}, "unknown table rules"),
        ({"common": RULE.format(id="C1")}, "id"),
        ({"common": RULE.format(id="C-001").replace("V", "sure")}, "sure"),
        ({"common": RULE.format(id="C-001") + 'colour = "red"'}, "colour"),
        ({"common": RULE.format(id="C-001") * 2}, "C-001 is taken"),
        ({"a": RULE.format(id="C-001"), "b": RULE.format(id="C-001")}, "C-001 is taken, in a.toml"),
        ({"a": 'retired = ["C-001"]', "b": RULE.format(id="C-001")}, "C-001 is taken"),
        ({"C": PROFILE, "C2": PROFILE, "common": ""}, "has a profile already"),
    ],
)
def test_what_is_refused_at_load(texts: dict[str, str], complaint: str) -> None:
    with pytest.raises(ProfileError, match=complaint):
        load_profiles(texts)


LIST = '[[list]]\nname = "moons"\nfile = "moons.csv"\ncomplete = true\nsource = "s"\nsure = "{sure}"\n'


@pytest.mark.parametrize(
    ("index", "files", "complaint"),
    [
        (LIST.format(sure="V"), {}, "moons.csv, which is missing"),
        (LIST.format(sure="V") * 2, {"moons.csv": "code\n1\n"}, "names moons twice"),
        (LIST.format(sure="V"), {"moons.csv": "code,en\n1,a\n1,b\n"}, "a row without a code of its own"),
        (LIST.format(sure="V"), {"moons.csv": "code,en\n,a\n"}, "a row without a code"),
        (LIST.format(sure="V"), {"moons.csv": "code,en\n1\n"}, "a row without"),
        (LIST.format(sure="?"), {"moons.csv": "code\n1\n"}, "sure"),
    ],
)
def test_wrong_code_lists(index: str, files: dict[str, str], complaint: str) -> None:
    with pytest.raises(ProfileError, match=complaint):
        load_codelists(index, files)


def test_a_list_from_a_weak_source_counts_as_incomplete() -> None:
    files = {"moons.csv": "code\n1\n"}
    assert load_codelists(LIST.format(sure="H"), files)["moons"].complete
    assert not load_codelists(LIST.format(sure="M"), files)["moons"].complete


def test_the_packaged_ones_load() -> None:
    assert set(load_checks()) == {"C", "RC"}
    assert load_lists()["countries"].rows["156"]["zh"] == "中国"
    assert {"036", "392", "764"} <= set(load_lists()["rcep_members"].rows)
    for one in load_lists().values():
        assert all(set(row) == {"code", "en", "zh", "source", "sure"} for row in one.rows.values()), one.name
