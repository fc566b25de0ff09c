"""The official XML, written into forms and judged by the grammar alone.

Texts go in as they are: one look at all of them together tells whether they may. A declaration with any other text, and
one whose document the grammar does not take, is left to the plain way (`customs_xml`).
"""

from collections.abc import Mapping
from typing import Any, Final

from adapters.codecs.fast.xml_read import takes
from adapters.codecs.official import HEAD, NAMESPACE, SECTIONS, BlockTable, block_form
from adapters.codecs.texts import clean, to_customs
from gateway.core.declaration import Declaration

_DECLARATION: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'
_START: Final = f'<Certificate xmlns="{NAMESPACE}"><CertificateHead>'


def written(content: Declaration | Mapping[str, Any]) -> bytes | None:
    """The document, valid; None: not in this way."""
    values = _values(content)
    promise = values.get("promise")
    if promise is None:
        return None
    texts: list[Any] = [promise]
    parts = [_START, _block(values, HEAD, texts), "</CertificateHead>"]
    for section in SECTIONS:
        inner, lines = values.get(section.field), ""
        if section.item is None:
            lines = "" if inner is None else _block(_values(inner), section.table, texts)
        elif inner:
            blocks = [_block(_values(item), section.table, texts) for item in inner]
            lines = f"<{section.item}>{f'</{section.item}><{section.item}>'.join(blocks)}</{section.item}>"
        if lines or section.field == "goods":
            parts.append(f"<{section.container}>{lines}</{section.container}>")
    parts.append(f"<AplPromise><AplPromiseCode>{promise}</AplPromiseCode></AplPromise></Certificate>")
    whole = " ".join(map(str, texts))
    if not clean(whole) or "/n" in whole or "&" in whole or "<" in whole or ">" in whole:
        return None
    document = _DECLARATION + to_customs("".join(parts)) + "\n"
    return document.encode() if takes(document) else None


def _values(content: Any) -> Mapping[str, Any]:
    return content if isinstance(content, dict) else vars(content)


def _block(values: Mapping[str, Any], table: BlockTable, texts: list[Any]) -> str:
    """The elements of one block; its texts are added to `texts`."""
    form, given = block_form(table, tuple([name for name, value in values.items() if value is not None]))
    own = [values[name] for name in given]
    texts += own
    return form % tuple(own)
