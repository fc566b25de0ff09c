"""The enterprise dialect: a JSON object with the model's field names, plus the ERP's own ``reference``.

Form is judged by the same XSD as the official dialect, through the official encoding: one truth. What is said here
about JSON itself: types, unknown names, doubled names.
"""

import re
from collections.abc import Mapping, Set
from functools import partial
from itertools import islice
from typing import Any, Final

import orjson

from adapters.codecs import explain, fast
from adapters.codecs.catalog import Schema, catalog
from adapters.codecs.customs_xml import encode, troubled, warnings
from adapters.codecs.json_lines import Lines
from adapters.codecs.json_tidy import Mistake, tidy
from adapters.codecs.official import SCHEMA, model_place
from adapters.codecs.registry import fault
from adapters.codecs.texts import blank, presentable, trouble
from adapters.codecs.xml import parse
from gateway.core.declaration import Declaration, canonical, texts
from gateway.core.faults import MAX_FAULTS, Fault, Refused
from gateway.ports import Locate, Place, Reading
from gateway.runtime.examining import MOST_BYTES

MAX_DEPTH: Final = 64
MAX_REFERENCE: Final = 100
_BOM: Final = b"\xef\xbb\xbf"
_NAME_SHOWN: Final = 64
"""Most characters of an unknown name that a path repeats."""
_KEY: Final = re.compile(rb'"[ \t\r\n]*:')


class EnterpriseJson:
    """Reads and writes the enterprise JSON. One object may serve many threads."""

    media_type: Final = "application/json"

    def __init__(self, schema: Schema | None = None) -> None:
        self._schema = schema or catalog()[SCHEMA]

    def read(self, raw: bytes) -> Reading:
        """Raises Refused with every fault of form at once."""
        raw = raw.removeprefix(_BOM)
        content = _load(raw)
        lines = Lines(raw)
        if (found := _plainly(raw, content, lines)) is not None:
            return found
        _check_names(content, raw, lines)
        return self.read_closely(content, partial(_locate, lines))

    def read_plainly(self, raw: bytes) -> Reading | None:
        """An object without a fault; None: it has to be looked at closely."""
        raw = raw.removeprefix(_BOM)
        try:
            content = _load(raw)
        except Refused:
            return None
        return _plainly(raw, content, Lines(raw))

    def read_closely(self, content: Mapping[str, Any], locate: Locate) -> Reading:
        """What is not plain, or not valid: every fault, or the same fields after all. Raises Refused."""
        content = dict(content)
        reference, mistakes = _reference(content.pop("reference", None))
        fields, more = tidy(content)
        mistakes += more
        mistakes += [Mistake(place, code) for place, code in islice(troubled(fields), MAX_FAULTS)]
        found = [fault(code, *locate(place), **facts) for place, code, facts in mistakes]
        found += self._form_faults(fields, {one.place for one in mistakes}, locate)
        if found:
            raise Refused(found)
        canonical_fields = canonical(Declaration.model_validate(fields))
        joined = "\n".join([text for _, text in texts(canonical_fields)])
        warned = warnings(canonical_fields, joined, locate)
        return Reading(canonical_fields, reference, locate, joined, len(joined), warned)

    def write(self, content: Declaration | Mapping[str, Any]) -> bytes:
        """The document; indented, for people read it too. Raises Refused for what customs could not be sent."""
        found = [fault(code, pointer(place)) for place, code in islice(troubled(content), MAX_FAULTS)]
        if not found:
            found = self._form_faults(content, frozenset(), lambda place: (pointer(place), None))
        if found:
            raise Refused(found)
        data = canonical(content) if isinstance(content, Declaration) else content
        return orjson.dumps(data, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)

    def _form_faults(self, content: Declaration | Mapping[str, Any], named: Set[Place], locate: Locate) -> list[Fault]:
        """What the official schema says of the content, in JSON's places; but of those that are `named` for something
        else already, and of what is in them."""
        document = encode(content)
        try:
            root = parse(document, limit=len(document))
        except Refused:  # a forbidden character, named by `troubled` already: the rest is judged without it
            document = presentable(document.decode()).encode()
            root = parse(document, limit=len(document))
        if self._schema.valid(root):
            return []
        found = []
        for one in explain.faults(self._schema, root):
            place = model_place(one.path)
            if not any(place[:steps] in named for steps in range(1, len(place) + 1)):
                path, line = locate(place)
                found.append(one.model_copy(update={"path": path, "line": line}))
        return found


def pointer(place: Place) -> str:
    """A place of the model as JSON pointer, e.g. ``/goods/2/hs_code``."""
    return "".join(f"/{str(step)[:_NAME_SHOWN].replace('~', '~0').replace('/', '~1')}" for step in place)


def _locate(lines: Lines, place: Place) -> tuple[str, int | None]:
    return pointer(place), lines.of(place)


def _plainly(raw: bytes, content: Mapping[str, Any], lines: Lines) -> Reading | None:
    reference, mistakes = _reference(content.get("reference"))
    return None if mistakes else fast.read_json(raw, content, reference, partial(_locate, lines))


def _load(raw: bytes) -> dict[str, Any]:
    """The JSON object, of bounded size. Raises Refused."""
    if len(raw) > MOST_BYTES:
        raise Refused([fault("JSON-SIZE", limit=MOST_BYTES)])
    try:
        content = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        if "ecursion" in error.msg or "depth" in error.msg:
            raise Refused([fault("JSON-DEPTH", limit=MAX_DEPTH)]) from None
        raise Refused([_syntax(raw, error)]) from None
    if not isinstance(content, dict):
        _count_names(content)
        raise Refused([fault("JSON-TYPE", expected="an object", line=1)])
    return content


def _syntax(raw: bytes, error: orjson.JSONDecodeError) -> Fault:
    try:
        raw.decode()
    except UnicodeDecodeError as other:
        return fault("JSON-ENCODING", line=raw.count(b"\n", 0, other.start) + 1)
    if b"\0" in raw[:4]:  # every other byte of UTF-16 without a mark
        return fault("JSON-ENCODING", line=1)
    return fault("JSON-SYNTAX", line=error.lineno)


def _check_names(content: dict[str, Any], raw: bytes, lines: Lines) -> None:
    """Raises Refused for an object that is too deep, or has a name twice."""
    # A text may contain what looks like a key, so more than counted means: look closer.
    if len(_KEY.findall(raw)) != _count_names(content) and lines.doubles:
        raise Refused(fault("JSON-DUPLICATE", *_locate(lines, place)) for place in lines.doubles)


def _count_names(content: Any) -> int:
    """Keys of all objects, walking at most `MAX_DEPTH` levels deep. Raises Refused."""
    count = 0
    level = [content]
    for _ in range(MAX_DEPTH):
        deeper: list[Any] = []
        for node in level:
            if isinstance(node, dict):
                count += len(node)
                deeper.extend(value for value in node.values() if isinstance(value, dict | list))
            elif isinstance(node, list):
                deeper.extend(value for value in node if isinstance(value, dict | list))
        if not deeper:
            return count
        level = deeper
    raise Refused([fault("JSON-DEPTH", limit=MAX_DEPTH)])


def _reference(reference: Any) -> tuple[str | None, list[Mistake]]:
    """The ERP's own reference, and what is wrong with it."""
    if reference is None or (isinstance(reference, str) and blank(reference)):
        return None, []
    if not isinstance(reference, str) or len(reference) > MAX_REFERENCE:
        return None, [Mistake(("reference",), "JSON-REFERENCE", {"limit": MAX_REFERENCE})]
    code = "TEXT-CONTROL" if "\n" in reference else trouble(reference)
    return (None, [Mistake(("reference",), code)]) if code else (reference, [])
