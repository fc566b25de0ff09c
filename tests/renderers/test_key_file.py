"""Key files: what they cost is known before it is paid, what is wrong with them is named, and nothing in them shows."""

import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from asn1crypto import keys
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import pkcs12

from renderers.der import OCTETS, SEQUENCE, der, integer, oid
from renderers.key_file import MAX_ROUNDS, read
from renderers.layout import RenderRefused
from renderers.sign import Signer
from tests.renderers.key_files import (
    NEVER,
    PASSWORD,
    SINCE,
    UNTIL,
    a_pair,
    certificate_bag,
    hidden,
    inside,
    key_bag,
    key_file,
    pkcs8,
    shown,
)

SM3, SM4 = "1.2.156.10197.1.401.2", "1.2.156.10197.1.104.2"


@cache
def pair() -> tuple[bytes, Any]:
    key, certificate = a_pair()
    return pkcs8(key), certificate_bag(certificate)


def usual(**key: Any) -> bytes:
    """As OpenSSL writes it: certificates in an encrypted part, then the key."""
    content, certificate = pair()
    return key_file(hidden(certificate), shown(key_bag(content, **key)))


def refused(content: bytes, password: str = PASSWORD) -> RenderRefused:
    with pytest.raises(RenderRefused) as caught:
        Signer(content, password)
    return caught.value


def test_what_is_built_here_opens() -> None:
    assert isinstance(read(usual(), PASSWORD).key, ec.EllipticCurvePrivateKey)
    content, certificate = pair()
    nested = key_file(hidden(certificate), shown(inside(key_bag(content))))
    assert Signer(nested, PASSWORD).sha256 == Signer(usual(), PASSWORD).sha256
    checked = key_file(hidden(certificate), shown(key_bag(content)), checksum_rounds=MAX_ROUNDS // 2)
    assert Signer(checked, PASSWORD).sha256 == Signer(usual(), PASSWORD).sha256


COSTLY: dict[str, Callable[[bytes, Any], bytes]] = {
    "the key": lambda key, certificate: key_file(hidden(certificate), shown(key_bag(key, NEVER))),
    "the certificates": lambda key, certificate: key_file(hidden(certificate, rounds=NEVER), shown(key_bag(key))),
    "the checksum": lambda key, certificate: key_file(
        hidden(certificate), shown(key_bag(key)), checksum_rounds=NEVER
    ),
    "a bag in a bag": lambda key, certificate: key_file(
        hidden(certificate), shown(inside(inside(key_bag(key, NEVER))))
    ),
    "many small sums": lambda key, certificate: key_file(
        *[hidden(certificate, rounds=MAX_ROUNDS // 20)] * 20, shown(key_bag(key))
    ),
}  # fmt: skip


@pytest.mark.parametrize("where", COSTLY)
def test_what_asks_for_too_much_is_refused_before_it_is_opened(where: str) -> None:
    """Were one of them opened, it would take minutes to hours: the test would time out."""
    assert refused(COSTLY[where](*pair())).code == "KEY-COST"


def test_a_price_that_nobody_sees_is_not_paid() -> None:
    """OpenSSL would decrypt a key in an encrypted part, at any price, were it the first that it meets."""
    key, certificate = pair()
    behind = key_file(hidden(certificate, key_bag(key, NEVER)), shown(key_bag(key)))
    assert Signer(behind, PASSWORD).valid_from == SINCE
    only = key_file(hidden(certificate, key_bag(key, NEVER)))
    assert refused(only).code == "KEY-UNREADABLE"


def test_a_key_so_large_that_it_takes_seconds_to_test_is_refused_unopened() -> None:
    key, certificate = pair()
    large = key_file(hidden(certificate), shown(key_bag(bytes(8000))))
    assert refused(large).code == "KEY-KIND"
    assert refused(bytes(200_000)).code == "KEY-UNREADABLE"
    assert refused(key_file(*[hidden(certificate)] * 100, shown(key_bag(key)))).code == "KEY-UNREADABLE"
    deep = key_bag(key)
    for _ in range(20):
        deep = inside(deep)
    assert refused(key_file(shown(deep))).code == "KEY-UNREADABLE"


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (lambda: key_file(hidden(pair()[1]), shown(key_bag(sm2_key().dump()))), "KEY-KIND", "SM2"),
        (lambda: key_file(shown({"bag_id": "key_bag", "bag_value": sm2_key()}, pair()[1])), "KEY-KIND", "SM2"),
        (lambda: usual(cipher=SM4), "KEY-KIND", "SM4"),
        (lambda: b"0\x82" + bytes(9) + bytes.fromhex("060a2a811ccf5506010402"), "KEY-KIND", "SM2"),
        (lambda: usual(derivation={"algorithm": SM3}), "KEY-KIND", "SM3"),
        (lambda: usual(derivation={"algorithm": "1.3.6.1.4.1.11591.4.11"}), "KEY-KIND", "scrypt"),
        (lambda: b"-----BEGIN PRIVATE KEY-----\n", "KEY-UNREADABLE", "PEM"),
        (lambda: bytes.fromhex("feedfeed00000002"), "KEY-UNREADABLE", "Java"),
        (lambda: b"", "KEY-UNREADABLE", "no PKCS#12"),
        (lambda: key_file(hidden(pair()[1])), "KEY-UNREADABLE", "no private key"),
        (lambda: key_file(shown(key_bag(pair()[0]))), "KEY-UNREADABLE", "no certificate"),
        (lambda: key_file(shown(key_bag(pair()[0]), certificate_bag(a_pair()[1]))), "KEY-UNREADABLE", "certificate"),
        (lambda: key_file(shown(*[key_bag(pair()[0])] * 2), hidden(pair()[1])), "KEY-SEVERAL", "2 private keys"),
        (lambda: of_kind(ed25519.Ed25519PrivateKey.generate()), "KEY-KIND", "Ed25519"),
        (lambda: of_kind(ed448.Ed448PrivateKey.generate()), "KEY-KIND", "Ed448"),
        (lambda: of_kind(ec.generate_private_key(ec.SECP384R1())), "KEY-KIND", "secp384r1"),
        (lambda: of_kind(ec.generate_private_key(ec.BrainpoolP256R1())), "KEY-KIND", "brainpoolP256r1"),
        (lambda: of_kind(dsa.generate_private_key(1024), hashes.SHA256()), "KEY-KIND", "DSA"),
        (lambda: of_kind(rsa.generate_private_key(65537, 1024), hashes.SHA256()), "KEY-WEAK", "2048 to 4096"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(content: Callable[[], bytes], code: str, words: str) -> None:
    refusal = refused(content())
    assert (refusal.code, words in refusal.detail) == (code, True), refusal


def sm2_key() -> Any:
    """On the curve of GB/T 32918.5. Its public half is left to whoever reads it."""
    secret = der(SEQUENCE, integer(1), der(OCTETS, bytes(31) + b"\x07"))
    algorithm = der(SEQUENCE, oid("1.2.840.10045.2.1"), oid("1.2.156.10197.1.301"))
    return keys.PrivateKeyInfo.load(der(SEQUENCE, integer(0), algorithm, der(OCTETS, secret)))


def of_kind(key: Any, digest: Any = None) -> bytes:
    """A sound file of a key with a certificate for signing."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "X")])
    if digest is None and isinstance(key, ec.EllipticCurvePrivateKey):
        digest = hashes.SHA256()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(SINCE)
        .not_valid_after(UNTIL)
        .add_extension(x509.KeyUsage(True, True, False, False, False, False, False, False, False), critical=True)
        .sign(key, digest)
    )
    return pkcs12.serialize_key_and_certificates(
        b"x", key, certificate, None, serialization.BestAvailableEncryption(PASSWORD.encode())
    )


@pytest.mark.parametrize("password", ["secret\0word", "secret\ud800", "y" * 2000, "another-word", "", "密码"])
def test_a_password_shows_nowhere(password: str, capfd: pytest.CaptureFixture[str]) -> None:
    """OpenSSL's wrapper prints a password with a NUL in it, byte by byte, and ends the thread."""
    refusal = refused(usual(), password)
    shown = f"{refusal} {refusal.__cause__} {capfd.readouterr()}"
    assert refusal.code in ("KEY-PASSWORD", "KEY-UNREADABLE")
    assert "115, 101" not in shown
    assert not password or password not in shown


@pytest.mark.needs("openssl")
@pytest.mark.parametrize("password", ["x", "", "密码"])
@pytest.mark.parametrize(
    "options",
    [("-iter", "3000"), ("-legacy",), ("-legacy", "-keypbe", "PBE-SHA1-RC2-40"), ("-nomac",), ("-keypbe", "NONE")],
)
def test_files_of_openssl(options: tuple[str, ...], password: str, tmp_path: Path) -> None:
    key, certificate = a_pair()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "k.pem").write_bytes(pem + certificate.public_bytes(serialization.Encoding.PEM))
    command = [
        "openssl",
        "pkcs12",
        "-export",
        "-in",
        "k.pem",
        "-out",
        "k.p12",
        "-passout",
        f"pass:{password}",
        *options,
    ]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    content = (tmp_path / "k.p12").read_bytes()
    assert read(content, password).certificate == certificate
    if "NONE" not in options:
        assert refused(content, "other").code == "KEY-UNREADABLE"


def test_what_is_kept_opens_at_once_and_signs_the_same() -> None:
    signer = Signer(usual(rounds=1000), PASSWORD)
    kept = Signer(signer.rewritten, "", enrolled=True)
    assert kept.sha256 == signer.sha256
    assert kept.chain == signer.chain


def test_what_earlier_versions_kept_still_opens() -> None:
    key, certificate = pair()
    two = key_file(shown(key_bag(key), key_bag(key)), hidden(certificate))
    assert Signer(two, PASSWORD, enrolled=True).valid_from == SINCE
