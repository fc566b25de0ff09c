"""What comes back from customs and is a little odd, through files and commands: read, or told with a way on."""

import asyncio
import json
import subprocess
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapters.codecs.customs_xml import CustomsXml
from simulators.erp.enterprises import many
from tests.cli.command import origin
from tests.integration.erps import enrol
from tests.integration.process import Serve, eventually
from tests.renderers.test_printable import SHAPES, goods_of

ENTERPRISE = next(iter(many(1)))
RECEIPT = (
    "<Receipt xmlns='http://www.w3.org/2000/09/xmldsig#'><CertNo>{0}</CertNo><Channel>6</Channel><Note>{1}</Note>"
    "<CusRespData><RspNo>2</RspNo><RepType>{2}</RepType></CusRespData></Receipt>"
)


class Office:
    """A gateway with the import client's folder, as its operator and its ERP see it."""

    def __init__(self, serve: Serve, customs: Path, key: str, url: str) -> None:
        self.customs = customs
        self.environment = {"ORIGIN_URL": url, "ORIGIN_DATA": str(serve.data), "ORIGIN_API_KEY": key}
        self._http = httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}"}, trust_env=False, timeout=30)

    def declare(self, invoice: str) -> str:
        """The number of a certificate that waits for customs."""
        content = goods_of("C", 1, "TOWELS").model_copy(
            update={"exporter_code": ENTERPRISE.code, "applicant_code": ENTERPRISE.code, "invoice_no": invoice}
        )
        answer = self._http.post(
            "/v1/declarations", content=CustomsXml().write(content), headers={"content-type": "application/xml"}
        )
        assert answer.status_code == 202, answer.text
        number = str(answer.json()["number"])
        assert eventually(lambda: any((self.customs / "OutBox").glob(f"{number}_*.xml")), 20)
        return number

    def close(self) -> None:
        """No more questions."""
        self._http.close()

    def drop(self, name: str, body: bytes) -> None:
        """As the import client does."""
        aside = self.customs / "InBox" / f"{name}.tmp"
        aside.write_bytes(body)
        aside.rename(self.customs / "InBox" / name)

    def origin(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return origin(*words, **self.environment)

    def asked(self, *words: str) -> Any:
        done = self.origin(*words, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def events(self, number: str) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = self._http.get(f"/v1/certificates/{number}/timeline").json()["events"]
        return found

    def comes_to(self, number: str, kind: str) -> Mapping[str, Any]:
        """The last event of a certificate, once it is of that kind."""
        assert eventually(lambda: self.events(number)[-1]["kind"] == kind, 20), self.events(number)
        return self.events(number)[-1]


@pytest.fixture
async def office(tmp_path: Path) -> Any:
    customs = tmp_path / "CooImp"
    for box in ("OutBox", "SentBox", "FailBox", "InBox"):
        (customs / box).mkdir(parents=True)
    roles, environment = "intake,turn,customs-link", {"ORIGIN_CUSTOMS_FOLDER": str(customs)}
    with Serve(tmp_path / "gateway", roles=roles, environment=environment) as serve:
        await asyncio.to_thread(serve.start)
        enrolled = await enrol(serve, tmp_path / "keys", [ENTERPRISE])
        made = Office(serve, customs, enrolled.accounts[ENTERPRISE.code].key, serve.url)
        yield made
        made.close()


async def test_odd_receipts_are_read_and_what_nobody_can_read_is_mended(office: Office, tmp_path: Path) -> None:
    await asyncio.to_thread(_odd_receipts, office, tmp_path)


def _odd_receipts(office: Office, folder: Path) -> None:
    first, second, third = (office.declare(f"INV-{n}") for n in range(3))

    # It says UTF-16 and is UTF-8; two in one file.
    office.drop("a.xml", b"<?xml version='1.0' encoding='utf-16'?>" + RECEIPT.format(first, "退回", 3).encode())
    told = office.comes_to(first, "returned")["data"]
    assert (told["note"], told["noticed"]) == ("退回", "It declares another encoding and was read as UTF-8.")
    both = f"<Receipts>{RECEIPT.format(first, '通过', 5)}{RECEIPT.format(second, '退回', 3)}</Receipts>"
    office.drop("b.xml", both.encode("gbk"))
    assert office.comes_to(second, "returned")["data"]["note"] == "退回"

    # Torn: told to the certificate, kept aside, mended by a person with a reason.
    torn = RECEIPT.format(third, "审核通过", 5).encode()[:-30]
    office.drop("c.xml", torn)
    told = office.comes_to(third, "noted")["data"]
    assert told["what"] == "customs_unreadable"
    assert f"origin dlt replay {told['letter']} --body FILE" in told["remedy"]
    doctor = json.loads(office.origin("doctor", "--json").stdout)
    assert not next(one for one in doctor if one["about"] == "dead letters")["ok"]
    (letter,) = office.asked("dlt", "list")
    assert (letter["id"], letter["state"], letter["was_mended"]) == (told["letter"], "waiting", False)

    bad, foreign, good = folder / "bad.xml", folder / "foreign.xml", folder / "good.xml"
    bad.write_bytes(torn + b"</Note>")
    foreign.write_bytes(RECEIPT.format(second, "审核通过", 5).encode())
    good.write_bytes(RECEIPT.format(third, "审核通过", 5).encode())
    replay = ("dlt", "replay", letter["id"], "--by", "li")
    assert office.origin(*replay, "--body", str(good)).returncode == 2, "a reason is asked for"
    for body, code in ((bad, "DLT-BODY"), (foreign, "DLT-OTHER")):
        refused = office.origin(*replay, "--body", str(body), "--reason", "so says Ms Li")
        assert (refused.returncode, code in refused.stderr) == (1, True), refused.stderr
    (done,) = office.asked(*replay, "--body", str(good), "--reason", "so says Ms Li")
    assert (done["state"], done["was_mended"]) == ("replayed", True)
    office.comes_to(third, "approved")
    mended = office.events(third)[-2]["data"]
    assert (mended["what"], mended["letter"], mended["by"], mended["reason"]) == (
        "letter_mended",
        letter["id"],
        "li",
        "so says Ms Li",
    )
    shown = office.origin("dlt", "show", letter["id"]).stdout
    assert torn.decode()[-40:] in shown
    assert "--- mended:" in shown
    assert "so says Ms Li" in shown
    again = office.origin(*replay, "--body", str(good), "--reason", "twice")
    assert "DLT-DECIDED" in again.stderr
    assert office.origin("audit", "verify").returncode == 0


@pytest.mark.long
async def test_two_hundred_lines_of_a_thousand_characters_end_on_paper(tmp_path: Path) -> None:
    with Serve(tmp_path / "gateway") as serve:
        await asyncio.to_thread(serve.start)
        enrolled = await enrol(serve, tmp_path / "keys", [ENTERPRISE])
        account = enrolled.accounts[ENTERPRISE.code]
        own = {"exporter_code": ENTERPRISE.code, "applicant_code": ENTERPRISE.code}
        long = CustomsXml().write(goods_of("RC", 200, SHAPES["words"]).model_copy(update=own))
        endless = CustomsXml().write(goods_of("C", 200, SHAPES["breaks"]).model_copy(update=own))
        headers = {**account.bearer, "content-type": "application/xml"}
        async with httpx.AsyncClient(base_url=serve.url, headers=headers, trust_env=False, timeout=60) as http:
            refused = await http.post("/v1/declarations", content=endless)
            assert refused.status_code == 422
            codes = [fault["code"] for fault in refused.json()["errors"]]
            assert "PAPER-TOO-LONG" in codes
            answer = await http.post("/v1/declarations", content=long)
            assert answer.status_code == 202, answer.text
            place = f"/v1/certificates/{answer.json()['id']}"
            async with asyncio.timeout(60):
                while (found := (await http.get(place)).json())["status"] != "confirmed":  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
            assert all(paper["pages"] >= 400 for paper in found["papers"].values())
            assert len(list(serve.spool.glob("*.pdf"))) == 2


async def test_a_paper_that_can_not_be_made_is_an_alarm_with_a_reason_and_a_way_on(tmp_path: Path) -> None:
    """Nobody enrolled a seal: approved, both layouts here, and it would stand still for ever."""
    with Serve(tmp_path / "gateway") as serve:
        await asyncio.to_thread(serve.start)
        served = {"ORIGIN_URL": serve.url, "ORIGIN_DATA": str(serve.data)}
        added = await asyncio.to_thread(origin, "client", "add", "erp", "--enterprise", ENTERPRISE.code, **served)
        environment = {**served, "ORIGIN_API_KEY": added.stdout.strip()}
        content = goods_of("C", 1, "TOWELS").model_copy(
            update={"exporter_code": ENTERPRISE.code, "applicant_code": ENTERPRISE.code}
        )
        (tmp_path / "a.xml").write_bytes(CustomsXml().write(content))

        def asked(*words: str) -> Any:
            return json.loads(origin(*words, "--json", **environment).stdout)

        def gauge() -> str:
            lines = httpx.get(f"{serve.url}/metrics", trust_env=False).text.splitlines()
            return next(line for line in lines if line.startswith("origin_papers_stuck ")).split()[1]

        def papers() -> list[str | None]:
            return [paper["trouble"] for paper in asked("status", number)["papers"].values()]

        (verdict,) = await asyncio.to_thread(asked, "declare", str(tmp_path / "a.xml"))
        number = verdict["number"]
        assert await asyncio.to_thread(eventually, lambda: papers() == ["SEAL-MISSING"] * 2, 30, 0.5)
        told = next(e for e in asked("timeline", number)["events"] if e["kind"] == "render_refused")
        assert f"origin print {number}" in told["data"]["remedy"]
        assert "SEAL-MISSING" in origin("status", number, **environment).stdout
        finding = next(one for one in asked("doctor") if one["about"] == "papers")
        assert (finding["ok"], number in finding["detail"], "SEAL-MISSING: 1" in finding["detail"]) == (
            False,
            True,
            True,
        )
        assert await asyncio.to_thread(eventually, lambda: gauge() == "1.0", 20, 0.2)

        await enrol(serve, tmp_path / "keys", [ENTERPRISE])
        starts = [datetime.fromisoformat(mark["valid_from"]) for mark in asked("seal", "list")]
        assert {start.microsecond for start in starts} == {0}, "good for a print that is asked for in the same second"
        await asyncio.to_thread(asked, "print", number)
        assert await asyncio.to_thread(eventually, lambda: asked("status", number)["status"] == "confirmed", 30, 0.5)
        assert papers() == [None, None]
        assert await asyncio.to_thread(eventually, lambda: gauge() == "0.0", 20, 0.2)
