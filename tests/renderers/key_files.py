"""PKCS#12 files as no program writes them, built bag by bag."""

import hashlib
from datetime import UTC, datetime
from typing import Any

from asn1crypto import algos, core, keys, pkcs12
from asn1crypto import x509 as asn1_x509
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

PASSWORD = "x"
ROUNDS = 1000
SALT, IV = b"8 bytes.", b"sixteen bytes..."
NEVER = 2**31 - 1
"""Rounds that take half an hour."""

Bag = dict[str, Any]


SINCE, UNTIL = datetime(2020, 1, 1, tzinfo=UTC), datetime(2099, 1, 1, tzinfo=UTC)


def a_pair(until: datetime = UNTIL) -> tuple[Any, x509.Certificate]:
    """A key with its certificate, which names itself as its authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "X")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(SINCE)
        .not_valid_after(until)
        .add_extension(x509.KeyUsage(True, True, False, False, False, False, False, False, False), critical=True)
        .sign(key, hashes.SHA256())
    )
    return key, certificate


def pkcs8(key: Any) -> bytes:
    return bytes(
        key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def encrypted(
    content: bytes, rounds: int = ROUNDS, *, derivation: Any = None, cipher: str = "aes256_cbc"
) -> tuple[Bag, bytes]:
    """Algorithm and ciphertext. It names `rounds`, `derivation` and `cipher`; what it is made by is always the same."""
    key = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), SALT, ROUNDS, 32)
    rest = 16 - len(content) % 16
    work = Cipher(algorithms.AES(key), modes.CBC(IV)).encryptor()
    pbkdf2 = {
        "algorithm": "pbkdf2",
        "parameters": {
            "salt": algos.Pbkdf2Salt("specified", SALT),
            "iteration_count": rounds,
            "prf": {"algorithm": "sha256"},
        },
    }
    scheme = {"algorithm": cipher, "parameters": core.OctetString(IV)}
    parameters = {"key_derivation_func": derivation or pbkdf2, "encryption_scheme": scheme}
    return {"algorithm": "pbes2", "parameters": parameters}, work.update(
        content + bytes([rest]) * rest
    ) + work.finalize()


def key_bag(content: bytes, rounds: int = ROUNDS, **other: Any) -> Bag:
    """An encrypted private key."""
    algorithm, data = encrypted(content, rounds, **other)
    value = keys.EncryptedPrivateKeyInfo({"encryption_algorithm": algorithm, "encrypted_data": data})
    return {"bag_id": "pkcs8_shrouded_key_bag", "bag_value": value}


def certificate_bag(certificate: x509.Certificate) -> Bag:
    content = certificate.public_bytes(serialization.Encoding.DER)
    asn1_x509.Certificate.load(content, strict=True)
    return {"bag_id": "cert_bag", "bag_value": {"cert_id": "x509", "cert_value": core.ParsableOctetString(content)}}


def inside(*bags: Bag) -> Bag:
    """Bags in a bag."""
    return {"bag_id": "safe_contents", "bag_value": pkcs12.SafeContents(list(bags))}


def shown(*bags: Bag) -> Bag:
    """A part that is not encrypted itself."""
    return {"content_type": "data", "content": pkcs12.SafeContents(list(bags)).dump()}


def hidden(*bags: Bag, rounds: int = ROUNDS) -> Bag:
    """An encrypted part."""
    algorithm, data = encrypted(pkcs12.SafeContents(list(bags)).dump(), rounds)
    info = {"content_type": "data", "content_encryption_algorithm": algorithm, "encrypted_content": data}
    return {"content_type": "encrypted_data", "content": {"version": "v0", "encrypted_content_info": info}}


def key_file(*parts: Bag, checksum_rounds: int = 0) -> bytes:
    """The whole file; without a checksum unless told how many rounds it names."""
    whole = {
        "version": "v3",
        "auth_safe": {"content_type": "data", "content": pkcs12.AuthenticatedSafe(list(parts)).dump()},
    }
    if checksum_rounds:
        whole["mac_data"] = {
            "mac": {"digest_algorithm": {"algorithm": "sha256"}, "digest": bytes(32)},
            "mac_salt": SALT,
            "iterations": checksum_rounds,
        }
    made: bytes = pkcs12.Pfx(whole).dump()
    return made
