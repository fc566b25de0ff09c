"""The headers of a request to the intake, read as RFC 9110 says; what is ambiguous is refused, never guessed."""

import re
from typing import Final

from adapters.inbound.http.problem import Problem, Scope

MAX_TEXT: Final = 255
"""Characters of a text in a header."""
MAX_REFERENCE: Final = 100
"""Characters of the ERP's own reference, in a header as in a document."""
ONE_EACH: Final = frozenset(
    {b"authorization", b"content-type", b"content-length", b"idempotency-key", b"origin-reference", b"last-event-id"}
)
STRING: Final = re.compile(r'"((?:[^"\\]|\\["\\])*)"')
"""A string of RFC 9651, which is how the draft of Idempotency-Key writes one."""


class Heads:
    """A request's headers by their names in lower case."""

    def __init__(self, scope: Scope) -> None:
        self._pairs: list[tuple[bytes, bytes]] = scope["headers"]
        self._values: dict[bytes, bytes] = dict(self._pairs)

    def get(self, name: bytes, default: bytes = b"") -> bytes:
        """The value, or `default` where it is not there."""
        return self._values.get(name, default)

    def check(self) -> None:
        """Raises Problem 400 where one that may stand once stands twice: which one counts would be a guess."""
        if len(self._values) < len(self._pairs):
            names = [name for name, _ in self._pairs if name in ONE_EACH]
            if len(names) > len(set(names)):
                raise Problem("bad-request", f"{_twice(names)} stands twice among the headers; send it once.")

    def check_codings(self) -> None:
        """Raises Problem 415 for a body that is compressed in any way."""
        for name, plain in ((b"content-encoding", b"identity"), (b"transfer-encoding", b"chunked")):
            if name not in self._values:
                continue
            codings = [one.strip().lower() for key, value in self._pairs if key == name for one in value.split(b",")]
            if any(coding not in (plain, b"") for coding in codings):
                header = name.decode().title()
                raise Problem("unsupported-media-type", f"Send the document uncompressed: no {header} is read.")

    def text(self, name: bytes, longest: int = MAX_TEXT) -> str | None:
        """A text of the sender's; None: not there. Raises Problem 400."""
        value = self._values.get(name)
        if value is None:
            return None
        try:
            text = value.decode("utf-8").strip()
        except UnicodeDecodeError:
            text = ""
        if name == b"idempotency-key" and (quoted := STRING.fullmatch(text)):
            text = re.sub(r"\\(.)", r"\1", quoted[1])
        if not 0 < len(text) <= longest or not text.isprintable():
            header = name.decode().title()
            raise Problem("bad-request", f"{header} must be 1 to {longest} printable characters in UTF-8.")
        return text


def _twice(names: list[bytes]) -> str:
    return next(name.decode().title() for name in names if names.count(name) > 1)
