"""Who may declare for whom, and what an answer tells about the numbers of others."""

from collections.abc import Mapping
from typing import Any

import pytest

from gateway.core.declaration import Amendment, Invoice
from gateway.runtime.accepting import ACCEPTED
from gateway.runtime.door import Client
from tests.runtime.house import ENTERPRISE, JSON, XML, House, document

AGENCY = "91310199MA9GWR4P61"
OTHER = "91320599MA9HTQ7K6J"
USED, UNUSED = "C26MA9XYD0C27777", "C26MA9XYD0C27778"
STRANGER = Client("agent", AGENCY)
AGENT = Client("agent", AGENCY, exporters=frozenset({ENTERPRISE}))
FORMER = Client("agent", AGENCY, proposed=frozenset({ENTERPRISE}))


def grave(answer: Mapping[str, Any]) -> dict[str, str]:
    """Code -> path of the faults that refuse."""
    return {fault["code"]: fault["path"] for fault in answer["faults"] if fault["severity"] == "refuse"}


async def test_an_exporter_that_is_not_its_own_needs_leave() -> None:
    house = House()
    places = {XML: "/Certificate/CertificateHead/CiqRegNo", JSON: "/exporter_code"}
    async with house.open():
        for kind, path in places.items():
            for draft in ("0", "1"):
                body = document(kind, applicant_code=AGENCY, apply_type=draft)
                answer = (await house.submit(body, kind, client=STRANGER)).content
                assert grave(answer) == {"OWNER-EXPORTER": path}
                fault = next(fault for fault in answer["faults"] if fault["code"] == "OWNER-EXPORTER")
                assert "origin client grant agent --exporter" in fault["remedy"]
                assert ENTERPRISE not in str(fault), "a value that was sent is never echoed"
                assert fault["line"] >= 1
        assert house.on(ACCEPTED) == []
        answer = (await house.submit(document(applicant_code=AGENCY), client=AGENT)).content
        assert answer["number"] == "C26MA9XYD0C20001", "nobody drew a number before"
        assert not [fault for fault in answer["warnings"] if fault["code"].startswith("OWNER")]
        elsewhere = document(applicant_code=AGENCY, exporter_code=OTHER)
        assert "OWNER-EXPORTER" in grave((await house.submit(elsewhere, client=AGENT)).content)


async def test_leave_to_declare_for_an_exporter_is_not_leave_to_declare_as_it() -> None:
    house = House()
    async with house.open():
        assert grave((await house.submit(document(), client=AGENT)).content) == {"OWNER-APPLICANT": "/applicant_code"}


async def test_what_was_done_before_leave_was_needed_goes_on_with_a_warning() -> None:
    house = House()
    async with house.open():
        answer = (await house.submit(document(applicant_code=AGENCY), client=FORMER)).content
    told = [(fault["code"], fault["severity"]) for fault in answer["warnings"] if fault["code"].startswith("OWNER")]
    assert (answer["status"], told) == ("accepted", [("OWNER-EXPORTER-PROPOSED", "warn")])


# ---------------------------------------------------------------- what a number tells


@pytest.mark.parametrize(
    "client", [STRANGER, Client("other", OTHER), Client("other", OTHER, exporters=frozenset({AGENCY}))]
)
@pytest.mark.parametrize("exporter", [ENTERPRISE, OTHER, AGENCY])
@pytest.mark.parametrize("place", ["number", "old", "invoice"])
async def test_the_answer_to_a_foreign_number_is_the_same_whether_it_is_used(
    client: Client, exporter: str, place: str
) -> None:
    house = House()
    await house.declare(number=USED)
    answers = []
    async with house.open():
        for number in (USED, UNUSED):
            changes: dict[str, Any] = {"number": number}
            if place == "old":
                changes = {"certificate_status": "1", "amendment": amended(number)}
            elif place == "invoice":
                changes = {"certificate_type": "RC", "invoices": (invoiced(number),)}
            body = document(applicant_code=client.enterprise, exporter_code=exporter, **changes)
            answers.append(await house.submit(body, client=client))
        assert answers[0] == answers[1]
        assert grave(answers[0].content)
        assert len(house.on(ACCEPTED)) == 1


async def test_a_number_of_another_enterprise_is_refused_in_each_place() -> None:
    house = House()
    foreign = "RC26MA9HTQ7K60001"
    changed: dict[str, Any] = {"number": foreign, "certificate_type": "RC", "invoices": (invoiced(foreign),)}
    changed |= {"certificate_status": "1", "amendment": amended("RC26MA9HTQ7K60002")}
    async with house.open():
        answer = (await house.submit(document(**changed))).content
    found = grave(answer)
    assert (
        found.items()
        >= {
            "COM-007": "/number",
            "COM-110": "/invoices/0/certificate_number",
            "COM-111": "/amendment/old_number",
        }.items()
    )
    assert foreign not in str(answer)


async def test_who_has_leave_for_an_exporter_learns_that_a_number_of_it_is_taken_and_no_more() -> None:
    house = House()
    await house.declare(number=USED)
    async with house.open():
        answer = (await house.submit(document(number=USED, applicant_code=AGENCY), client=AGENT)).content
        assert (answer["status"], answer["faults"][0]["code"]) == ("conflict", "NUMBER-TAKEN")
        assert "id" not in answer
        free = (await house.submit(document(number=UNUSED, applicant_code=AGENCY), client=AGENT)).content
        assert (free["status"], free["number"]) == ("accepted", UNUSED)


def amended(number: str) -> Amendment:
    return Amendment(old_number=number, reason="x")


def invoiced(number: str) -> Invoice:
    return Invoice(
        certificate_number=number, invoice_no="I-1", currency="USD", price_terms="FOB", invoice_date="2026-11-01"
    )
