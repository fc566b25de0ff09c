"""Hostile bytes over HTTP to a real process: refused in under a second, with a code, and nothing is read for them."""

import errno
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from random import Random
from urllib.parse import quote

import httpx
import orjson
import pytest

from adapters.codecs.customs_xml import CustomsXml
from adapters.codecs.enterprise_json import EnterpriseJson
from simulators.erp.generator import declaration
from tests.integration import process
from tests.integration.conftest import House

CANARY = "CANARY-7e21"
PROLOG = '<?xml version="1.0" encoding="UTF-8"?>\n'
MEGABYTE = 1 << 20
TRIES = 4
XINCLUDE = "http://www.w3.org/2001/XInclude"


class Bait:
    """A loopback port and a named pipe that nobody has a reason to open: whoever does, is noticed."""

    def __init__(self, folder: Path) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/{CANARY}.dtd"
        self._pipe = folder / "secret.txt"
        os.mkfifo(self._pipe, 0o666)
        self.file = self._pipe.as_uri()

    def hits(self) -> list[str]:
        """Who bit. A reader of the pipe waits in its `open` for a writer, so it is still there."""
        found = []
        try:
            self._socket.accept()[0].close()
            found.append("network")
        except BlockingIOError:
            pass
        try:
            os.close(os.open(self._pipe, os.O_WRONLY | os.O_NONBLOCK))
            found.append("disk")
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
        return found

    def close(self) -> None:
        """Take it away."""
        self._socket.close()


@pytest.fixture
def bait(tmp_path: Path) -> Iterator[Bait]:
    laid = Bait(tmp_path)
    yield laid
    laid.close()


def test_the_bait_works(bait: Bait) -> None:
    assert bait.hits() == []
    reader = os.open(bait.file.removeprefix("file://"), os.O_RDONLY | os.O_NONBLOCK)
    port = int(bait.url.split(":")[2].split("/")[0])
    with socket.create_connection(("127.0.0.1", port)):
        assert bait.hits() == ["network", "disk"]
    os.close(reader)


def good(house: House, serial: int = 80000) -> tuple[str, dict[str, object]]:
    """A declaration without a fault, as XML and as JSON data."""
    content = declaration(Random(serial), "C", house.account.enterprise, serial, size=1)
    content = content.model_copy(update={"marks": CANARY, "application_note": CANARY})
    data: dict[str, object] = orjson.loads(EnterpriseJson().write(content))
    return CustomsXml().write(content).decode(), data


def xml_with(text: str, subset: str = "", mark: str | None = None) -> bytes:
    body = text[text.index("?>") + 2 :] if text.startswith("<?xml") else text
    if mark is not None:
        assert f"<Mark>{CANARY}</Mark>" in body
        body = body.replace(f"<Mark>{CANARY}</Mark>", f"<Mark>{CANARY}{mark}</Mark>")
    return (PROLOG + subset + body).encode()


Document = Callable[[str, Bait], bytes]
LAUGHS = "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True))

XML_DOCUMENTS: dict[str, tuple[Document, str]] = {
    "a DOCTYPE": (lambda text, _: xml_with(text, "<!DOCTYPE Certificate>"), "XML-DOCTYPE"),
    "a DOCTYPE elsewhere": (
        lambda text, bait: xml_with(text, f'<!DOCTYPE Certificate SYSTEM "{bait.url}">'),
        "XML-DOCTYPE",
    ),
    "an entity from disk": (
        lambda text, bait: xml_with(text, f'<!DOCTYPE c [<!ENTITY e SYSTEM "{bait.file}">]>', "&e;"),
        "XML-DOCTYPE",
    ),
    "an entity from the network": (
        lambda text, bait: xml_with(text, f'<!DOCTYPE c [<!ENTITY e SYSTEM "{bait.url}">]>', "&e;"),
        "XML-DOCTYPE",
    ),
    "a parameter entity": (
        lambda text, bait: xml_with(text, f'<!DOCTYPE c [<!ENTITY % p SYSTEM "{bait.file}"> %p;]>'),
        "XML-DOCTYPE",
    ),
    "a billion laughs": (
        lambda text, _: xml_with(text, f'<!DOCTYPE c [<!ENTITY a "lol">{LAUGHS}]>', "&i;"),
        "XML-DOCTYPE",
    ),
    "an entity that nobody declared": (lambda text, _: xml_with(text, "", "&e;"), "XML-"),
    "an XInclude of text": (
        lambda text, bait: xml_with(text, "", f'<i:include xmlns:i="{XINCLUDE}" href="{bait.file}" parse="text"/>'),
        "XSD-",
    ),
    "an XInclude of XML": (
        lambda text, bait: xml_with(text, "", f'<i:include xmlns:i="{XINCLUDE}" href="{bait.url}"/>'),
        "XSD-",
    ),
    "a whole XInclude": (
        lambda _, bait: xml_with(f'<i:include xmlns:i="{XINCLUDE}" href="{bait.url}"/>'),
        "XSD-",
    ),
    "300-deep nesting": (lambda _, __: b"<a>" * 300 + b"</a>" * 300, "XML-DEPTH"),
    "100,000-deep nesting": (lambda _, __: b"<a>" * 100_000 + b"</a>" * 100_000, "XML-DEPTH"),
    "UTF-16 that says it is UTF-8": (
        lambda text, _: PROLOG.encode() + text.partition("?>")[2].encode("utf-16"),
        "",
    ),
    "GBK that says it is UTF-8": (lambda text, _: xml_with(text, "", "原产地").decode().encode("gbk"), "XML-"),
    "an unknown encoding": (
        lambda text, _: xml_with(text).replace(b'"UTF-8"', b'"X-CANARY-7e21"'),
        "XML-",
    ),
    "a NUL": (lambda text, _: xml_with(text, "", "\0"), ""),
    "a NUL by reference": (lambda text, _: xml_with(text, "", "&#0;"), ""),
    "a bidi control character": (lambda text, _: xml_with(text, "", "\u202e"), ""),
    "a bidi isolate by reference": (lambda text, _: xml_with(text, "", "&#x2066;"), ""),
    "nothing at all": (lambda _, __: b"", ""),
    "no XML": (lambda _, __: CANARY.encode(), "XML-"),
}
JSON_DOCUMENTS: dict[str, tuple[bytes, str]] = {
    "300-deep arrays": (b"[" * 300 + b"]" * 300, "JSON-"),
    "300-deep objects": (b'{"goods":' * 300 + b"1" + b"}" * 300, "JSON-"),
    "a NUL": (b"\\u0000", ""),
    "a raw control character": (b"\x01", "JSON-"),
    "a bidi control character": ("\u202e".encode(), ""),
    "a lone surrogate": (b"\\ud800", ""),
    "GBK": ("原产地".encode("gbk"), "JSON-"),
    "UTF-16": ("{}".encode("utf-16"), "JSON-"),
    "a byte order mark inside": ("\ufeff".encode(), ""),
}


@pytest.fixture
async def http(house: House) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=house.serve.url, trust_env=False, timeout=30) as client:
        yield client


Pieces = Callable[[], AsyncIterator[bytes]]


async def refused(
    http: httpx.AsyncClient, house: House, media_type: str, body: bytes | Pieces, prefix: str
) -> httpx.Response:
    """Send it; it must be refused at once, by code, without an echo. The best of some tries: on a busy machine an
    answer may have to wait for work that has nothing to do with it."""
    headers = {**house.account.bearer, "content-type": media_type}
    took: list[float] = []
    while len(took) < TRIES and min(took, default=1.0) >= 1:
        started = time.perf_counter()
        content = body if isinstance(body, bytes) else body()
        response = await http.post("/v1/declarations", content=content, headers=headers)
        took.append(time.perf_counter() - started)
    assert min(took) < 1, took
    assert response.status_code in (413, 415, 422), response.text
    codes = [fault["code"] for fault in response.json()["errors"]]
    assert codes, response.text
    assert all(code.startswith(prefix) for code in codes), codes
    assert CANARY.encode() not in response.content
    return response


@pytest.mark.parametrize("name", XML_DOCUMENTS)
async def test_hostile_xml(http: httpx.AsyncClient, house: House, bait: Bait, name: str) -> None:
    make, prefix = XML_DOCUMENTS[name]
    await refused(http, house, "application/xml", make(good(house)[0], bait), prefix)
    assert bait.hits() == []


@pytest.mark.parametrize("name", JSON_DOCUMENTS)
async def test_hostile_json(http: httpx.AsyncClient, house: House, name: str) -> None:
    piece, prefix = JSON_DOCUMENTS[name]
    body = piece
    if not piece.startswith((b"[", b"{", b"\xff\xfe")):
        body = orjson.dumps(good(house)[1]).replace(CANARY.encode(), CANARY.encode() + piece, 1)
        assert piece in body
    await refused(http, house, "application/json", body, prefix)


@pytest.mark.parametrize("media_type", ["application/xml", "application/json"])
@pytest.mark.parametrize("announced", [True, False], ids=["with its length", "in chunks"])
async def test_fifty_megabytes(http: httpx.AsyncClient, house: House, media_type: str, announced: bool) -> None:
    text = b"<a>" + b"x" * (50 * MEGABYTE) if media_type.endswith("xml") else b'"' + b"x" * (50 * MEGABYTE)

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(text), MEGABYTE):
            yield text[start : start + MEGABYTE]

    response = await refused(http, house, media_type, text if announced else pieces, "DOC-TOO-LARGE")
    assert response.status_code == 413


async def test_after_all_that_it_is_well(http: httpx.AsyncClient, house: House) -> None:
    """Run behind the others: the same process serves, its memory is modest, nothing of the canary is in its log."""
    assert house.serve.runs
    assert (await http.get("/readyz")).status_code == 200
    text, _ = good(house, 80001)
    headers = {**house.account.bearer, "content-type": "application/xml"}
    response = await http.post("/v1/declarations", content=text.encode(), headers=headers)
    assert response.status_code == 202, response.text
    assert CANARY not in house.serve.said_ever()
    assert house.serve.memory() < 600 * MEGABYTE


async def test_hostile_files_in_the_folder(house: House, bait: Bait) -> None:
    from tests.integration.erps import drop

    text, _ = good(house)
    root = house.serve.folders / house.account.name
    names = []
    for number, (make, _) in enumerate(XML_DOCUMENTS.values()):
        if content := make(text, bait):
            names.append(f"hostile-{number}.xml")
            drop(root, names[-1], content)
    answers = [root / "rejected" / f"{name}.result.json" for name in names]
    assert process.eventually(lambda: all(answer.exists() for answer in answers), 20)
    assert not any(CANARY in answer.read_text("utf-8") for answer in answers)
    assert bait.hits() == []


async def test_values_in_addresses_and_headers_are_not_echoed(http: httpx.AsyncClient, house: House) -> None:
    own = house.account.bearer
    for path in (
        f"/v1/certificates/{CANARY}",
        f"/v1/certificates?limit={CANARY}",
        f"/{CANARY}",
        f"/v1/{quote('/../')}{CANARY}",
    ):
        response = await http.get(path, headers=own)
        assert response.status_code in (400, 404)
        instance = response.json().get("instance", "")
        assert CANARY not in response.text.replace(instance, "")
    for headers in ({"idempotency-key": f"{CANARY}\x01"}, {"content-type": CANARY}, {"authorization": CANARY}):
        response = await http.post("/v1/declarations", content=b"", headers={**own, **headers})
        assert response.status_code in (400, 401, 415, 422)
        assert CANARY not in response.text
    assert CANARY not in house.serve.said_ever()
