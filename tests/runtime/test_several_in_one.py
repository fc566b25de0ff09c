"""Several receipts in one record: each has its effect once, whatever breaks in between; what can't be read is told."""

import threading

import pytest

from adapters.codecs.receipts import write_receipt
from gateway.core.messages import Incoming
from gateway.inlet import GatewayInlet
from gateway.ports import Record
from gateway.runtime.turn import Turn
from tests.runtime.house import DIALECTS, XML, House, copy_of, example, reply, taken


def together(*bodies: bytes) -> bytes:
    """As customs bundles them."""
    return b"<Receipts>%b</Receipts>" % b"".join(body.split(b"?>", 1)[1] for body in bodies)


async def two(house: House) -> tuple[tuple[object, str], tuple[object, str]]:
    first, second = await house.declare(), await house.declare(invoice_no="2")
    await house.turns()
    return first, second


async def test_each_of_several_receipts_has_its_effect_once() -> None:
    house = House()
    (a, first), (b, second) = await two(house)
    house.customs(together(taken(first), reply(second, "3"), reply(first, "5")))
    records = house.unread()
    await house.turn.handle(records)
    await house.turn.handle([copy_of(record) for record in records])
    house.customs(together(taken(first), reply(second, "3"), reply(first, "5")))
    await house.turns()
    assert house.kinds(a) == ["declared", "sent", "approved"]  # type: ignore[arg-type]
    assert house.kinds(b) == ["declared", "returned"]  # type: ignore[arg-type]
    rows = [row for row in house.store.tables.receipts.values() if row.kind != "LayoutArrived"]
    assert len(rows) == len({row.raw_sha256 for row in rows}) == 3, "each has bytes of its own: they have other readers"
    whole = {row.fields.split('"came_in":"')[1][:64] for row in rows}
    assert len(whole) == 1, "and the document in which it came is kept too"
    assert house.store.tables.blobs[whole.pop()].content == records[0].body


async def test_a_part_that_breaks_our_code_is_parked_and_the_others_count(monkeypatch: pytest.MonkeyPatch) -> None:
    house = House()
    (a, first), (b, second) = await two(house)

    class Broken(GatewayInlet):
        def read(self, record: Record) -> tuple[Incoming, object]:  # type: ignore[override]
            if first.encode() in record.body:
                raise ZeroDivisionError
            return super().read(record)

    broken = Turn(house.store, Broken(house.codec), house.codec, DIALECTS, house.clock, house.told)
    house.customs(together(taken(first), taken(second)))
    await broken.handle(house.unread())
    assert house.kinds(b) == ["declared", "sent"]  # type: ignore[arg-type]
    (parked,) = await house.store.parked()
    assert first.encode() in parked.body
    assert second.encode() not in parked.body
    await house.turn.replay()
    assert await house.store.parked() == []
    assert house.kinds(a) == ["declared", "sent"]  # type: ignore[arg-type]
    assert house.kinds(b) == ["declared", "sent"]  # type: ignore[arg-type]


async def test_a_part_that_nobody_can_read_is_dead_and_the_others_count() -> None:
    house = House()
    (a, first), (b, second) = await two(house)
    bad = taken(second).replace(f"<CertNo>{second}</CertNo>".encode(), b"<CertNo/>")
    house.customs(together(taken(first), bad))
    await house.turns()
    assert house.kinds(a) == ["declared", "sent"]  # type: ignore[arg-type]
    assert house.kinds(b) == ["declared"]  # type: ignore[arg-type]
    (letter,) = house.store.tables.dead.values()
    assert letter.code == "RECEIPT-NO-NUMBER"
    assert first.encode() not in letter.body


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("<Receipt><CertNo>{0}</CertNo><Channel>6", "XML-SYNTAX"),
        ("<Receipt><CertNo>{0}</CertNo><Receipt><CertNo>{0}</CertNo></Receipt></Receipt>", "INBOUND-NESTED"),
        ("<LayoutDocument number='{0}' part='third' pages='1'/>", "LAYOUT-HEAD"),
        ("<LayoutDocument number='{0}' part='copy' pages='1'><Nothing/></LayoutDocument>", "LAYOUT-INVALID"),
    ],
)
async def test_the_certificate_is_told_of_what_nobody_can_read(body: str, code: str) -> None:
    house = House()
    identity, number = await house.declare()
    await house.turns()
    house.customs(body.format(number).encode())
    records = house.unread()
    await house.turn.handle(records)
    await house.turn.handle(records)
    (letter,) = house.store.tables.dead.values()
    declared, told = house.told_of(identity)
    assert declared["kind"] == "declared"
    data = told["data"]
    assert isinstance(data, dict)
    assert (data["what"], data["code"], data["letter"]) == ("customs_unreadable", code, str(letter.id))
    assert f"origin dlt replay {letter.id} --body FILE" in data["remedy"]
    house.customs(taken(number))
    await house.turns()
    assert house.kinds(identity) == ["declared", "noted", "sent"], "and its life goes on"


async def test_what_names_nobody_here_is_only_dead() -> None:
    house = House()
    identity, _ = await house.declare()
    await house.turns()
    house.customs(b"<Receipt><CertNo>C26NOBODY0000001</CertNo><Torn", b"<torn")
    await house.turns()
    assert len(house.store.tables.dead) == 2
    assert house.kinds(identity) == ["declared"]


async def test_what_was_odd_about_a_receipt_stands_in_the_timeline_and_with_the_receipt() -> None:
    house = House()
    identity, number = await house.declare()
    await house.turns()
    back = write_receipt(number, "2", note="退回", sent_at="2026-11-22 16:00:00")
    house.customs(back.replace(b'encoding="UTF-8"', b'encoding="utf-16"'))
    await house.turns()
    *_, told = house.told_of(identity)
    said = "It declares another encoding and was read as UTF-8."
    assert (told["kind"], told["data"]["noticed"]) == ("returned", said)  # type: ignore[index]
    (row,) = house.store.tables.receipts.values()
    assert said in row.fields


@pytest.mark.parametrize("case", ["F23a-receipt-declared-utf16.xml", "F24a-two-receipts-one-file.xml"])
async def test_the_cases_of_the_field(case: str) -> None:
    """Written anew here: what came in as F23 and F24 of the field cases."""
    house = House()
    (a, first), (b, second) = await two(house)
    note = "退回：发票号不符"
    one = "<Receipt xmlns='http://www.w3.org/2000/09/xmldsig#'><CertNo>{0}</CertNo><Channel>6</Channel><Note>{1}</Note>"
    one += "<CusRespData><RspNo>2</RspNo><RepType>{2}</RepType></CusRespData></Receipt>"
    back, passed = one.format(first, note, 6), one.format(second, "审核通过", 5)
    if case.startswith("F23"):
        house.customs(f"<?xml version='1.0' encoding='utf-16'?>\n{back}".encode())
    else:
        house.customs(f"<Receipts>{back}{passed}</Receipts>".encode())
    await house.turns()
    *_, last = house.told_of(a)  # type: ignore[arg-type]
    assert (last["kind"], last["data"]["note"]) == ("returned", note)  # type: ignore[index]
    assert house.kinds(b) == (["declared", "approved"] if case.startswith("F24") else ["declared"])  # type: ignore[arg-type]


@pytest.mark.parametrize("large", [True, False])
async def test_a_large_record_is_read_beside_the_event_loop(large: bool) -> None:
    house = House()
    identity, number = await house.declare()
    await house.turns()
    here, threads = threading.get_ident(), []

    class Noting(GatewayInlet):
        def read(self, record: Record) -> tuple[Incoming, object]:  # type: ignore[override]
            threads.append(threading.get_ident() != here)
            return super().read(record)

    house.turn._inlet = Noting(house.codec)
    house.customs(taken(number) + (b" " * 100_000 if large else b""))
    await house.turns()
    assert house.kinds(identity) == ["declared", "sent"]
    assert threads == [large]


async def test_a_large_declaration_is_written_for_customs_beside_the_event_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house, here = House(), threading.get_ident()
    threads: dict[int, bool] = {}
    write = DIALECTS[XML].write

    def noting(content: object) -> bytes:
        body = write(content)  # type: ignore[arg-type]
        threads[len(body) // 100_000] = threading.get_ident() != here
        return body

    line = example().goods[0]
    many = tuple(line.model_copy(update={"line_no": n + 1}) for n in range(150))
    await house.declare()
    await house.declare(goods=many, total_amount=None, fob_value=None, invoice_no="2")
    monkeypatch.setattr(DIALECTS[XML], "write", noting)
    await house.turns()
    assert threads.pop(0) is False
    assert set(threads.values()) == {True}
