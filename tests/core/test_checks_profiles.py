"""The packaged profiles, rule by rule: what each mistake of a sender leads to."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from adapters.codecs.enterprise_json import EnterpriseJson
from gateway.runtime.catalog import ProfileChecks, form_of, load_checks
from tests.codecs.documents import example


def c() -> dict[str, Any]:
    return copy.deepcopy(dict(EnterpriseJson().read(example("C-three-goods.json")).fields))


def rc() -> dict[str, Any]:
    return copy.deepcopy(dict(EnterpriseJson().read(example("RC-third-party.json")).fields))


def broken(fields: dict[str, Any]) -> set[tuple[Any, ...]]:
    return {(f.severity.value, *f.place) for f in load_checks()[fields["certificate_type"]].run(fields)}


@pytest.mark.parametrize("make", [c, rc])
def test_the_examples_break_no_rule(make: Callable[[], dict[str, Any]]) -> None:
    assert broken(make()) == set()


REQUIRED = [
    "declarant_name",
    "declarant_id",
    "declarant_phone",
    "issuing_office",
    "collecting_office",
    "application_place",
    "application_date",
    "exporter",
    "consignee",
    "destination",
    "destination_code",
    "destination_name_zh",
    "marks",
]


@pytest.mark.parametrize("make", [c, rc])
@pytest.mark.parametrize("field", REQUIRED)
def test_required_when_declared_but_not_in_a_draft(make: Callable[[], dict[str, Any]], field: str) -> None:
    fields = make()
    del fields[field]
    assert ("refuse", field) in broken(fields)
    assert ("refuse", field) not in broken(fields | {"apply_type": "0"})


GOODS = [
    "line_no",
    "hs_code",
    "name_zh",
    "name",
    "package_count",
    "package_unit",
    "quantity",
    "unit",
    "unit_zh",
    "unit_price",
    "amount",
    "fob_value",
    "producer_code",
    "producer_name_zh",
    "description",
]


@pytest.mark.parametrize("field", GOODS)
def test_a_goods_line_is_whole_and_a_line_of_text_needs_little(field: str) -> None:
    fields = c()
    del fields["goods"][1][field]
    assert ("refuse", "goods", 1, field) in broken(fields)
    fields["goods"][1]["non_goods"] = "Y"
    needed = field in ("line_no", "name", "description")
    assert (("refuse", "goods", 1, field) in broken(fields)) == needed


def test_a_draft_needs_number_types_and_owner_only() -> None:
    bare = {k: v for k, v in c().items() if k in ("number", "apply_type", "certificate_status", "certificate_type")}
    bare |= {k: c()[k] for k in ("exporter_code", "applicant_code", "company_name", "promise")}
    assert broken(bare | {"apply_type": "0", "goods": (), "non_parties": (), "invoices": ()}) == set()


CHANGES: list[tuple[Callable[[], dict[str, Any]], Callable[[dict[str, Any]], Any], tuple[Any, ...]]] = [
    (c, lambda f: f.update(apply_type="2"), ("refuse", "apply_type")),
    (c, lambda f: f.update(certificate_status="4"), ("refuse", "certificate_status")),
    (c, lambda f: f.update(certificate_status="1"), ("refuse", "amendment", "old_number")),
    (c, lambda f: f.update(certificate_status="3"), ("refuse", "amendment", "reason")),
    (
        c,
        lambda f: f.update(certificate_status="2", amendment={"old_number": f["number"], "reason": "x"}),
        ("refuse", "amendment", "old_number"),
    ),
    (c, lambda f: f.update(exporter_code="91330299MA9XYD0C2B"), ("refuse", "exporter_code")),
    (c, lambda f: f.update(declarant_id="1"), ("warn", "declarant_id")),
    (c, lambda f: f.update(number="C26MA9XYD0C200001"), ("warn", "number")),
    (c, lambda f: f.update(number="C26MA9XYD0C30001"), ("refuse", "number")),
    (c, lambda f: f.update(number="c26ma9xyd0c30001"), ("refuse", "number")),
    (c, lambda f: f.update(number="RC25MA9XYD0C30001"), ("refuse", "number")),
    (c, lambda f: f.update(amendment={"old_number": "C26MA9XYD0C30001"}), ("refuse", "amendment", "old_number")),
    (
        rc,
        lambda f: f["invoices"][0].update(certificate_number="RC26MA9XYD0C30001"),
        ("refuse", "invoices", 0, "certificate_number"),
    ),
    (c, lambda f: f.update(issuing_office="310"), ("refuse", "issuing_office")),
    (c, lambda f: f.update(collecting_office="3105"), ("refuse", "collecting_office")),
    (c, lambda f: f.update(application_date="2026-02-30"), ("refuse", "application_date")),
    (c, lambda f: f.update(invoice_date="2026-11-06"), ("warn", "invoice_date")),
    (c, lambda f: f.update(destination_code="142"), ("refuse", "destination_code")),
    (c, lambda f: f.update(destination_code="116"), ("warn", "destination_name_zh")),
    (c, lambda f: f.update(currency="502"), ("refuse", "currency")),
    (c, lambda f: f.update(trade_mode="0110"), ("warn", "trade_mode")),
    (c, lambda f: f.update(marks="AS PER INVOICE"), ("warn", "marks")),
    (c, lambda f: f.update(exporter="ＮINGBO\nCHINA"), ("warn", "exporter")),
    (c, lambda f: f.update(invoice_no="SH\u20112026－1"), ("warn", "invoice_no")),
    (c, lambda f: f.pop("invoice_no"), ("refuse", "invoice_no")),
    (c, lambda f: f.update(total_amount="1"), ("warn", "total_amount")),
    (c, lambda f: f.update(goods=()), ("refuse", "goods")),
    (c, lambda f: f["goods"][2].update(hs_code="950300"), ("refuse", "goods", 2, "hs_code")),
    (c, lambda f: f["goods"][2].update(package_unit="PACKAGE"), ("refuse", "goods", 2, "package_unit")),
    (c, lambda f: f["goods"][2].update(package_unit="AMPHORA"), ("warn", "goods", 2, "package_unit")),
    (c, lambda f: f["goods"][2].update(line_no=1), ("refuse", "goods", 2, "line_no")),
    (c, lambda f: f["goods"][2].update(packing_type="3"), ("refuse", "goods", 2, "packing_type")),
    (rc, lambda f: f.update(non_parties=()), ("warn", "non_parties")),
    (rc, lambda f: f.update(invoices=()), ("refuse", "invoices")),
    (rc, lambda f: f.update(destination_code="124"), ("refuse", "destination_code")),
    (rc, lambda f: f["goods"][0].update(origin_criterion="PSR"), ("refuse", "goods", 0, "origin_criterion")),
    (rc, lambda f: f["goods"][0].pop("origin_criterion"), ("refuse", "goods", 0, "origin_criterion")),
    (rc, lambda f: f["goods"][0].update(origin_code="142"), ("refuse", "goods", 0, "origin_code")),
    (rc, lambda f: f["goods"][0].pop("origin_name"), ("refuse", "goods", 0, "origin_name")),
    (rc, lambda f: f["goods"][0].update(tax_rate_flag="3"), ("refuse", "goods", 0, "tax_rate_flag")),
    (rc, lambda f: f["goods"][0].update(invoice_no="X"), ("warn", "goods", 0, "invoice_no")),
    (rc, lambda f: f["invoices"][0].update(certificate_number="X"), ("warn", "invoices", 0, "certificate_number")),
]


@pytest.mark.parametrize(("make", "change", "expected"), CHANGES)
def test_each_business_mistake(
    make: Callable[[], dict[str, Any]], change: Callable[[dict[str, Any]], Any], expected: tuple[Any, ...]
) -> None:
    fields = make()
    change(fields)
    assert expected in broken(fields)


def test_irregular_packing_needs_no_packages() -> None:
    fields = c()
    for name in ("package_count", "package_unit"):
        del fields["goods"][0][name]
    fields["goods"][0]["packing_type"] = "2"
    assert broken(fields) == set()


@pytest.mark.parametrize("criterion", ["WO", "PE", "CTC", "RVC", "CR", "PE ACU", "CTC,ACU", "RVC DMI"])
def test_rcep_criteria(criterion: str) -> None:
    fields = rc()
    fields["goods"][0]["origin_criterion"] = criterion
    assert broken(fields) == set()


def test_an_unknown_type_is_one_fault_and_the_form_is_known() -> None:
    reading = EnterpriseJson().read(
        example("C-three-goods.json").replace(b'"certificate_type": "C"', b'"certificate_type": "ZZ"')
    )
    found = ProfileChecks().faults(reading)
    assert [(f.code, f.path) for f in found] == [("PROFILE-TYPE", "/certificate_type")]
    assert form_of("RC") == "RC"


def test_no_sentence_of_a_rule_is_empty_and_all_have_a_source() -> None:
    for one in load_checks().values():
        for rule in one.rules:
            assert rule.message.endswith("."), rule.id
            assert rule.remedy.endswith("."), rule.id
            assert rule.source
