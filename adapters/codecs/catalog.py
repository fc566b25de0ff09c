"""The schemas we validate against: packaged, pinned by SHA-256, compiled once at start.

``python -m adapters.codecs.catalog`` checks the pins, ``--pin`` renews them.
"""

import hashlib
import re
import sys
import threading
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from lxml import etree

import schemas
from adapters.codecs.xml import parse

if TYPE_CHECKING:
    import xmlschema

_CATALOG = ("xsd", "catalog.toml")


class CatalogError(Exception):
    """A schema file isn't what the catalogue pins: the installation is damaged, or a pin was forgotten."""


@dataclass(frozen=True, slots=True)
class SchemaError:
    """One entry of lxml's error log, copied: where and which kind, never its text, which carries values."""

    line: int
    kind: int
    path: str


class Schema:
    """One compiled schema. Safe to share: validating and copying the error log happen under one lock,
    because lxml's error log belongs to the schema object and would show one document's text to another's reader.
    """

    def __init__(self, name: str, namespace: str, roots: tuple[str, ...], version: str, source: bytes) -> None:
        self.name = name
        self.namespace = namespace
        self.roots = roots
        self.version = version
        self._source = source
        self._lock = threading.Lock()
        self._lxml = etree.XMLSchema(parse(source))

    def valid(self, root: etree._Element) -> bool:
        """The verdict of lxml, at C speed."""
        with self._lock:
            return bool(self._lxml.validate(root))

    def errors(self, root: etree._Element) -> tuple[SchemaError, ...]:
        """Everything lxml says; it stops at the first order error of a block."""
        with self._lock:
            if self._lxml.validate(root):
                return ()
            log: Any = self._lxml.error_log
            return tuple(SchemaError(e.line, e.type, e.path or "") for e in log)

    def document(self) -> etree._Element:
        """The schema's own text, parsed: for whoever makes something else of it."""
        return parse(self._source)

    @cached_property
    def explained(self) -> "xmlschema.XMLSchema10":
        """The same schema in xmlschema: the second opinion on refused documents, built when first asked (50 ms)."""
        import xmlschema  # 0.2 s, which only a refused document has to pay

        with self._lock:
            return xmlschema.XMLSchema10(self._source, allow="none", defuse="always")


@cache
def catalog() -> Mapping[str, Schema]:
    """Every schema by name, pins checked. Raises CatalogError."""
    found: dict[str, Schema] = {}
    for entry in tomllib.loads(schemas.read_text(*_CATALOG))["schema"]:
        source = schemas.read_bytes("xsd", *entry["file"].split("/"))
        if hashlib.sha256(source).hexdigest() != entry["sha256"]:
            raise CatalogError(f"schemas/xsd/{entry['file']} is not the file that catalog.toml pins")
        schema = Schema(entry["name"], entry["namespace"], tuple(entry["roots"]), entry["version"], source)
        if schema.name in found:
            raise CatalogError(f"schemas/xsd/catalog.toml names {schema.name} twice")
        found[schema.name] = schema
    return MappingProxyType(found)


def pin(folder: Path) -> list[str]:
    """Renews the pins in ``folder/catalog.toml``; returns the files whose pin changed."""
    path = folder / "catalog.toml"
    text = path.read_text(encoding="utf-8")
    changed = []
    for entry in tomllib.loads(text)["schema"]:
        digest = hashlib.sha256((folder / entry["file"]).read_bytes()).hexdigest()
        if digest == entry["sha256"]:
            continue
        block = re.compile(rf'(file = "{re.escape(entry["file"])}"\n(?:[^\[]\S.*\n)*?sha256 = ")[0-9a-f]*"')
        text, hits = block.subn(rf'\g<1>{digest}"', text)
        if hits != 1:
            raise CatalogError(f"catalog.toml has no sha256 line for {entry['file']}")
        changed.append(entry["file"])
    path.write_text(text, encoding="utf-8")
    return changed


def main(arguments: list[str]) -> int:
    """Checks the pins (exit 1 when one is stale), or renews them with ``--pin``."""
    if arguments == ["--pin"]:
        for file in pin(Path(str(schemas.path("xsd")))):
            print(f"pinned {file}")
        return 0
    try:
        catalog()
    except CatalogError as error:
        print(f"{error}; to renew the pins: python -m adapters.codecs.catalog --pin", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
