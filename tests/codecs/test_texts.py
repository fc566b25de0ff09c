"""What is asked of the characters of whole documents."""

import sys

import pytest

from adapters.codecs.texts import clean, is_composed, unusual


def test_every_character_is_judged_as_by_the_two_questions() -> None:
    """Behind a letter: a mark that could be composed with it must not pass."""
    judged = {False: 0, True: 0}
    for code in range(sys.maxunicode + 1):
        text = f"e{chr(code)}"
        both = clean(text) and is_composed(text)
        assert unusual(text) == (("" if code < 0x80 else chr(code)) if both else None), hex(code)
        judged[both] += 1
    assert min(judged.values()) > 100_000


@pytest.mark.parametrize("text", ["", "A\nB", "宁波远洋进出口有限公司", "Müller & Söhne <GmbH>", "가"])
def test_ordinary_texts_are_clean_and_composed(text: str) -> None:
    assert unusual(text) == "".join(char for char in text if not char.isascii())


@pytest.mark.parametrize("text", ["A\tB", "A\r\nB", "\ud800", "e\u0301", "ᄀ\u1161", "\u202e", "\xa0", "\uf900"])
def test_these_ask_for_a_closer_look(text: str) -> None:
    assert unusual(text) is None
