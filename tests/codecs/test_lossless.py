"""Both dialects carry every declaration without loss, in any direction."""

import copy

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from adapters.codecs.catalog import catalog
from adapters.codecs.customs_xml import CustomsXml
from adapters.codecs.enterprise_json import EnterpriseJson
from adapters.codecs.explain import faults
from adapters.codecs.xml import parse
from gateway.core.declaration import Declaration, canonical
from tests.codecs.documents import BENCHMARK, example, full_certificate, text_of
from tests.codecs.strategies import DECLARATIONS, GOODS

XML = CustomsXml()
JSON = EnterpriseJson()
slow = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@slow
@given(DECLARATIONS)
def test_every_way_round(declaration: Declaration) -> None:
    xml, json = XML.write(declaration), JSON.write(declaration)
    from_xml, from_json = XML.read(xml), JSON.read(json)
    assert from_xml.declaration == declaration == from_json.declaration
    assert from_xml.fields == from_json.fields == canonical(declaration)
    assert list(from_xml.fields) == list(from_json.fields), "the order is part of the content's hash"
    assert XML.write(from_json.declaration) == xml
    assert JSON.write(from_xml.declaration) == json


@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(DECLARATIONS, st.lists(GOODS, min_size=3, max_size=5))
def test_fifty_lines(declaration: Declaration, lines: list[object]) -> None:
    many = declaration.model_copy(update={"goods": tuple((lines * 20)[:50])})
    assert XML.read(XML.write(many)).declaration == many == JSON.read(JSON.write(many)).declaration


def test_full_precision() -> None:
    longest = "9" * 19 + "." + "9" * 5
    declaration = XML.read(example(BENCHMARK)).declaration
    line = declaration.goods[0].model_copy(update={"quantity": longest, "gross_weight": "0.00001"})
    declaration = declaration.model_copy(update={"goods": (line,), "total_amount": longest})
    assert XML.read(XML.write(declaration)).declaration == declaration == JSON.read(JSON.write(declaration)).declaration


MUTATIONS = st.lists(
    st.tuples(
        st.sampled_from(["drop", "swap", "text", "copy", "rename", "attribute", "child"]), st.integers(0, 10_000)
    ),
    min_size=1,
    max_size=3,
)
TEXTS = st.sampled_from(
    ["", "x", "1", "1.5", "1,5", "2026-02-30", "2026-13-01", "9" * 25, "y" * 2001, " 1 ", "+1", "-1", "01"]
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(MUTATIONS, TEXTS)
def test_lxml_and_xmlschema_and_our_reading_give_the_same_verdict(changes: list[tuple[str, int]], text: str) -> None:
    root = mutated(changes, text)
    schema = catalog()["certificate"]
    verdict = schema.valid(root)
    assert schema.explained.is_valid(root) == verdict
    if not verdict:
        found = faults(schema, root)
        assert found
        assert "XSD-INVALID" not in {fault.code for fault in found}, "our own reading saw it"


def mutated(changes: list[tuple[str, int]], text: str) -> etree._Element:
    """A full certificate with some damage."""
    root = parse(text_of(full_certificate()))
    for change, number in changes:
        elements = [element for element in root.iter() if element.getparent() is not None]
        target = elements[number % len(elements)]
        parent = target.getparent()
        assert parent is not None
        match change:
            case "drop":
                parent.remove(target)
            case "swap":
                parent.insert(number % len(parent), target)
            case "text":
                target.text = text
            case "copy":
                target.addnext(copy.deepcopy(target))
            case "rename":
                target.tag = elements[number * 7 % len(elements)].tag
            case "attribute":
                target.set("a", "b")
            case "child":
                etree.SubElement(target, elements[0].tag)
    return root
