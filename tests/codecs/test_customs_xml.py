"""The official dialect against the official field tables, typed in by hand in documents.py."""

import copy

import pytest
from lxml import etree

from adapters.codecs.catalog import catalog
from adapters.codecs.customs_xml import CustomsXml
from adapters.codecs.official import GOODS, HEAD, NAMESPACE, SECTIONS, model_place, official_path
from gateway.core.declaration import Declaration, canonical
from gateway.core.faults import Fault, Refused
from tests.codecs import documents
from tests.codecs.documents import BENCHMARK, BLOCKS, example, full_certificate, leaves, local, table, text_of

XML = CustomsXml()
Q = f"{{{NAMESPACE}}}"


def refused(raw: bytes) -> list[Fault]:
    with pytest.raises(Refused) as caught:
        XML.read(raw)
    return list(caught.value.faults)


def at(root: etree._Element, path: tuple[str, ...]) -> etree._Element:
    for step in path:
        found = root.find(Q + step)
        assert found is not None
        root = found
    return root


def xpath(block: tuple[str, ...], name: str) -> str:
    steps = [step + "[1]" if step in ("Goods", "NonpartyCorp", "OriInv") else step for step in block]
    return "/".join(["/Certificate", *steps, name])


ELEMENTS = [(block, *entry) for block, text in BLOCKS.items() for entry in table(text)]
IDS = [f"{block[-1]}.{name}" for block, name, _, _ in ELEMENTS]


def test_the_hand_typed_tables_are_whole() -> None:
    assert [len(table(text)) for text in BLOCKS.values()] == [63, 39, 7, 5, 9]


def test_model_and_tables_agree_on_names_order_lengths_and_occurrence() -> None:
    tables = [HEAD, *(section.table for section in SECTIONS)]
    for (block, text), ours in zip(BLOCKS.items(), tables, strict=True):
        official = [(mark.element, mark.length or 0) for mark in ours.fields.values()]
        assert official == [(name, length) for name, length, _ in table(text)], block
        declared = catalog()["certificate"].explained.types[block[-1]].content
        ordered = list(declared.iter_elements())
        assert [one.local_name for one in ordered] == [name for name, _, _ in table(text)]
        assert [one.min_occurs == 1 for one in ordered] == [mandatory for _, _, mandatory in table(text)]
        lengths = [one.type.max_length or 0 for one in ordered]
        forms = {n for n, _, _ in table(text) if n in documents.VALUES}
        for (name, length, _), limit in zip(table(text), lengths, strict=True):
            assert limit == length or name in forms, name


def test_a_certificate_with_every_element_is_accepted_and_survives() -> None:
    reading = XML.read(text_of(full_certificate()))
    assert reading.fields == canonical(reading.declaration)
    assert sum(len(b) for b in (reading.fields["goods"][0], reading.fields["amendment"])) == 39 + 7
    again = XML.read(XML.write(reading.declaration))
    assert again.declaration == reading.declaration


@pytest.mark.parametrize(("block", "name", "length", "mandatory"), ELEMENTS, ids=IDS)
def test_each_element_left_out(block: tuple[str, ...], name: str, length: int, mandatory: bool) -> None:
    root = full_certificate()
    parent = at(root, block)
    parent.remove(at(parent, (name,)))
    if not mandatory:
        assert XML.read(text_of(root)).declaration
        return
    assert [(f.code, f.path) for f in refused(text_of(root))] == [("XSD-MISSING", xpath(block, name))]


@pytest.mark.parametrize(("block", "name", "length", "mandatory"), ELEMENTS, ids=IDS)
def test_each_element_empty(block: tuple[str, ...], name: str, length: int, mandatory: bool) -> None:
    root = full_certificate()
    at(root, (*block, name)).text = None
    if mandatory and name not in ("CertNo", "EntMgrNo"):
        assert [(f.code, f.path) for f in refused(text_of(root))] == [("XSD-EMPTY", xpath(block, name))]
    else:
        assert XML.read(text_of(root)).declaration


@pytest.mark.parametrize(("block", "name", "length", "mandatory"), ELEMENTS, ids=IDS)
def test_each_length_overrun(block: tuple[str, ...], name: str, length: int, mandatory: bool) -> None:
    root = full_certificate()
    if length == 0:
        at(root, (*block, name)).text = "100000"
        expected = "XSD-PATTERN"
    else:
        at(root, (*block, name)).text = "1" * (length + 1)
        expected = "XSD-PATTERN" if name in documents.VALUES else "XSD-LENGTH"
    faults = refused(text_of(root))
    assert [(f.code, f.path) for f in faults] == [(expected, xpath(block, name))]
    assert "1111" not in faults[0].message + faults[0].remedy
    if name not in documents.VALUES and "Qty" not in name and length > 10:
        at(root, (*block, name)).text = "1" * min(length, 19)
        assert XML.read(text_of(root))


@pytest.mark.parametrize(
    ("block", "index"),
    [(block, index) for block, text in BLOCKS.items() for index in range(len(table(text)) - 1)],
    ids=lambda value: value[-1] if isinstance(value, tuple) else str(value),
)
def test_each_neighbours_swapped(block: tuple[str, ...], index: int) -> None:
    root = full_certificate()
    parent = at(root, block)
    first, second = parent[index], parent[index + 1]
    parent.insert(index, second)
    paths = {xpath(block, local(one)) for one in (first, second)}
    faults = refused(text_of(root))
    assert [f.code for f in faults] == ["XSD-ORDER"]
    assert faults[0].path in paths
    assert faults[0].line is not None


@pytest.mark.parametrize("name", ["CertificateHead", "CertificateList", "AplPromise"])
def test_each_mandatory_block_missing(name: str) -> None:
    root = full_certificate()
    root.remove(at(root, (name,)))
    assert [(f.code, f.path) for f in refused(text_of(root))] == [("XSD-MISSING", f"/Certificate/{name}")]


@pytest.mark.parametrize("name", ["ModCertificate", "NonpartyCorpList", "OriInvs"])
def test_each_optional_block_missing(name: str) -> None:
    root = full_certificate()
    root.remove(at(root, (name,)))
    assert XML.read(text_of(root)).declaration


@pytest.mark.parametrize("index", range(5))
def test_blocks_swapped(index: int) -> None:
    root = full_certificate()
    root.insert(index, root[index + 1])
    assert {f.code for f in refused(text_of(root))} == {"XSD-ORDER"}


def test_all_faults_of_one_document_together() -> None:
    root = full_certificate()
    head, goods, promise = (
        at(root, ("CertificateHead",)),
        at(root, ("CertificateList", "Goods")),
        at(root, ("AplPromise",)),
    )
    head.remove(at(head, ("ApplyType",)))
    head.insert(10, at(head, ("ApplName",)))
    at(head, ("CiqRegNo",)).text = "9" * 19
    at(head, ("AplDate",)).text = "5.11.2026"
    etree.SubElement(head, Q + "Currency").text = "USD"
    second = copy.deepcopy(goods)
    goods.addnext(second)
    at(second, ("HSCode",)).text = "1" * 11
    at(second, ("GNo",)).text = "one"
    at(second, ("GoodsQty",)).text = "4,800"
    second.remove(at(second, ("PackType",)))
    at(promise, ("AplPromiseCode",)).text = "0"
    root.set("version", "1")
    found = {(f.code, f.path) for f in refused(text_of(root))}
    assert found == {
        ("XSD-ATTRIBUTE", "/Certificate"),
        ("XSD-MISSING", "/Certificate/CertificateHead/ApplyType"),
        ("XSD-ORDER", "/Certificate/CertificateHead/ApplName"),
        ("XSD-LENGTH", "/Certificate/CertificateHead/CiqRegNo"),
        ("XSD-PATTERN", "/Certificate/CertificateHead/AplDate"),
        ("XSD-UNKNOWN", "/Certificate/CertificateHead/Currency"),
        ("XSD-LENGTH", "/Certificate/CertificateList/Goods[2]/HSCode"),
        ("XSD-PATTERN", "/Certificate/CertificateList/Goods[2]/GNo"),
        ("XSD-PATTERN", "/Certificate/CertificateList/Goods[2]/GoodsQty"),
        ("XSD-MISSING", "/Certificate/CertificateList/Goods[2]/PackType"),
        ("XSD-PATTERN", "/Certificate/AplPromise/AplPromiseCode"),
    }


def test_a_large_refused_document_is_explained_as_a_small_one_is() -> None:
    root = full_certificate()
    goods = at(root, ("CertificateList", "Goods"))
    for _ in range(300):
        goods.addnext(copy.deepcopy(goods))
    at(goods, ("HSCode",)).text = "CANARY-CANARY"
    raw = text_of(root)
    assert len(raw) > 256 << 10
    faults = refused(raw)
    assert [(f.code, f.path) for f in faults] == [("XSD-LENGTH", "/Certificate/CertificateList/Goods[1]/HSCode")]
    assert "CANARY" not in repr(faults)


def test_faults_are_capped() -> None:
    root = full_certificate()
    goods = at(root, ("CertificateList", "Goods"))
    for _ in range(18):
        another = copy.deepcopy(goods)
        for leaf in leaves(another):
            leaf.text = "x" * 3000
        goods.addnext(another)
        for leaf in list(another)[4:]:
            leaf.text = "1,1" if local(leaf).endswith("Qty") else leaf.text and leaf.text[:1]
    raw = text_of(root)
    assert len(raw) < 256 << 10
    assert len(refused(raw)) == 200


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("a\u202eb", "TEXT-BIDI"),
        ("a&#x202E;b", "TEXT-BIDI"),
        ("a&#x2067;b", "TEXT-BIDI"),
        ("a&#x200F;b", "TEXT-BIDI"),
        ("a&#9;b", "TEXT-CONTROL"),
        ("a\tb", "TEXT-CONTROL"),
        ("a&#x85;b", "TEXT-CONTROL"),
        ("a&#x2028;b", "TEXT-CONTROL"),
        ("a&#xE000;b", "TEXT-UNASSIGNED"),
        ("a&#xFDD0;b", "TEXT-UNASSIGNED"),
        ("a&#x0378;b", "TEXT-UNASSIGNED"),
        ("a&#x10FFFD;b", "TEXT-UNASSIGNED"),
        ("<![CDATA[a\u2066b]]>", "TEXT-BIDI"),
    ],
)
def test_forbidden_characters_are_found_in_values(value: str, code: str) -> None:
    raw = example(BENCHMARK).decode().replace("<Mark>", f"<Mark>{value}").encode()
    faults = refused(raw)
    assert [(f.code, f.path) for f in faults] == [(code, "/Certificate/CertificateHead/Mark")]
    assert faults[0].line == raw[: raw.index(b"<Mark>")].count(b"\n") + 1


def test_harmless_characters_pass() -> None:
    raw = example(BENCHMARK).decode().replace("<Mark>", "<Mark>中文\u3000堃珺镕燚㎡①② é ß 𠮷").encode()
    assert XML.read(raw).declaration.marks


def test_line_breaks_both_ways() -> None:
    text = example(BENCHMARK).decode()
    raw = text.replace("<Mark>", "<Mark>A/nB&#13;\nC\r\nD&#13;E ").encode()
    reading = XML.read(raw)
    assert reading.declaration.marks is not None
    assert reading.declaration.marks.startswith("A\nB\nC\nD\nE ")
    assert b"<Mark>A/nB/nC/nD/nE " in XML.write(reading.declaration)


def test_real_line_breaks_count_two() -> None:
    root = full_certificate()
    at(root, ("CertificateHead", "PriceTerms")).text = "1234567890123456789\n"
    assert [(f.code, f.path) for f in refused(text_of(root))] == [
        ("XSD-LENGTH", "/Certificate/CertificateHead/PriceTerms")
    ]


def test_a_text_with_slash_n_is_refused_on_the_way_out() -> None:
    declaration = XML.read(example(BENCHMARK)).declaration
    bad = declaration.model_copy(update={"marks": "W/nylon"})
    with pytest.raises(Refused) as caught:
        XML.write(bad)
    assert [(f.code, f.path) for f in caught.value.faults] == [("TEXT-SLASH-N", "/Certificate/CertificateHead/Mark")]


def test_what_is_written_is_held_against_the_schema() -> None:
    declaration = XML.read(example(BENCHMARK)).declaration
    bad = declaration.model_copy(update={"currency": "TOO LONG FOR IT"})
    with pytest.raises(Refused) as caught:
        XML.write(bad)
    assert caught.value.faults[0].path == "/Certificate/CertificateHead/Curr"


def test_the_location_of_every_place() -> None:
    raw = example(BENCHMARK)
    reading = XML.read(raw)
    lines = raw.decode().split("\n")
    path, line = reading.locate(("goods", 2, "hs_code"))
    assert path == "/Certificate/CertificateList/Goods[3]/HSCode"
    assert line is not None
    assert "9503006000" in lines[line - 1]
    assert reading.locate(("goods", 2, "tax_rate_flag"))[1] == reading.locate(("goods", 2))[1]
    for name in Declaration.model_fields:
        assert model_place(official_path((name,))) == (name,)
    for name in GOODS.fields:
        assert model_place(official_path(("goods", 7, name))) == ("goods", 7, name)


def test_prefixes_are_as_good_as_the_default_namespace() -> None:
    raw = example(BENCHMARK).decode().replace("<", "<ds:").replace("<ds:/", "</ds:").replace("<ds:?", "<?")
    raw = raw.replace("xmlns=", "xmlns:ds=")
    assert XML.read(raw.encode()).declaration == XML.read(example(BENCHMARK)).declaration
    assert refused(raw.replace("<ds:ApplyType>1</ds:ApplyType>", "").encode())[0].code == "XSD-MISSING"


@pytest.mark.parametrize("namespace", ["", "urn:other", NAMESPACE.rstrip("#")])
def test_another_root_or_namespace(namespace: str) -> None:
    raw = example(BENCHMARK).decode().replace(f'xmlns="{NAMESPACE}"', f'xmlns="{namespace}"').encode()
    assert [f.code for f in refused(raw)] == ["XSD-NAMESPACE"]
