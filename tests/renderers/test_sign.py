"""Signatures: two independent judges find them valid, and notice every change."""

import logging
import subprocess
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Literal

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from pyhanko.pdf_utils.reader import PdfFileReader

from renderers import demo_keys
from renderers.layout import RenderRefused
from renderers.sign import Signer
from renderers.verify import verify
from tests.renderers.samples import AT, bench

KINDS: list[Literal["P-256", "RSA-2048"]] = ["P-256", "RSA-2048"]


@pytest.mark.parametrize("kind", KINDS)
def test_pyhanko_finds_it_valid(kind: Literal["P-256", "RSA-2048"]) -> None:
    report = verify(bench().signed(bench().layout("C"), kind), [bench().authority.pem], AT)
    assert report.valid
    [one] = report.signatures
    assert (one.intact, one.whole, one.trusted) == (True, True, True)
    assert one.signer == "Ningbo Haitian Import and Export"
    assert one.signed_at == AT
    assert "VALID" in report.text()


@pytest.mark.needs("pdfsig")
@pytest.mark.parametrize("kind", KINDS)
def test_pdfsig_finds_it_valid(kind: Literal["P-256", "RSA-2048"], tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_bytes(bench().signed(bench().layout("RC", lines=60), kind))
    out = subprocess.run(["pdfsig", str(tmp_path / "a.pdf")], capture_output=True, text=True, timeout=60).stdout
    assert "Signature is Valid" in out
    assert "Total document signed" in out
    assert "ETSI.CAdES.detached" in out


def test_baseline_b() -> None:
    """EN 319 142-1: signing-certificate-v2 is there, signing-time is not."""
    [signature] = PdfFileReader(BytesIO(bench().signed(bench().layout("C")))).embedded_signatures
    attributes = {one["type"].native for one in signature.signer_info["signed_attrs"]}
    assert attributes == {"content_type", "message_digest", "signing_certificate_v2"}


def test_an_unknown_authority_is_not_trusted_but_no_answer_is_no_distrust() -> None:
    content = bench().signed(bench().layout("C"))
    other = demo_keys.make_authority(AT, "Somebody else")
    assert verify(content, [other.pem], AT).signatures[0].trusted is False
    assert not verify(content, [other.pem], AT).valid
    assert verify(content, at=AT).signatures[0].trusted is None
    assert verify(content, at=AT).valid


@pytest.mark.parametrize("where", [0.01, 0.3, 0.6, 0.9])
def test_a_changed_byte_is_noticed(where: float) -> None:
    content = bytearray(bench().signed(bench().layout("C")))
    content[int(len(content) * where)] ^= 1
    assert not verify(bytes(content), [bench().authority.pem], AT).valid


def test_a_changed_word_is_noticed() -> None:
    content = bench().signed(bench().layout("C"))
    old = "SAKURA TRADING".encode("utf-16-be").hex().encode()
    assert old in content
    report = verify(
        content.replace(old, "SAKUKA TRADING".encode("utf-16-be").hex().encode()), [bench().authority.pem], AT
    )
    assert not report.signatures[0].intact
    assert "CHANGED" in report.text()


def test_something_appended_is_noticed() -> None:
    report = verify(bench().signed(bench().layout("C")) + b"\n% more", [bench().authority.pem], AT)
    assert not report.valid


@pytest.mark.parametrize("content", [b"", b"%PDF-1.7", b"hello", b"%PDF-1.7\n" + bytes(2000)])
def test_rubbish_is_not_valid(content: bytes) -> None:
    assert not verify(content).valid
    assert verify(content).text().startswith("NOT")


def test_truncated_anywhere() -> None:
    content = bench().signed(bench().layout("C"))
    for share in (0.1, 0.5, 0.95, 0.999):
        assert not verify(content[: int(len(content) * share)]).valid


def test_unsigned() -> None:
    assert verify(bench().unsigned(bench().layout("C"))).text() == "NOT SIGNED"


def test_a_key_outside_its_validity_signs_nothing() -> None:
    layout = bench().layout("C")
    for at, code in ((AT + timedelta(days=3000), "KEY-EXPIRED"), (AT - timedelta(days=3), "KEY-NOT-YET")):
        with pytest.raises(RenderRefused, match=code):
            bench().renderer.render(layout, bench().marks, None, None, bench().signer, at)


def test_wrong_password() -> None:
    p12 = demo_keys.make_key(bench().authority, "X", "right", AT)
    with pytest.raises(RenderRefused, match="KEY-UNREADABLE"):
        Signer(p12, "wrong")
    with pytest.raises(RenderRefused, match="KEY-UNREADABLE"):
        Signer(b"rubbish", "x")


def p12_of(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> bytes:
    """A key with a certificate that is otherwise in order."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "X")])
    usage = x509.KeyUsage(True, True, False, False, False, False, False, False, False)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(AT)
        .not_valid_after(AT + timedelta(days=9))
        .add_extension(usage, critical=True)
        .sign(key, hashes.SHA256())
    )
    return pkcs12.serialize_key_and_certificates(
        b"x", key, certificate, None, serialization.BestAvailableEncryption(b"x")
    )


def test_other_keys_are_refused() -> None:
    assert Signer(p12_of(ec.generate_private_key(ec.SECP256R1())), "x").valid_from == AT
    with pytest.raises(RenderRefused, match="KEY-WEAK"):
        Signer(p12_of(rsa.generate_private_key(65537, 1024)), "x")
    with pytest.raises(RenderRefused, match="KEY-KIND"):
        Signer(p12_of(ec.generate_private_key(ec.SECP384R1())), "x")


def test_an_authority_is_no_signer() -> None:
    authority = bench().authority
    p12 = pkcs12.serialize_key_and_certificates(
        b"ca", authority.key, authority.certificate, None, serialization.BestAvailableEncryption(b"x")
    )
    with pytest.raises(RenderRefused, match="KEY-USAGE"):
        Signer(p12, "x")


def test_secrets_do_not_show() -> None:
    shown = repr(bench().signer) + repr(bench().seal) + repr(bench().handwriting)
    assert "Ningbo" not in shown
    assert len(shown) < 200


def test_verification_prints_no_stack_traces(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        verify(bench().signed(bench().layout("C")))
    assert caplog.text == ""
