"""What customs answers: business (业务回执), technical (技术回执) and attachment receipts (随附单据回执).

Readers are tolerant: elements are found by local name at any depth, namespaces and order are ignored, unknown elements
do no harm (the raw bytes are stored anyway), an unknown code is "unknown", never a failure. Writers serve the simulator
and are strict.
"""

import csv
import hashlib
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Final
from uuid import UUID, uuid5

from lxml import etree

import schemas
from adapters.codecs.catalog import catalog
from adapters.codecs.encodings import as_utf8
from adapters.codecs.official import NAMESPACE
from adapters.codecs.texts import escaped, presentable
from adapters.codecs.xml import parse
from gateway.core.faults import Refused
from gateway.core.messages import (
    AttachmentReceipt,
    BusinessReceipt,
    CustomsReply,
    ReceiptMeaning,
    TechnicalReceipt,
    TechnicalVerdict,
)
from gateway.ports import Unreadable

INBOUND: Final = UUID("5d0c7a52-3d0e-5c60-9a4c-6f2f0f6b7c11")
"""Namespace of the message ids of what customs sends: the same bytes are the same message."""

_REPLY: Final = MappingProxyType(
    {
        "RepType": "code",
        "EntMgrNo": "company_no",
        "BarCode": "bar_code",
        "OfficeDeclare": "statement",
        "OrgNameE": "office_name",
        "CheckAddress": "check_place",
        "AddressEn": "office_address",
        "OrgTel": "office_phone",
        "OrgFax": "office_fax",
        "EntOrgCode": "organisation_code",
        "CheckDate": "signed_on",
        "RepCode": "reply_codes",
        "RepAddMsg": "extra_text",
        "RspGenTime": "generated_at",
        "ChkVaildDate": "valid_until",
        "CertType": "certificate_type",
    }
)
"""Official element of CusRespData -> field of `CustomsReply`, both as text."""

_SIGNED: Final = "Signature"
"""What is in an XML signature is no news about a certificate."""
MOST_TOLD: Final = 10
"""Unknown elements that are named; a name is cut at `LONGEST_TOLD` characters."""
LONGEST_TOLD: Final = 40


@cache
def code_meanings() -> Mapping[tuple[str, str], str]:
    """(list, code) -> meaning, from ``schemas/codelists/receipt_codes.csv``."""
    rows = csv.DictReader(schemas.read_text("codelists", "receipt_codes.csv").splitlines())
    return MappingProxyType({(row["list"], row["code"]): row["meaning"] for row in rows})


def message_id(body: bytes) -> UUID:
    """The id of an inbound customs message: fixed by its bytes."""
    return named(hashlib.sha256(body).hexdigest())


def named(sha256: str) -> UUID:
    """The same, of bytes whose hash is known."""
    return uuid5(INBOUND, sha256)


def open_tolerantly(body: bytes) -> tuple[etree._Element, str]:
    """(root of what customs sent, in whatever encoding; what was odd about it, "": nothing). Raises Unreadable."""
    text, odd = as_utf8(body)
    try:
        return parse(text), odd
    except Refused as refused:
        one = refused.faults[0]
        raise Unreadable(one.code, f"line {one.line or '?'}: {one.message}") from None


def unknown_elements(root: etree._Element) -> str:
    """A sentence about elements with a text that no receipt is known to have: they are kept, and change nothing."""
    known, found, signed = _known_elements(), dict[str, None](), 0
    for element in root.iter("{*}*"):
        name = local_name(element)
        if signed:
            signed -= 1
        elif name == _SIGNED:
            signed = sum(1 for _ in element.iter("{*}*")) - 1
        elif name not in known and (element.text or "").strip():
            found[name[:LONGEST_TOLD]] = None
            if len(found) > MOST_TOLD:
                break
    if not found:
        return ""
    more = " and more" if len(found) > MOST_TOLD else ""
    return f"Elements that nobody told us of: {', '.join(list(found)[:MOST_TOLD])}{more}."


@cache
def _known_elements() -> frozenset[str]:
    """Every element of the receipts' schemas."""
    found = {
        str(element.get("name"))
        for schema in ("receipt", "fileret")
        for element in catalog()[schema].document().iter("{http://www.w3.org/2001/XMLSchema}element")
    }
    return frozenset(found)


def read_receipt(root: etree._Element, body: bytes, noticed: str = "") -> BusinessReceipt:
    """A business receipt; `noticed`: what was odd about it. Raises Unreadable when it names no certificate."""
    own, inside = _texts(root, apart="CusRespData")
    channel, reply = own.get("Channel", ""), None if inside is None else _reply(inside)
    sha256 = hashlib.sha256(body).hexdigest()
    return BusinessReceipt(
        message_id=named(sha256),
        raw_sha256=sha256,
        number=_number(own),
        noticed=noticed,
        channel=channel,
        meaning=_meaning(channel, reply),
        note=own.get("Note", ""),
        received_at=own.get("ReceiveTime", ""),
        sent_at=own.get("SendTime", ""),
        reply=reply,
    )


def read_fileret(root: etree._Element, body: bytes, noticed: str = "") -> TechnicalReceipt | AttachmentReceipt:
    """A technical receipt; with FileType or FileName an attachment's. Raises Unreadable without a number."""
    own, _ = _texts(root)
    code, sha256 = own.get("RetType", ""), hashlib.sha256(body).hexdigest()
    common = TechnicalReceipt(
        message_id=named(sha256),
        raw_sha256=sha256,
        number=_number(own),
        noticed=noticed,
        code=code,
        verdict=TechnicalVerdict(code_meanings().get(("ret_type", code), "unknown")),
        note=own.get("Note", ""),
        sent_at=own.get("SendTime", ""),
    )
    if next(root.iter("{*}FileType", "{*}FileName"), None) is None:
        return common
    return AttachmentReceipt(
        **common.model_dump(), file_type=own.get("FileType", ""), file_name=own.get("FileName", "")
    )


def write_receipt(
    number: str,
    channel: str,
    *,
    note: str = "",
    received_at: str = "",
    sent_at: str = "",
    reply: CustomsReply | None = None,
) -> bytes:
    """A business receipt as customs would send it, valid against our schema. Raises ValueError when it can't be.

    Times are texts ``yyyy-MM-dd hh:mm:ss``.
    """
    parts = _elements({"CertNo": number, "ReceiveTime": received_at, "Channel": channel, "Note": note})
    parts += _elements({"SendTime": sent_at})
    if reply is not None:
        values = {element: str(getattr(reply, field)) for element, field in _REPLY.items()}
        running = "" if reply.running_no is None else str(reply.running_no)
        flag = "1" if reply.issued_retroactively else ""
        inner = _elements({"RspNo": running, **values, "ReissueFlag": flag})
        parts += f"<CusRespData>{inner}</CusRespData>"
    return _checked("receipt", f'<Receipt xmlns="{NAMESPACE}">{parts}</Receipt>')


def write_fileret(
    number: str,
    code: str,
    *,
    note: str = "",
    received_at: str = "",
    sent_at: str = "",
    file_type: str = "",
    file_name: str = "",
) -> bytes:
    """A technical receipt, or with `file_type` an attachment's. Raises ValueError when it can't be valid."""
    inner = _elements(
        {
            "CertNo": number,
            "ReceiveTime": received_at,
            "RetType": code,
            "Note": note,
            "SendTime": sent_at,
            "FileType": file_type,
            "FileName": file_name,
        }
    )
    return _checked("fileret", f"<FileRet>{inner}</FileRet>")


def _elements(values: Mapping[str, str]) -> str:
    return "".join(f"<{name}>{escaped(presentable(v))}</{name}>" for name, v in values.items() if v)


def _checked(name: str, document: str) -> bytes:
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n{document}\n'.encode()
    errors = catalog()[name].errors(parse(body))
    if errors:
        raise ValueError(f"no valid {name}: schema error {errors[0].kind} at {errors[0].path}")
    return body


def local_name(element: etree._Element) -> str:
    """Its name without the namespace."""
    return str(element.tag).rpartition("}")[2]


def _texts(root: etree._Element, apart: str = "") -> tuple[dict[str, str], dict[str, str] | None]:
    """Local name -> trimmed text, first occurrence wins: of all that is not in the first element called `apart`, and of
    what is in it; None: there is no such element."""
    own: dict[str, str] = {}
    inside: dict[str, str] | None = None
    left, found = 0, own
    for element in root.iter("{*}*"):
        name, text = local_name(element), element.text
        if name == apart and inside is None:
            inside = found = {}
            left = sum(1 for _ in element.iter("{*}*"))
        elif left == 0:
            found = own
        left -= 1
        if text and (text := text.strip()):
            found.setdefault(name, text)
    return own, inside


def _number(own: Mapping[str, str]) -> str:
    number = own.get("CertNo", "")
    if not number:
        raise Unreadable("RECEIPT-NO-NUMBER", "the receipt has no CertNo, so it belongs to no certificate")
    return number


def _reply(own: Mapping[str, str]) -> CustomsReply:
    running = own.get("RspNo", "")
    return CustomsReply(
        running_no=int(running) if running.isascii() and running.isdigit() and len(running) < 10 else None,
        issued_retroactively=own.get("ReissueFlag", "") == "1",
        **{field: text for name, text in own.items() if (field := _REPLY.get(name))},
    )


def _meaning(channel: str, reply: CustomsReply | None) -> ReceiptMeaning:
    meaning = code_meanings().get(("channel", channel), "unknown")
    if meaning == "reply":
        meaning = code_meanings().get(("rep_type", reply.code if reply else ""), "unknown")
    return ReceiptMeaning(meaning)
