"""``origin check`` on documents that attackers and other systems' users sent: what each is told."""

import json
import re
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from adapters.codecs.official import NAMESPACE
from gateway.core.faults import MAX_FAULTS
from tests.cli.command import EXAMPLES, origin

GOOD = (EXAMPLES / "C-three-goods.xml").read_text()
ENTERPRISE: dict[str, Any] = json.loads((EXAMPLES / "C-three-goods.json").read_bytes())
LIMIT = 1 << 20
"""The size up to which a document is judged at all (ORIGIN_MAX_BYTES)."""
HEAD = "/Certificate/CertificateHead/"
FIRST = "/Certificate/CertificateList/Goods[1]/"
LINE = re.search(r"<Goods>.*?</Goods>", GOOD, re.DOTALL)
assert LINE is not None
Told = set[tuple[str, str]]
"""(code, path) of all that is said."""


def with_text(**texts: str) -> str:
    """The good document with other texts in the first elements of some names."""
    document = GOOD
    for name, text in texts.items():
        start = document.index(f"<{name}>") + len(f"<{name}>")
        document = document[:start] + text + document[document.index("</", start) :]
    return document


def enterprise(**changes: object) -> str:
    return json.dumps(ENTERPRISE | changes, ensure_ascii=False, indent=1)


def declared(encoding: str) -> str:
    return GOOD.replace('encoding="UTF-8"', f'encoding="{encoding}"')


def siblings(piece: str) -> str:
    """A root with as many of them as a document may hold."""
    return f'<Certificate xmlns="{NAMESPACE}">' + piece * (LIMIT // len(piece.encode()) - 20) + "</Certificate>"


def goods(line: str) -> str:
    """A document with nothing but such lines, as large as a document may be."""
    before, after = GOOD.split("<Goods>")[0], GOOD.rsplit("</Goods>")[-1]
    return before + line * ((LIMIT - len(GOOD.encode())) // len(line.encode())) + after


WORD = "CÔNG TY MẪU ĐƯỜNG NGUYỄN/n33 ĐƯỜNG NGUYỄN HỮU THỌ, CANADA"

GOOD_ONES: dict[str, tuple[str, Told]] = {
    "F10 composed.xml": (with_text(Consignee=unicodedata.normalize("NFC", WORD)), set()),
    "F10 decomposed.xml": (with_text(Consignee=unicodedata.normalize("NFD", WORD)), set()),
    "F10 decomposed.json": (enterprise(marks=unicodedata.normalize("NFD", "ĐƯỜNG NGUYỄN")), set()),
    "F09 escaped twice.xml": (with_text(Mark="MAPLE &amp;amp; CO"), {("TEXT-ESCAPED-TWICE", f"{HEAD}Mark")}),
    "F09 escaped twice.json": (enterprise(marks="MAPLE &amp; CO"), {("TEXT-ESCAPED-TWICE", "/marks")}),
    "F25 a blank at an end.xml": (with_text(InvNo=" SH-2026-1102 "), {("COM-092", f"{HEAD}InvNo")}),
    "F25 a wide blank at an end.json": (enterprise(contract_no="SC-2026-77\u3000"), {("COM-095", "/contract_no")}),
    "F13 a mark before it.json": ("\ufeff" + enterprise(), set()),
    "F03 none declared.xml": (GOOD.partition("?>")[2], set()),
}
"""Name -> document, and what is warned of."""

BAD_ONES: dict[str, tuple[str, Told]] = {
    "F03 utf-16.xml": (declared("utf-16"), {("XML-DECLARATION", "")}),
    "F03 GBK.xml": (declared("GBK"), {("XML-DECLARATION", "")}),
    "F04 nil.xml": (with_text(ContractNo="").replace("<ContractNo>", '<ContractNo xsi:nil="true">'), {
        ("XSD-NIL", f"{HEAD}ContractNo")
    }),
    "F04 nil on a line.xml": (GOOD.replace("<Goods>", '<Goods xsi:nil="true">', 1), {("XSD-NIL", FIRST[:-1])}),
    "5 a type.xml": (GOOD.replace("<InvNo>", '<InvNo xsi:type="zh">', 1), {("XSD-TYPE", f"{HEAD}InvNo")}),
    "5 a type at the root.xml": (GOOD.replace(" xsi:", ' xsi:type="zh" xsi:', 1), {("XSD-TYPE", "/Certificate")}),
    "F05 no namespace.xml": (GOOD.replace(f' xmlns="{NAMESPACE}"', ""), {("XSD-NAMESPACE", "/Certificate")}),
    "F05 another.xml": (GOOD.replace(f'xmlns="{NAMESPACE}"', 'xmlns="urn:x"'), {("XSD-NAMESPACE", "/Certificate")}),
    "F05 inside.xml": (GOOD.replace("<HSCode>", '<HSCode xmlns="">', 1), {("XSD-NAMESPACE", f"{FIRST}HSCode")}),
    "F25 no invoice number.xml": (with_text(InvNo="  "), {("C-002", f"{HEAD}InvNo")}),
    "F25 no invoice number.json": (enterprise(invoice_no="\u3000"), {("C-002", "/invoice_no")}),
    "F25 a line of blanks.xml": (with_text(GoodsNameE=" ", GoodsUnitE="\u200b", GoodsDesc="/n /n"), {
        ("COM-068", f"{FIRST}GoodsNameE"),
        ("COM-073", f"{FIRST}GoodsUnitE"),
        ("COM-069", f"{FIRST}GoodsDesc"),
    }),
    "4 no promise.json": (enterprise(promise=""), {("JSON-MISSING", "/promise")}),
    "4 a blank promise.json": (enterprise(promise=" "), {("JSON-MISSING", "/promise")}),
    "4 no promise.xml": (with_text(AplPromiseCode=""), {("XSD-EMPTY", "/Certificate/AplPromise/AplPromiseCode")}),
    "5 deep behind a double.json": ('{"x":' + "[" * 1000 + "]" * 1000 + ',"x":1}', {("JSON-DUPLICATE", "/x")}),
    "5 deep.json": ('{"x":' + "[" * 1000 + "]" * 1000 + "}", {("JSON-DEPTH", "")}),
}  # fmt: skip
"""Name -> document, and what is refused."""

LARGE_ONES: dict[str, tuple[str, str]] = {
    "1 siblings with bad texts.xml": (siblings("<a>\u202e</a>"), "XSD-UNKNOWN"),
    "1 siblings.xml": (siblings("<a/>"), "XSD-UNKNOWN"),
    "1 lines nobody can print.xml": (goods(re.sub(r">[A-Za-z][^<]*<", ">\u05d0<", LINE[0])), "TEXT-GLYPH"),
    "1 lines without anything.xml": (goods("<Goods></Goods>"), "XSD-MISSING"),
    "1 lines without anything.json": ('{"goods":[' + ",".join(["{}"] * (LIMIT // 4)) + "]}", "JSON-MISSING"),
    "1 doubled names.json": ("{" + ",".join(['"a":1'] * (LIMIT // 7)) + "}", "JSON-DUPLICATE"),
}
"""Name -> document as large as may be, and a fault that is among the many."""


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """All of them at once, each with its own answer, and so has a file that is not there."""
    folder = tmp_path_factory.mktemp("cases")
    names = [*GOOD_ONES, *BAD_ONES, *LARGE_ONES]
    for name in names:
        document, _ = (GOOD_ONES | BAD_ONES | LARGE_ONES)[name]
        (folder / name).write_text(document, encoding="utf-8")
    done = origin("check", "--json", *names, folder=folder)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return {Path(one["file"]).name: one for one in json.loads(done.stdout)}


def told(answer: dict[str, Any]) -> Told:
    return {(one["code"], one["path"] or "") for one in (*answer["faults"], *answer["warnings"])}


@pytest.mark.parametrize("name", GOOD_ONES)
def test_a_good_document_is_good(answers: dict[str, Any], name: str) -> None:
    assert answers[name]["ok"]
    assert told(answers[name]) == GOOD_ONES[name][1]


@pytest.mark.parametrize("name", BAD_ONES)
def test_what_is_wrong_is_named(answers: dict[str, Any], name: str) -> None:
    assert not answers[name]["ok"]
    assert told(answers[name]) == BAD_ONES[name][1]
    assert all(one["message"] and one["remedy"] for one in answers[name]["faults"])


@pytest.mark.parametrize("name", LARGE_ONES)
def test_the_largest_document_has_an_answer(answers: dict[str, Any], name: str) -> None:
    """A cost that grew with the square would not let the command end."""
    assert not answers[name]["ok"]
    assert LARGE_ONES[name][1] in {code for code, _ in told(answers[name])}
    assert len(answers[name]["faults"]) <= MAX_FAULTS
