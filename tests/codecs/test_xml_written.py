"""What is written fast and judged by the grammar alone is what the plain way writes, which parser and schema take."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from adapters.codecs import fast
from adapters.codecs.customs_xml import CustomsXml, encode
from tests.codecs.documents import full_certificate, text_of

XML = CustomsXml()
CONTENT = XML.read(text_of(full_certificate())).fields
AWKWARD = [
    *("", "x", "1", "-1", "1.5", "1,5", "2026-02-30", "9" * 25, "y" * 2001, " 1 ", "７", "宁波", "\U0001f600"),
    *("<", ">", "&", "&amp;", "]]>", "<b>", "</Goods>", "<!---->", "a\nb", "\n", "a\n\n<b>\n", "\r", "/n", "a/\nn"),
    *("\t", "\x00", "\x7f", "\u202e", "\u2028", "\ue000", "\ufffe", "\ud800", "\xa0", "%s", "%(number)s", "%"),
]


def places(content: Mapping[str, Any]) -> Iterator[tuple[str, int | None, str]]:
    """(field, item, field in it) of every text, and of a field that is not there."""
    for name, value in content.items():
        if isinstance(value, tuple):
            yield from ((name, at, inner) for at, item in enumerate(value) for inner in item)
        elif isinstance(value, dict):
            yield from ((name, None, inner) for inner in value)
        else:
            yield name, None, ""


def changed(content: Mapping[str, Any], place: tuple[str, int | None, str], text: str | None) -> dict[str, Any]:
    """The content with another text in one place; None: with nothing there."""
    name, at, inner = place
    if at is not None:
        items = [{**item, inner: text} if number == at else item for number, item in enumerate(content[name])]
        return {**content, name: tuple(items)}
    return {**content, name: {**content[name], inner: text} if inner else text}


@pytest.mark.parametrize("text", [None, *AWKWARD])
def test_the_short_way_writes_what_the_whole_way_writes(text: str | None) -> None:
    for place in places(CONTENT):
        content = changed(CONTENT, place, text)
        if (document := fast.write_xml(content)) is not None:
            assert document == XML.write_closely(content)


def test_the_short_way_is_the_usual_one() -> None:
    assert fast.write_xml(CONTENT)
    document = fast.write_xml({**CONTENT, "company_name": "NINGBO\nCHINA"})
    assert document is not None
    assert b">NINGBO/nCHINA<" in document


def test_markup_in_what_is_not_valid_yet_is_escaped() -> None:
    assert b">a&lt;b/n<" in encode({**CONTENT, "company_name": "a<b\n"})
