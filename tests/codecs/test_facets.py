"""What is read of the official schema for those who judge without a tree."""

import pytest
from lxml import etree

from adapters.codecs import facets
from adapters.codecs.xml import parser

START = '<simpleType xmlns="http://www.w3.org/2001/XMLSchema" name="New"><restriction base="xs:string">'


def test_the_blocks_are_those_of_the_schema() -> None:
    found = facets.blocks()
    assert found.head[0].name == "CertNo"
    assert found.head[0].required
    assert found.head[0].facets == facets.Facets(False, 0, 20, None, True)
    assert (found.parts["goods"].required, found.parts["goods"].least, found.parts["goods"].most) == (True, 0, 2000)
    assert (found.parts["invoices"].required, found.parts["invoices"].least) == (False, 1)


@pytest.mark.parametrize(
    "inner",
    ['<totalDigits value="3"/>', '<enumeration value="1"/><enumeration value="2"/>', '<whiteSpace value="collapse"/>'],
)
def test_a_type_that_is_not_understood_is_never_passed_over(inner: str) -> None:
    kind = etree.fromstring(f"{START}{inner}</restriction></simpleType>", parser())
    with pytest.raises(ValueError, match="New is more than is read here"):
        facets._facets(kind, {})
