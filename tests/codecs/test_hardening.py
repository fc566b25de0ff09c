"""What the parser must refuse, quickly, without reading anything from disk or network."""

import socket
import threading
import time
from pathlib import Path

import pytest
from lxml import etree

from adapters.codecs import explain
from adapters.codecs.catalog import catalog
from adapters.codecs.customs_xml import CustomsXml
from adapters.codecs.receipts import open_tolerantly
from adapters.codecs.xml import parse
from gateway.core.faults import Refused
from gateway.ports import Unreadable
from tests.codecs.documents import BENCHMARK, example

XML = CustomsXml()
GOOD = example(BENCHMARK).decode()
PROLOG = '<?xml version="1.0" encoding="UTF-8"?>\n'
CANARY = "CANARY-5f1c"


def codes(raw: bytes) -> list[str]:
    start = time.perf_counter()
    with pytest.raises(Refused) as caught:
        XML.read(raw)
    assert time.perf_counter() - start < 1
    assert CANARY not in repr(caught.value.faults)
    return [fault.code for fault in caught.value.faults]


def with_doctype(subset: str, mark: str = "N/M") -> bytes:
    return (PROLOG + subset + GOOD.removeprefix(PROLOG).replace("<Mark>", f"<Mark>{mark}")).encode()


@pytest.fixture
def listener() -> "Listener":
    return Listener()


class Listener:
    """Counts connections to a loopback port."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(0.2)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/x.dtd"

    def hits(self) -> int:
        try:
            self._socket.accept()[0].close()
        except TimeoutError:
            return 0
        finally:
            self._socket.close()
        return 1


def test_the_listener_hears(listener: Listener) -> None:
    port = int(listener.url.split(":")[2].split("/")[0])
    threading.Thread(target=lambda: socket.create_connection(("127.0.0.1", port)).close()).start()
    assert listener.hits() == 1


def test_nothing_is_read_from_disk_or_network(tmp_path: Path, listener: Listener) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text(CANARY)
    uri, url = secret.as_uri(), listener.url
    for subset in (
        f'<!DOCTYPE Certificate SYSTEM "{url}">',
        f'<!DOCTYPE Certificate [<!ENTITY e SYSTEM "{uri}">]>',
        f'<!DOCTYPE Certificate [<!ENTITY e SYSTEM "{url}">]>',
        f'<!DOCTYPE Certificate [<!ENTITY % p SYSTEM "{url}"> %p;]>',
        f'<!-- c --><?pi?>\n<!DOCTYPE Certificate PUBLIC "-//X" "{url}">',
    ):
        assert codes(with_doctype(subset, "&e;")) == ["XML-DOCTYPE"]
    included = f'<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="{uri}" parse="text"/>'
    assert "XSD-CONTENT" in codes(GOOD.replace("<Mark>", f"<Mark>{included}").encode())
    whole = f'<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="{url}"/>'
    assert codes((PROLOG + whole).encode()) == ["XSD-ROOT"]
    located = GOOD.replace("coo.xsd", url).encode()
    assert XML.read(located).declaration
    assert codes(located.replace(b"<ApplyType>1</ApplyType>", b"")) == ["XSD-MISSING"]
    styled = GOOD.replace(PROLOG, f'{PROLOG}<?xml-stylesheet href="{url}"?><?xml-model href="{url}"?>')
    assert XML.read(styled.encode()).declaration
    assert listener.hits() == 0


def test_billion_laughs() -> None:
    bomb = '<!DOCTYPE c [<!ENTITY a "lol">' + "".join(
        f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    assert codes(with_doctype(bomb + "]>", "&i;")) == ["XML-DOCTYPE"]


@pytest.mark.parametrize("depth", [65, 300, 3000, 500_000])
def test_deep_nesting(depth: int) -> None:
    assert codes(b"<a>" * depth + b"</a>" * depth) == ["XML-DEPTH"]


def test_depth_up_to_the_limit_parses() -> None:
    assert parse(b"<a>" * 64 + b"</a>" * 64) is not None


@pytest.mark.parametrize("filler", [b"x", b"<a/>", b"<!-- -->", b"&amp;"])
def test_fifty_megabytes(filler: bytes) -> None:
    raw = b"<a>" + filler * (50_000_000 // len(filler)) + b"</a>"
    assert codes(raw) == ["XML-SIZE"]


@pytest.mark.parametrize("filler", [b"x", b"<a/>", b"<!-- -->", b"&amp;", b"<a b='c'/>"])
def test_just_below_the_size_limit(filler: bytes) -> None:
    raw = b"<a>" + filler * (4_000_000 // len(filler)) + b"</a>"
    start = time.perf_counter()
    with pytest.raises(Refused):
        XML.read(raw)
    assert time.perf_counter() - start < 2


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (GOOD.replace('encoding="UTF-8"', 'encoding="GBK"').encode("gbk"), "XML-ENCODING"),
        (GOOD.encode("gbk"), "XML-ENCODING"),
        (GOOD.encode("utf-16"), "XML-ENCODING"),
        (GOOD.encode("utf-16-le"), "XML-ENCODING"),
        (GOOD.encode("utf-16-be"), "XML-ENCODING"),
        (GOOD.encode("utf-32"), "XML-ENCODING"),
        (GOOD.replace('encoding="UTF-8"', 'encoding="UTF-7"').encode(), "XML-DECLARATION"),
        (GOOD.replace('encoding="UTF-8"', 'encoding="ISO-8859-1"').encode(), "XML-DECLARATION"),
        (GOOD.encode().replace(b"N", b"\xff", 1), "XML-ENCODING"),
        (GOOD.encode().replace(b"<Mark>", b"<Mark>\xed\xa0\x80"), "XML-ENCODING"),
        (GOOD.encode().replace(b"<Mark>", b"<Mark>\xc0\x80"), "XML-ENCODING"),
        (GOOD.encode().replace(b"<Mark>", b"<Mark>\0"), "TEXT-CONTROL"),
        (GOOD.encode().replace(b"<Mark>", b"<Mark>&#0;"), "TEXT-CONTROL"),
        (GOOD.encode().replace(b"<Mark>", b"<Mark>\x1b"), "TEXT-CONTROL"),
        (GOOD.encode().replace(b"<Mark>", b"<Mark>&#27;"), "TEXT-CONTROL"),
        (GOOD.encode().replace(b"<Mark>", b"<Mark>&#xD800;"), "TEXT-CONTROL"),
        (GOOD.encode().replace(b"<Mark>", b"<Mark>&nbsp;"), "XML-SYNTAX"),
        (GOOD.encode().replace(b"<Mark>", b"<Mark>A & B"), "XML-SYNTAX"),
        (GOOD.encode().replace(b"</Mark>", b"</Mrak>"), "XML-SYNTAX"),
        (GOOD.encode()[:-20], "XML-SYNTAX"),
        (GOOD.encode() + b"<x/>", "XML-SYNTAX"),
        (b"\n" + GOOD.encode(), "XML-SYNTAX"),
        (b"", "XML-EMPTY"),
        (b"  \n", "XML-EMPTY"),
        (b"hello", "XML-SYNTAX"),
        (b'{"json": 1}', "XML-SYNTAX"),
    ],
)
def test_broken_documents(raw: bytes, code: str) -> None:
    assert codes(raw) == [code]


def test_a_mark_for_utf8_and_comments_do_no_harm() -> None:
    plain = XML.read(GOOD.encode()).declaration
    assert XML.read(b"\xef\xbb\xbf" + GOOD.encode()).declaration == plain
    commented = GOOD.replace("<Mark>", "<Mark><!-- <!DOCTYPE x> -->").replace(
        "<ApplyType>", "<!-- --><?pi x?><ApplyType>"
    )
    assert XML.read(commented.encode()).declaration == plain


def test_lines_of_syntax_errors() -> None:
    with pytest.raises(Refused) as caught:
        parse(b"<a>\n<b>\n</a>")
    assert caught.value.faults[0].line == 3


def test_one_schema_never_tells_one_reader_of_anothers_document() -> None:
    """Eight threads, one schema object: each sees the faults of its own document only."""
    documents = [
        GOOD.replace("<ApplyType>1<", f"<ApplyType>{'x' * n}<").encode() if n % 2 else GOOD.encode()
        for n in range(2, 10)
    ]
    wrong: list[int] = []

    def read(index: int) -> None:
        root = parse(documents[index])
        for _ in range(200):
            errors = catalog()["certificate"].errors(root)
            if bool(errors) != bool(index % 2):
                wrong.append(index)

    threads = [threading.Thread(target=read, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("encoding", ["utf-8", "gbk", "gb18030", "utf-16"])
def test_tolerant_reader_keeps_the_guards(encoding: str) -> None:
    raw = f'<?xml version="1.0" encoding="{encoding}"?><!DOCTYPE a><a>中</a>'.encode(encoding)
    with pytest.raises(Unreadable) as caught:
        open_tolerantly(raw)
    assert caught.value.code == "XML-DOCTYPE"


def test_patterns_take_linear_time() -> None:
    root = parse(GOOD.replace("<GoodsQty>", "<GoodsQty>" + "1" * 100_000).encode())
    start = time.perf_counter()
    assert not catalog()["certificate"].valid(root)
    assert explain.faults(catalog()["certificate"], root)[0].code == "XSD-LENGTH"
    assert time.perf_counter() - start < 0.5


def test_the_parser_is_where_it_should_be() -> None:
    assert etree.LXML_VERSION >= (6, 1)
