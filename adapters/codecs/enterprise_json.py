"""The enterprise dialect: a JSON object with the model's field names, plus the ERP's own ``reference``.

Form is judged by the same XSD as the official dialect, through the official encoding: one truth. What is said here
about JSON itself: types, unknown names, doubled names.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import islice
from typing import Any, Final

import orjson
from pydantic import ValidationError

from adapters.codecs import explain
from adapters.codecs.catalog import Schema, catalog
from adapters.codecs.customs_xml import encode, troubled
from adapters.codecs.json_lines import Lines
from adapters.codecs.json_plain import plain
from adapters.codecs.official import HEAD, SCHEMA, SECTION, model_place
from adapters.codecs.registry import fault
from adapters.codecs.texts import presentable, trouble, unbroken
from adapters.codecs.xml import parse
from gateway.core.declaration import Declaration, canonical
from gateway.core.faults import MAX_FAULTS, Fault, Refused
from gateway.ports import Place, Reading

MAX_BYTES: Final = 4 << 20
MAX_DEPTH: Final = 64
MAX_REFERENCE: Final = 100
MOST_LOOKED_AT: Final = 5 * MAX_FAULTS
"""Mistakes of one kind that are made into faults, to be sorted and capped: a hostile document has no end of them."""
_KEY: Final = re.compile(rb'"[ \t\r\n]*:')
_LISTS: Final = frozenset({"goods", "non_parties", "invoices"})
_EXPECTED: Final = {"line_no": "a whole number", "goods": "a list of objects", "non_parties": "a list of objects"}
_EXPECTED_ELSE: Final = {"invoices": "a list of objects", "amendment": "an object"}


Locate = Callable[[Place], tuple[str, int | None]]


class EnterpriseJson:
    """Reads and writes the enterprise JSON. One object may serve many threads."""

    media_type: Final = "application/json"

    def __init__(self, schema: Schema | None = None) -> None:
        self._schema = schema or catalog()[SCHEMA]

    def read(self, raw: bytes) -> Reading:
        """Raises Refused with every fault of form at once."""
        content = _load(raw)
        locate = partial(_locate, Lines(raw))
        reference = content.get("reference")
        found = plain(content) if _is_plain_reference(reference) else None
        if found is not None:
            fields, names = found
            if _names_once(raw, names):
                return Reading(fields, reference or None, locate)
        _check_names(content, raw)
        return self.read_closely(content, locate)

    def read_closely(self, content: dict[str, Any], locate: Locate) -> Reading:
        """What is not plain, or not valid: every fault, or the same fields after all. Raises Refused."""
        reference, fields, found = _cleaned(content, locate)
        declaration = _validated(fields, locate, found)
        judged: Declaration | dict[str, Any] = declaration or fields
        found.extend(fault(code, *locate(place)) for place, code in troubled(judged)[:MOST_LOOKED_AT])
        named = {f.path for f in found}
        found.extend(f for f in self._form_faults(judged, locate) if not _within(f.path, named))
        if found or declaration is None:
            raise Refused(found)
        return Reading(canonical(declaration), reference, locate)

    def write(self, content: Declaration | Mapping[str, Any]) -> bytes:
        """The document; indented, for people read it too. Raises Refused for what customs could not be sent."""
        found = [fault(code, pointer(place)) for place, code in troubled(content)]
        if not found:
            found = self._form_faults(content, lambda place: (pointer(place), None))
        if found:
            raise Refused(found)
        data = canonical(content) if isinstance(content, Declaration) else content
        return orjson.dumps(data, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)

    def _form_faults(self, content: Declaration | Mapping[str, Any], locate: Locate) -> list[Fault]:
        """What the official schema says of the content, in JSON's places."""
        document = encode(content)
        try:
            root = parse(document)
        except Refused:  # a forbidden character, named by `troubled` already: the rest is judged without it
            root = parse(presentable(document.decode()).encode())
        if self._schema.valid(root):
            return []
        found = []
        for one in explain.faults(self._schema, root, len(document)):
            path, line = locate(model_place(one.path))
            found.append(one.model_copy(update={"path": path, "line": line}))
        return found


def _within(path: str, named: Iterable[str]) -> bool:
    """Is `path` one of the places, or inside one?"""
    return any(path == one or (one and path.startswith(f"{one}/")) for one in named)


def pointer(place: Place) -> str:
    """A place of the model as JSON pointer, e.g. ``/goods/2/hs_code``."""
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in place)


def _locate(lines: Lines, place: Place) -> tuple[str, int | None]:
    return pointer(place), lines.of(place)


def _load(raw: bytes) -> dict[str, Any]:
    """The JSON object, of bounded size. Raises Refused."""
    if len(raw) > MAX_BYTES:
        raise Refused([fault("JSON-SIZE", limit=MAX_BYTES)])
    try:
        content = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        if "ecursion" in error.msg or "depth" in error.msg:
            raise Refused([fault("JSON-DEPTH", limit=MAX_DEPTH)]) from None
        raise Refused([fault("JSON-SYNTAX", line=error.lineno)]) from None
    if not isinstance(content, dict):
        _count_names(content)
        raise Refused([fault("JSON-TYPE", expected="an object", line=1)])
    return content


def _names_once(raw: bytes, names: int) -> bool:
    """No more names stand in the document than are in the object: none stands twice. May say no wrongly, not yes.

    A colon follows every name; those inside texts make it look closer: there a quote before a colon is escaped.
    """
    return raw.count(b":") == names or raw.translate(None, b" \t\r\n").count(b'":') == names


def _is_plain_reference(reference: Any) -> bool:
    return reference is None or (type(reference) is str and len(reference) <= MAX_REFERENCE and reference.isprintable())


def _check_names(content: dict[str, Any], raw: bytes) -> None:
    """Raises Refused for an object that is too deep, or has a name twice."""
    # A text may contain what looks like a key, so more than counted means: look closer.
    if len(_KEY.findall(raw)) != _count_names(content):
        _refuse_doubles(raw)


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


class _Double(Exception):
    """A name stands twice in one object."""


def _refuse_doubles(raw: bytes) -> None:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise _Double
        return found

    try:
        json.loads(raw, object_pairs_hook=once)
    except _Double:
        raise Refused([fault("JSON-DUPLICATE")]) from None


_Cleaned = tuple[str | None, dict[str, Any], list[Fault]]


def _cleaned(content: dict[str, Any], locate: Locate) -> _Cleaned:
    """(reference, fields without absent ones and with plain line breaks, faults so far)."""
    found: list[Fault] = []
    content = dict(content)
    reference = content.pop("reference", None)
    if reference in (None, ""):
        reference = None
    elif not isinstance(reference, str) or len(reference) > MAX_REFERENCE:
        found.append(fault("JSON-REFERENCE", *locate(("reference",)), limit=MAX_REFERENCE))
    elif "\n" in reference or trouble(reference):
        found.append(fault(trouble(reference) or "TEXT-CONTROL", *locate(("reference",))))
    fields = _block(content)
    for name in _LISTS & fields.keys():
        if isinstance(fields[name], list):
            fields[name] = [_block(item) if isinstance(item, dict) else item for item in fields[name]]
    if isinstance(fields.get("amendment"), dict):
        fields["amendment"] = _block(fields["amendment"])
        if not fields["amendment"]:
            del fields["amendment"]
    return reference, fields, found


def _block(content: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: unbroken(value) if type(value) is str else value
        for name, value in content.items()
        if value is not None and value != ""
    }


def _validated(fields: dict[str, Any], locate: Locate, found: list[Fault]) -> Declaration | None:
    """The declaration; or None, with the faults added to `found` and what caused them taken out of `fields`."""
    wrong = (place for place, value in _numbers(fields) if type(value) is not int)
    found.extend(
        fault("JSON-TYPE", *locate(place), expected=_expected(place)) for place in islice(wrong, MOST_LOOKED_AT)
    )
    try:
        declaration = Declaration.model_validate(fields)
    except ValidationError as error:
        named = {f.path for f in found}
        mistakes = error.errors(include_url=False, include_context=False, include_input=False)
        for one in mistakes[:MOST_LOOKED_AT]:
            path, line = locate(one["loc"])
            if path not in named:
                found.append(_pydantic_fault(one["type"], one["loc"], path, line))
        for one in mistakes:
            if one["type"] != "missing":
                _take_out(fields, one["loc"])
        return None
    return declaration


def _numbers(fields: Mapping[str, Any]) -> list[tuple[Place, Any]]:
    """The whole numbers of a declaration, which are the only values that are no texts."""
    return [
        ((name, index, "line_no"), item["line_no"])
        for name in ("goods", "non_parties")
        if isinstance(fields.get(name), list)
        for index, item in enumerate(fields[name])
        if isinstance(item, dict) and "line_no" in item
    ]


def _take_out(fields: Any, place: Place) -> None:
    """Removes one value; an item of a list becomes empty, so that the others keep their places."""
    *way, last = place
    for step in way:
        try:
            fields = fields[step]
        except (KeyError, IndexError, TypeError):
            return
    if isinstance(fields, dict):
        fields.pop(last, None)
    elif isinstance(fields, list) and isinstance(last, int):
        fields[last] = {}


def _pydantic_fault(kind: str, place: Place, path: str, line: int | None) -> Fault:
    if kind == "extra_forbidden":
        return fault("JSON-UNKNOWN-FIELD", path, line)
    if kind == "missing":
        return fault("JSON-MISSING", path, line)
    return fault("JSON-TYPE", path, line, expected=_expected(place))


def _expected(place: Place) -> str:
    """What a place takes, in words."""
    last = place[-1] if place else ""
    if isinstance(last, int):
        return "an object"
    table = SECTION[str(place[0])].table if str(place[0]) in SECTION else HEAD
    mark = table.fields.get(last)
    if mark is not None and mark.length is not None:
        return f"a text of at most {mark.length} characters"
    return _EXPECTED.get(last) or _EXPECTED_ELSE.get(last) or "a text"
