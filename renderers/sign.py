"""PAdES B-B by an enterprise's key: CMS made of parts that never change, around one digest and one signature.

ETSI EN 319 142-1 baseline B-B: SubFilter ETSI.CAdES.detached, signed attributes content-type, message-digest and
signing-certificate-v2 and no signing-time (the time is /M), the byte range is the whole file. ECDSA takes RFC 6979
nonces: the same file gives the same signature. pyHanko and poppler's pdfsig are the judges, in the tests.
"""

import hashlib
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from renderers import key_file
from renderers.der import NULL, OCTETS, SEQUENCE, SET, context, der, integer, oid
from renderers.layout import RenderRefused
from renderers.page import Unsigned

SHA256 = der(SEQUENCE, oid("2.16.840.1.101.3.4.2.1"))
ECDSA_SHA256 = der(SEQUENCE, oid("1.2.840.10045.4.3.2"))
RSA_SHA256 = der(SEQUENCE, oid("1.2.840.113549.1.1.11"), NULL)
DATA, SIGNED_DATA = oid("1.2.840.113549.1.7.1"), oid("1.2.840.113549.1.7.2")
CONTENT_TYPE, MESSAGE_DIGEST = oid("1.2.840.113549.1.9.3"), oid("1.2.840.113549.1.9.4")
SIGNING_CERTIFICATE_V2 = oid("1.2.840.113549.1.9.16.2.47")
LEAST_RSA_BITS, MOST_RSA_BITS = 2048, 4096
ROUND = 1024
"""Room for the signature is a multiple of this many bytes."""


class Signer:
    """An enterprise's key with its certificates, loaded and checked once."""

    def __init__(self, p12: bytes, password: str, *, enrolled: bool = False) -> None:
        """`enrolled`: from our own store. Raises RenderRefused KEY-WEAK, KEY-USAGE and what `key_file.read` raises."""
        file = key_file.read(p12, password, enrolled=enrolled)
        self._key = _fit_key(file.key)
        _fit_certificate(file.certificate)
        if _public(file.key.public_key()) != _public(file.certificate.public_key()):
            raise RenderRefused("KEY-UNREADABLE", "key and certificate do not belong together")
        self.rewritten = key_file.rewritten(file)
        """PKCS#12 of what was taken from the file, without a password: to be stored, encrypted, and nowhere else."""
        self.certificate = file.certificate
        self.chain = file.chain
        self.sha256 = self.certificate.fingerprint(hashes.SHA256()).hex()
        """Of the certificate: the key's name in events."""
        self._prepare()
        self.hole = 2 * (-(-len(self._cms(self._attributes(bytes(32)), bytes(self._longest))) // ROUND) * ROUND)
        """Hexadecimal digits to keep free in a file."""

    def __repr__(self) -> str:
        return f"Signer({self.sha256[:16]})"

    @property
    def valid_from(self) -> datetime:
        """Aware, UTC."""
        return self.certificate.not_valid_before_utc

    @property
    def valid_to(self) -> datetime:
        """Aware, UTC."""
        return self.certificate.not_valid_after_utc

    def check(self, at: datetime) -> None:
        """Raises RenderRefused KEY-EXPIRED or KEY-NOT-YET when the certificate isn't valid at a time."""
        if at < self.valid_from:
            raise RenderRefused("KEY-NOT-YET", "the certificate of the enterprise's key is not valid yet")
        if at > self.valid_to:
            raise RenderRefused("KEY-EXPIRED", "the certificate of the enterprise's key has expired")

    def sign(self, unsigned: Unsigned) -> tuple[bytes, str]:
        """The finished file and its SHA-256."""
        digest = unsigned.digest()
        attributes = self._attributes(digest)
        return unsigned.filled(self._cms(attributes, self._raw(der(SET, attributes))))

    def _prepare(self) -> None:
        """Everything of the CMS that depends on the certificate only."""
        encoded = self.certificate.public_bytes(serialization.Encoding.DER)
        issuer = self.certificate.issuer.public_bytes()
        serial = integer(self.certificate.serial_number)
        issuer_serial = der(SEQUENCE, der(SEQUENCE, context(4, issuer)), serial)
        identity = der(SEQUENCE, der(OCTETS, hashlib.sha256(encoded).digest()), issuer_serial)
        self._fixed_attributes = (
            der(SEQUENCE, CONTENT_TYPE, der(SET, DATA)),
            der(SEQUENCE, SIGNING_CERTIFICATE_V2, der(SET, der(SEQUENCE, der(SEQUENCE, identity)))),
        )
        chain = [encoded, *(one.public_bytes(serialization.Encoding.DER) for one in self.chain)]
        self._head = integer(1) + der(SET, SHA256) + der(SEQUENCE, DATA) + context(0, *sorted(chain))
        self._signer = integer(1) + der(SEQUENCE, issuer, serial) + SHA256
        is_rsa = isinstance(self._key, rsa.RSAPrivateKey)
        self._algorithm = RSA_SHA256 if is_rsa else ECDSA_SHA256
        self._longest = self._key.key_size // 8 if is_rsa else 72
        self._ecdsa = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)

    def _attributes(self, digest: bytes) -> bytes:
        """The signed attributes, in the order DER wants of a SET."""
        message = der(SEQUENCE, MESSAGE_DIGEST, der(SET, der(OCTETS, digest)))
        return b"".join(sorted((*self._fixed_attributes, message)))

    def _cms(self, attributes: bytes, signature: bytes) -> bytes:
        one = der(SEQUENCE, self._signer, context(0, attributes), self._algorithm, der(OCTETS, signature))
        return der(SEQUENCE, SIGNED_DATA, context(0, der(SEQUENCE, self._head, der(SET, one))))

    def _raw(self, message: bytes) -> bytes:
        if isinstance(self._key, rsa.RSAPrivateKey):
            return self._key.sign(message, padding.PKCS1v15(), hashes.SHA256())
        return self._key.sign(message, self._ecdsa)


def _fit_key(key: object) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
    if isinstance(key, rsa.RSAPrivateKey):
        if not LEAST_RSA_BITS <= key.key_size <= MOST_RSA_BITS:
            raise RenderRefused("KEY-WEAK", f"an RSA key has {LEAST_RSA_BITS} to {MOST_RSA_BITS} bits")
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    curve = f"an elliptic curve key on {key.curve.name}" if isinstance(key, ec.EllipticCurvePrivateKey) else ""
    kind = curve or f"of the kind {type(key).__name__.removesuffix('PrivateKey')}"
    raise RenderRefused("KEY-KIND", f"this key is {kind}, which is not supported: a key is RSA or P-256")


def _fit_certificate(certificate: x509.Certificate) -> None:
    """The certificate may sign documents (keyUsage digitalSignature or nonRepudiation), and is no CA."""
    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        certificate.not_valid_before_utc, certificate.not_valid_after_utc, certificate.public_key()
    except x509.ExtensionNotFound:
        what = "the certificate does not say what its key is for: keyUsage digitalSignature or nonRepudiation"
        raise RenderRefused("KEY-USAGE", what) from None
    except (ValueError, x509.DuplicateExtension, UnsupportedAlgorithm):
        raise RenderRefused("KEY-UNREADABLE", "the certificate in the key file is damaged") from None
    if not (usage.content_commitment or usage.digital_signature):
        raise RenderRefused("KEY-USAGE", "the certificate is not for signing documents")


def _public(key: object) -> bytes:
    if isinstance(key, (rsa.RSAPublicKey, ec.EllipticCurvePublicKey)):
        return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return b""
