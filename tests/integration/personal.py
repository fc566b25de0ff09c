"""Looks for personal data in whatever spelling a log, an answer or a database may give them."""

from collections.abc import Iterable, Iterator


def spellings(text: str) -> Iterator[str]:
    """As it is, as JSON and Python escape it, as the database shows its bytes, and as a part of an address."""
    yield text
    if not text.isascii():
        yield text.encode("unicode-escape").decode()
        yield "".join(f"\\{byte:03o}" for byte in text.encode())
        yield "".join(f"\\x{byte:02x}" for byte in text.encode())
        yield "".join(f"%{byte:02X}" for byte in text.encode())


def found_in(text: str, values: Iterable[str]) -> list[str]:
    """Which of the `values` stand in `text`, in whatever spelling."""
    return [value for value in values if any(s.lower() in text.lower() for s in spellings(value))]
