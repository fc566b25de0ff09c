"""A document that breaks the door: every way in answers it, the others flow, and the operator sends it on."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.runtime.examining import Examiner
from gateway.runtime.submission import Examined, Submission
from tests.inbound.test_leave import AGENCY, DECLARATIONS, Office, kind, opened
from tests.runtime.house import JSON, document

BREAKS = "BREAKS-US"
RULING = {"by": "operator", "reason": "mended"}


@pytest.fixture
async def office(tmp_path: Path, database_url: str) -> AsyncIterator[Office]:
    async with opened(tmp_path, database_url) as found:
        found.agent = found.owner  # all ways lead to the same client
        yield found


@pytest.fixture
def bug(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Ours, in examining: some documents meet it."""
    right = Examiner.at_once

    def at_once(examiner: Examiner, submission: Submission) -> Examined | None:
        if BREAKS.encode() in submission.body:
            raise RecursionError(submission.body)
        return right(examiner, submission)

    monkeypatch.setattr(Examiner, "at_once", at_once)
    return monkeypatch


async def letters(office: Office) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await office.operator.get("/v1/admin/dead-letters")).raise_for_status().json()
    return found


async def test_it_is_answered_kept_once_and_sent_on_when_mended(office: Office, bug: pytest.MonkeyPatch) -> None:
    body = document(marks=BREAKS)
    answers = [await office.owner.post(DECLARATIONS, content=body, headers=kind(JSON)) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {500}
    told = answers[0].json()
    assert "retry-after" not in answers[0].headers
    assert "Do not send the same again" in told["errors"][0]["remedy"]
    assert BREAKS not in answers[0].text
    (kept,) = await letters(office)
    assert (kept["id"], kept["code"]) == (told["kept"], "GATEWAY-BROKE")

    bug.undo()
    path = f"/v1/admin/dead-letters/{kept['id']}"
    assert orjson.loads((await office.operator.get(path)).content)["id"] == kept["id"]
    assert (await office.operator.post(f"{path}/replay", json=RULING)).status_code == 200
    found = (await office.owner.get("/v1/certificates")).json()["certificates"]
    assert len(found) == 1
    assert (await office.operator.post(f"{path}/replay", json=RULING)).status_code == 422, "it is decided"


async def test_what_the_door_refuses_now_is_told_to_the_operator(office: Office, bug: pytest.MonkeyPatch) -> None:
    body = document(marks=BREAKS).replace(b'"apply_type"', b'"no_such_field":1,"apply_type"')
    kept = (await office.owner.post(DECLARATIONS, content=body, headers=kind(JSON))).json()["kept"]
    bug.undo()
    answer = await office.operator.post(f"/v1/admin/dead-letters/{kept}/replay", json=RULING)
    assert (answer.status_code, answer.json()["code"]) == (422, "DLT-NOT-ACCEPTED")
    assert [one["state"] for one in await letters(office)] == ["waiting"]


OWN = "C26MA9XYD0C27777"


async def declare(office: Office, key: str | None = None, **changes: Any) -> dict[str, Any]:
    heads = kind(JSON) if key is None else {**kind(JSON), "idempotency-key": key}
    answer = await office.owner.post(DECLARATIONS, content=document(**changes), headers=heads)
    told: dict[str, Any] = answer.json()
    return told


async def replay(office: Office, kept: str) -> str:
    """The code of what speaks against it; "": it is replayed."""
    answer = await office.operator.post(f"/v1/admin/dead-letters/{kept}/replay", json=RULING)
    return "" if answer.status_code == 200 else str(answer.json()["code"])


async def on_file(office: Office) -> tuple[int, bytes]:
    """(revision, bytes) of the certificate."""
    row = await office.pool.fetchrow(
        "SELECT revision, content FROM origin.certificate c JOIN origin.blob b ON b.sha256 = c.raw_sha256"
        " WHERE number = $1",
        OWN,
    )
    return row["revision"], row["content"]


def draft(marks: str) -> dict[str, Any]:
    return {"number": OWN, "apply_type": "0", "marks": marks}


async def test_what_is_newer_is_not_undone(office: Office, bug: pytest.MonkeyPatch) -> None:
    assert (await declare(office, **draft("V0")))["revision"] == 1
    third = (await declare(office, **draft(f"V3 {BREAKS}")))["kept"]
    same = (await declare(office, key="k", **draft(f"V3 {BREAKS}")))["kept"]
    assert (await declare(office, **draft("V4")))["revision"] == 2
    bug.undo()
    assert [await replay(office, kept) for kept in (third, same)] == ["DLT-OVERTAKEN"] * 2
    assert await on_file(office) == (2, document(**draft("V4")))
    assert {one["state"] for one in await letters(office)} == {"waiting"}

    assert (await declare(office, **draft(f"V3 {BREAKS}")))["revision"] == 3, "the client itself may"
    assert await replay(office, third) == "", "that is its answer now: nothing changes"
    assert (await on_file(office))[0] == 3


async def test_by_the_bus_neither(office: Office, bug: pytest.MonkeyPatch) -> None:
    whose = {"applicant_code": AGENCY, "exporter_code": AGENCY, "number": f"C26{AGENCY[8:17]}7777", "apply_type": "0"}
    first, broken, newer = [await office.by_bus(document(**whose, marks=marks)) for marks in ("V0", BREAKS, "V4")]
    assert (first["revision"], newer["revision"]) == (1, 2)
    bug.undo()
    assert await replay(office, broken["kept"]) == "DLT-OVERTAKEN"


async def test_what_is_older_is_corrected_and_so_is_what_an_earlier_letter_declared(
    office: Office, bug: pytest.MonkeyPatch
) -> None:
    await declare(office, **draft("V0"))
    kept = [(await declare(office, **draft(f"V{n} {BREAKS}")))["kept"] for n in (1, 2, 3)]
    bug.undo()
    assert [await replay(office, kept[n]) for n in (0, 2, 1)] == ["", "", "DLT-OVERTAKEN"]
    assert await on_file(office) == (3, document(**draft(f"V3 {BREAKS}")))


async def test_each_document_that_waits_has_a_letter_that_waits(office: Office, bug: pytest.MonkeyPatch) -> None:
    async def broken(key: str | None = None, **heads: str) -> str:
        given = {**kind(JSON), **heads} if key is None else {**kind(JSON), "idempotency-key": key, **heads}
        answer = await office.owner.post(DECLARATIONS, content=document(marks=BREAKS), headers=given)
        return str(answer.json()["kept"])

    ones = [await broken(), await broken("a"), await broken("b"), await broken("b", **{"origin-reference": "r"})]
    assert len(set(ones)) == 4
    assert [await broken("a"), await broken()] == [ones[1], ones[0]], "the same is kept once"
    seen = set(ones)
    for _ in range(3):
        path = f"/v1/admin/dead-letters/{ones[1]}/discard"
        assert (await office.operator.post(path, json=RULING)).status_code == 200
        ones[1] = await broken("a")
        assert ones[1] not in seen
        assert await broken("a") == ones[1]
        seen.add(ones[1])
    waiting = {one["id"] for one in await letters(office) if one["state"] == "waiting"}
    assert waiting == set(ones)


async def test_the_other_lines_of_a_batch_are_answered(office: Office, bug: pytest.MonkeyPatch) -> None:
    bodies = [document(invoice_no=name) for name in ("A", BREAKS, "B")]
    lines = b"\n".join(orjson.dumps(orjson.loads(body)) for body in bodies)
    answer = await office.owner.post(DECLARATIONS, content=lines, headers=kind("application/x-ndjson"))
    verdicts = [orjson.loads(line) for line in answer.text.splitlines()]
    assert [(one["http"], one["status"]) for one in verdicts] == [
        (202, "accepted"),
        (500, "internal"),
        (202, "accepted"),
    ]
    assert verdicts[1]["kept"] == (await letters(office))[0]["id"]


async def test_a_file_is_answered_and_not_tried_for_ever(office: Office, bug: pytest.MonkeyPatch) -> None:
    answer = await office.by_folder(document(marks=BREAKS))
    assert (answer["status"], answer["kept"]) == ("internal", (await letters(office))[0]["id"])
    work = office.data / "hot" / "agent" / "work"
    assert list(work.iterdir()) == []


async def test_on_the_bus_the_record_itself_is_kept(office: Office, bug: pytest.MonkeyPatch) -> None:
    answer = await office.by_bus(document(marks=BREAKS))
    (kept,) = await letters(office)
    assert (answer["status"], answer["kept"]) == ("internal", kept["id"])
    assert kept["topic"] == "origin.intake.submitted.v1.agent"
