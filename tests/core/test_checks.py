"""Rule words and predicates, each held and broken; what is refused at load."""

import itertools
from typing import Any

import pytest
from stdnum.cn import ric

from gateway.core.checks import Checks, compile_profile
from gateway.core.faults import MAX_FAULTS, Severity
from gateway.core.predicates import COLLECTIVE_PREDICATES, PREDICATES, predicate
from gateway.core.profile import CodeList, ProfileError, load_profiles
from gateway.core.words import VOCABULARY
from gateway.runtime.catalog import load_checks, load_lists

HEADER = """[profile]
type = "C"
title = "t"
zh = "z"
agreement = ""
form = "C"
version = "1"
valid_from = "2022-01-01"
number = "C[0-9]+"
"""


def checks(rule: str) -> Checks:
    """A profile with one rule."""
    text = f'{HEADER}\n[[rule]]\nid = "C-001"\nmessage = "m"\nremedy = "r"\nsource = "s"\nsure = "V"\n{rule}\n'
    return compile_profile(load_profiles({"C": text})["C"], load_lists())


def places(rule: str, **fields: Any) -> list[tuple[str | int, ...]]:
    return [finding.place for finding in checks(rule).run(fields)]


HOLDS_BREAKS: list[tuple[str, dict[str, Any], dict[str, Any], list[tuple[str | int, ...]]]] = [
    ('word = "present"\npath = "marks"', {"marks": "x"}, {}, [("marks",)]),
    ('word = "absent"\npath = "marks"', {}, {"marks": "x"}, [("marks",)]),
    ('word = "equals"\npath = "marks"\nargs = {value = "x"}', {"marks": "x"}, {"marks": "y"}, [("marks",)]),
    (
        'word = "equals"\npath = "marks"\nargs = {path = "vessel"}',
        {"marks": "x", "vessel": "x"},
        {"marks": "x", "vessel": "y"},
        [("marks",)],
    ),
    ('word = "one_of"\npath = "marks"\nargs = {values = ["x"]}', {"marks": "x"}, {"marks": "y"}, [("marks",)]),
    (
        'word = "in_codelist"\npath = "currency"\nargs = {list = "currencies"}',
        {"currency": "USD"},
        {"currency": "502"},
        [("currency",)],
    ),
    (
        'word = "matches"\npath = "marks"\nargs = {pattern = "[0-9]{2}"}',
        {"marks": "12"},
        {"marks": "123"},
        [("marks",)],
    ),
    ('word = "max_length"\npath = "marks"\nargs = {limit = 2}', {"marks": "12"}, {"marks": "123"}, [("marks",)]),
    (
        'word = "decimal"\npath = "fob_value"\nargs = {whole = 2, fraction = 1}',
        {"fob_value": "12.5"},
        {"fob_value": "12.55"},
        [("fob_value",)],
    ),
    (
        'word = "min"\npath = "fob_value"\nargs = {value = 1}',
        {"fob_value": "1.0"},
        {"fob_value": "0.9"},
        [("fob_value",)],
    ),
    (
        'word = "max"\npath = "fob_value"\nargs = {value = "40"}',
        {"fob_value": "40"},
        {"fob_value": "x"},
        [("fob_value",)],
    ),
    ('word = "count"\npath = "goods"\nargs = {min = 1, max = 2}', {"goods": ({}, {})}, {"goods": ()}, [("goods",)]),
    (
        'word = "not_after"\npath = "invoice_date"\nargs = {path = "application_date"}',
        {"invoice_date": "2026-01-01", "application_date": "2026-01-01"},
        {"invoice_date": "2026-01-02", "application_date": "2026-01-01"},
        [("invoice_date",)],
    ),
    (
        'word = "unique"\npath = "goods[].line_no"',
        {"goods": ({"line_no": 1}, {"line_no": 2}, {})},
        {"goods": ({"line_no": 1}, {"line_no": 1})},
        [("goods", 1, "line_no")],
    ),
    (
        'word = "sum_equals"\npath = "goods[].amount"\nargs = {total = "total_amount", tolerance = "0.01"}',
        {"goods": ({"amount": "0.1"}, {"amount": "0.2"}), "total_amount": "0.31"},
        {"goods": ({"amount": "1"},), "total_amount": "2"},
        [("total_amount",)],
    ),
    (
        'word = "present"\npath = "goods[].name"\nwhen = {path = "goods[].non_goods", equals = "Y"}',
        {"goods": ({"non_goods": "N"},)},
        {"goods": ({"name": "x", "non_goods": "Y"}, {"non_goods": "Y"})},
        [("goods", 1, "name")],
    ),
    (
        'word = "present"\npath = "amendment.reason"\nwhen = {path = "certificate_status", one_of = ["1"]}',
        {"certificate_status": "0"},
        {"certificate_status": "1"},
        [("amendment", "reason")],
    ),
    (
        'word = "present"\npath = "marks"\nwhen = '
        '[{path = "vessel", present = true}, {path = "currency", equals = "USD", not = true}]',
        {"vessel": "x", "currency": "USD"},
        {"vessel": "x"},
        [("marks",)],
    ),
    (
        'word = "present"\npath = "goods[].name"\nwhen = {path = "invoices", count = {min = 1}}',
        {"goods": ({},)},
        {"goods": ({},), "invoices": ({},)},
        [("goods", 0, "name")],
    ),
]


@pytest.mark.parametrize(
    ("rule", "good", "bad", "expected"), HOLDS_BREAKS, ids=lambda v: v[:40] if isinstance(v, str) else ""
)
def test_each_word(rule: str, good: dict[str, Any], bad: dict[str, Any], expected: list[tuple[str | int, ...]]) -> None:
    assert places(rule, **good) == []
    assert places(rule, **bad) == expected


def test_every_word_of_the_vocabulary_was_tried() -> None:
    assert set(VOCABULARY) == {
        *("present", "absent", "equals", "one_of", "in_codelist", "matches", "max_length", "decimal"),
        *("min", "max", "count", "unique", "sum_equals", "not_after", "when"),
    }
    for word in VOCABULARY:
        assert any(f'word = "{word}"' in rule or f"{word} = " in rule for rule, *_ in HOLDS_BREAKS), word


@pytest.mark.parametrize(
    ("rule", "complaint"),
    [
        ('word = "resembles"\npath = "marks"', "no word"),
        ('word = "present"\npath = "mark"', "no field"),
        ('word = "present"\npath = "goods[].mark"', "no field"),
        ('word = "present"\npath = "goods.name"', "no field"),
        ('word = "in_codelist"\npath = "marks"\nargs = {list = "moons"}', "moons"),
        ('word = "matches"\npath = "marks"\nargs = {pattern = "["}', "bad pattern"),
        ('word = "matches"\npath = "marks"\nargs = {pattern = "(a+)+"}', "repeated groups"),
        ('word = "matches"\npath = "marks"\nargs = {pattern = "(?i)a"}', "lookaround"),
        ('word = "matches"\npath = "marks"\nargs = {patern = "a"}', "takes"),
        ('word = "not_after"\npath = "marks"\nargs = {path = "moon"}', "no field"),
        ('word = "unique"\npath = "marks"', "each item"),
        ('path = "marks"', "one of them"),
        ('word = "present"\npredicate = "uscc"\npath = "marks"', "one of them"),
        ('predicate = "lucky"\npath = "marks"', "no predicate"),
        ('predicate = "free_of"\npath = "marks"', "takes"),
        ('word = "present"\npath = "marks"\nwhen = {path = "marks"}', "exactly one word"),
        ('word = "present"\npath = "marks"\nwhen = {path = "marks", resembles = "x"}', "no word"),
        ('word = "present"\npath = "marks"\nwhen = {path = "goods[].name", equals = "x"}', "which item"),
    ],
)
def test_a_wrong_rule_is_refused_at_load(rule: str, complaint: str) -> None:
    with pytest.raises(ProfileError, match=complaint):
        checks(rule)


@pytest.mark.parametrize(
    ("sure", "severity", "expected"),
    [
        ("V", "", "refuse"),
        ("H", "", "refuse"),
        ("M-H", "", "refuse"),
        ("M", "", "warn"),
        ("L", "", "warn"),
        ("ours", "", "warn"),
        ("M", "refuse", "refuse"),
        ("V", "warn", "warn"),
    ],
)
def test_severity_follows_the_source(sure: str, severity: str, expected: str) -> None:
    rule = 'word = "present"\npath = "marks"' + (f'\nseverity = "{severity}"' if severity else "")
    text = f'{HEADER}\n[[rule]]\nid = "C-001"\nmessage = "m"\nremedy = "r"\nsource = "s"\nsure = "{sure}"\n{rule}'
    found = compile_profile(load_profiles({"C": text})["C"], {}).run({})
    assert found[0].severity is Severity(expected)


def test_an_incomplete_list_never_refuses() -> None:
    for complete, expected in ((True, Severity.REFUSE), (False, Severity.WARN)):
        lists = {"moons": CodeList("moons", complete, {"1": {"code": "1"}})}
        rule = 'id = "C-001"\nmessage = "m"\nremedy = "r"\nsource = "s"\nsure = "V"\nseverity = "refuse"\n'
        rule += 'word = "in_codelist"\npath = "marks"\nargs = {list = "moons"}'
        found = compile_profile(load_profiles({"C": f"{HEADER}\n[[rule]]\n{rule}"})["C"], lists).run({"marks": "2"})
        assert found[0].severity is expected


ID = "33020619000101123"
GOOD_ID = ID + ric.calc_check_digit(ID + "0")

PREDICATE_CASES: list[tuple[str, dict[str, Any], Any, Any, dict[str, Any]]] = [
    ("uscc", {}, "91330299MA9XYD0C2A", "91330299MA9XYD0C2B", {}),
    ("uscc", {}, "91330299MA9XYD0C2A", "91330299ma9xyd0c2a", {}),
    ("id_card", {}, GOOD_ID, ID + "?", {}),
    ("real_date", {}, "2024-02-29", "2026-02-29", {}),
    ("half_width", {}, "中文 A-1", "Ａ1", {}),
    ("half_width", {}, "É", "A\u200bB", {}),
    ("no_han", {}, "É", "A中", {}),
    ("trimmed", {}, "a b", " a", {}),
    ("whole_words", {}, "A\nB", "W\nylon", {}),
    ("free_of", {"words": ["as per invoice"]}, "N/M", "AS PER\nINVOICE", {}),
    ("no_foreign_origin", {}, "MADE IN CHINA", "MADE IN JAPAN", {}),
    ("unlike_digits", {}, "C26MA9XYD0C20001", "C26MA9XYD0C2OOO1", {"certificate_type": "C"}),
    ("own_organisation", {}, "C26MA9XYD0C20001", "C26MA9XYD0C30001", {"exporter_code": "91330299MA9XYD0C2A"}),
    ("differs", {"from": "number"}, "C2", "C1", {"number": "C1"}),
    ("numbered", {}, ({"line_no": 1}, {"line_no": 2}), ({"line_no": 2}, {"line_no": 1}), {}),
    ("named_so", {"code": "destination_code"}, "日本", "柬埔寨", {"destination_code": "392"}),
    ("port_in", {}, "TOKYO, JAPAN", "BUSAN, REPUBLIC OF KOREA", {"destination_code": "392"}),
    ("port_in", {"country": "156"}, "NINGBO, CHINA", "TOKYO, JAPAN", {}),
    ("names_country", {}, "X\nTOKYO, JAPAN", "X LTD.\nTOKYO", {"destination": "JAPAN"}),
]


@pytest.mark.parametrize(("name", "args", "good", "bad", "root"), PREDICATE_CASES)
def test_each_predicate(name: str, args: dict[str, Any], good: Any, bad: Any, root: dict[str, Any]) -> None:
    check = predicate(name, args, load_lists())
    assert check(good, root, root)
    assert not check(bad, root, root)


def test_each_predicate_on_a_whole_list() -> None:
    rule = 'predicate = "known_invoice"\npath = "goods[].invoice_no"'
    assert set(COLLECTIVE_PREDICATES) == {"known_invoice"}
    assert places(rule, goods=({"invoice_no": "A"}, {}), invoices=({"invoice_no": "A"},)) == []
    assert places(rule, goods=({"invoice_no": "A"}, {"invoice_no": "B"}), invoices=({"invoice_no": "A"},)) == [
        ("goods", 1, "invoice_no")
    ]
    with pytest.raises(ProfileError, match="no arguments"):
        checks(rule + "\nargs = {a = 1}")
    with pytest.raises(ProfileError, match="each item"):
        checks('predicate = "known_invoice"\npath = "invoice_no"')


def test_what_is_no_finite_number_is_outside_every_bound() -> None:
    for word, value in itertools.product(("min", "max"), ("NaN", "sNaN", "-Infinity", "Infinity", "1e", "")):
        assert places(f'word = "{word}"\npath = "marks"\nargs = {{value = "1"}}', marks=value) == [("marks",)]


MANY = "\n".join(
    f'[[rule]]\nid = "{number}"\nmessage = "m"\nremedy = "r"\nsource = "s"\nsure = "{sure}"\n'
    f'word = "absent"\npath = "goods[].{name}"'
    for sure, number, name in (("M", "C-001", "unit"), ("V", "C-002", "name"))
)


def many() -> Checks:
    """A rule that warns about one field, and one that refuses another."""
    return compile_profile(load_profiles({"C": f"{HEADER}\n{MANY}"})["C"], {})


def test_what_refuses_is_told_first_however_much_warns() -> None:
    goods = [{"unit": "x"} for _ in range(1500)] + [{"name": "x"}]
    found = many().run({"goods": tuple(goods)})
    assert len(found) == MAX_FAULTS
    assert [one.place for one in found if one.severity is Severity.REFUSE] == [("goods", 1500, "name")]
    warned = [one.place for one in found if one.severity is Severity.WARN]
    assert warned == [("goods", index, "unit") for index in range(MAX_FAULTS - 1)], "the first by place"


def test_the_cap_keeps_the_first_by_place() -> None:
    goods = tuple({"unit": "x", "name": "x"} for _ in range(1500))
    found = many().run({"goods": goods})
    assert [one.place for one in found] == [("goods", index, "name") for index in range(MAX_FAULTS)]
    few = many().run({"goods": goods[:3]})
    assert [one.place for one in few] == [("goods", i, name) for i in range(3) for name in ("name", "unit")]


def test_predicates_are_few_and_all_tried_and_used() -> None:
    assert {name for name, *_ in PREDICATE_CASES} == set(PREDICATES)
    assert len(PREDICATES) + len(COLLECTIVE_PREDICATES) <= 17, "what a rule word can say needs no predicate"
    used = {rule.predicate for one in load_checks().values() for rule in one.rules}
    assert used - {""} == {*PREDICATES, *COLLECTIVE_PREDICATES}
