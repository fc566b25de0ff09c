"""The JSON Schema of the enterprise dialect, made from the model: ``schemas/contracts/declaration.schema.json``.

It describes; what judges is the same XSD as for the official message.
"""

from typing import Any, Final

from adapters.codecs.enterprise_json import MAX_REFERENCE
from adapters.codecs.official import HEAD, SECTIONS, BlockTable
from gateway.core.declaration import Amendment, Block, Declaration, Goods, Invoice, NonParty

IDENTIFIER: Final = "urn:origin-gateway:declaration:v1"
_BLOCKS: Final[dict[str, tuple[type[Block], str, int | None]]] = {
    "goods": (Goods, "货物项", 2000),
    "amendment": (Amendment, "更改/重发信息", None),
    "non_parties": (NonParty, "第三方企业", 200),
    "invoices": (Invoice, "发票", 2000),
}


def json_schema() -> dict[str, Any]:
    """JSON Schema 2020-12: titles in Chinese, lengths of the encoded text, `x-official` the element's name."""
    properties: dict[str, Any] = {
        "reference": {
            "title": "ERP reference",
            "description": "Your own reference, echoed in every status; never sent to customs.",
            "type": ["string", "null"],
            "maxLength": MAX_REFERENCE,
        }
    }
    properties |= _properties(Declaration, HEAD)
    for section in SECTIONS:
        block, title, most = _BLOCKS[section.field]
        item = {
            "type": "object",
            "title": title,
            "properties": _properties(block, section.table),
            "required": _required(block),
            "additionalProperties": False,
        }
        official = section.container if section.item is None else f"{section.container}/{section.item}"
        if most is None:
            properties[section.field] = item | {"type": ["object", "null"], "x-official": official}
        else:
            array = {"type": ["array", "null"], "title": title, "items": item, "maxItems": most}
            properties[section.field] = array | {"x-official": official}
    properties["promise"] = {
        "title": "申请人承诺",
        "description": "1: the promise that the content is true.",
        "const": "1",
        "x-official": "AplPromise/AplPromiseCode",
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": IDENTIFIER,
        "title": "Declaration for a certificate of origin (原产地证书申报)",
        "description": "Texts that are empty or blank, and null, count as absent. A line break is \\n. "
        "Amounts and quantities are texts.",
        "type": "object",
        "properties": properties,
        "required": _required(Declaration),
        "additionalProperties": False,
    }


def _properties(block: type[Block], table: BlockTable) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, mark in table.fields.items():
        info = block.model_fields[name]
        kind = "string" if mark.length is not None else "integer"
        one: dict[str, Any] = {"title": mark.title, "description": info.description or ""}
        one["type"] = kind if info.is_required() else [kind, "null"]
        if mark.length is not None:
            one["maxLength"] = mark.length
            if info.is_required():
                one["minLength"] = 1
        else:
            one |= {"minimum": 0, "maximum": 99999}
        found[name] = one | {"x-official": mark.element}
    return found


def _required(block: type[Block]) -> list[str]:
    return [name for name, info in block.model_fields.items() if info.is_required()]
