"""Key files (PKCS#12, RFC 7292) of enterprises: what they cost is read before it is paid, what they hold is named.

A PKCS#12 file says itself how many rounds of hashing its password takes, and OpenSSL obeys: a small file can ask for
hours. So its structure is read first, which costs next to nothing, all rounds are added up, and only then is anything
decrypted. What an encrypted part holds can't be seen before: OpenSSL would decrypt a key in there too, at any price.
But it takes one key only, so the file is given to it with the key that is seen in front.
"""

import hashlib
import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from asn1crypto import cms, pkcs12
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12 as openssl

from renderers.layout import RenderRefused

MAX_BYTES = 128 << 10
MAX_KEY_BYTES = 3 << 10
"""An encrypted private key; RSA of 4096 bits takes 2.4 kB. The primes of a larger one are tested for seconds."""
MAX_ROUNDS = 1_000_000
"""All together, half a second. Usual files ask for 2 x 2,000 to 2 x 100,000."""
MAX_PARTS, MAX_DEPTH = 64, 4
MAX_PASSWORD = 1024
"""Characters."""
CIPHERS = frozenset({"aes128_cbc", "aes192_cbc", "aes256_cbc", "tripledes_3key", "rc2"})
CHINESE = "1.2.156.10197.1."
"""The arc of the Chinese algorithms (GM/T 0006)."""
SM_NAMES = {"301": "SM2", "401": "SM3", "102": "SM4", "104": "SM4"}
SCRYPT = "1.3.6.1.4.1.11591.4.11"
SM_BYTES = bytes.fromhex("2a811ccf55")
"""The same arc, one up, as it stands in a file: the card vendors' own .sm2 files have it too."""


@dataclass(frozen=True, slots=True, repr=False)
class KeyFile:
    """What a key file holds."""

    key: Any
    """A private key of `cryptography`."""
    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...]


def read(content: bytes, password: str, *, enrolled: bool = False) -> KeyFile:
    """Opens a key file. Takes up to a second, without holding up other threads. `enrolled`: it comes from our own
    store, where earlier versions kept files as they were given; it is opened as it is.

    Raises RenderRefused KEY-UNREADABLE (no such file, or a wrong password), KEY-PASSWORD (nothing that could be one),
    KEY-KIND, KEY-SEVERAL, KEY-COST.
    """
    secret = _secret(password)
    affordable = content if enrolled else _affordable(content, password)
    try:
        key, certificate, others = openssl.load_key_and_certificates(affordable, secret)
    except UnsupportedAlgorithm as error:
        raise _other_kind(str(error)) from None
    except ValueError:
        raise RenderRefused("KEY-UNREADABLE", "the password of the key file is wrong, or the file is damaged") from None
    if key is None:
        raise RenderRefused("KEY-UNREADABLE", "the key file holds no private key")
    if certificate is None:
        raise RenderRefused("KEY-UNREADABLE", "the key file holds no certificate that belongs to its key")
    return KeyFile(key, certificate, tuple(others))


def rewritten(file: KeyFile) -> bytes:
    """What is kept of a key file, under the master key: key and certificates alone, for an empty password."""
    return openssl.serialize_key_and_certificates(
        None, file.key, file.certificate, file.chain or None, serialization.NoEncryption()
    )


def _secret(password: str) -> bytes:
    """The password's bytes. OpenSSL ends a password at NUL, and prints it when it meets one."""
    if len(password) > MAX_PASSWORD or "\0" in password:
        raise RenderRefused("KEY-PASSWORD", f"a password has at most {MAX_PASSWORD} characters, none of them NUL")
    try:
        return password.encode()
    except UnicodeEncodeError:
        raise RenderRefused("KEY-PASSWORD", "the password holds half a character (a lone surrogate)") from None


def _affordable(content: bytes, password: str) -> bytes:
    """The same file with its only key in front."""
    if len(content) > MAX_BYTES:
        raise RenderRefused("KEY-UNREADABLE", f"a key file has at most {MAX_BYTES >> 10} KiB")
    try:
        pfx = pkcs12.Pfx.load(content, strict=True)
        parts = list(pfx.authenticated_safe) if pfx["auth_safe"]["content_type"].native == "data" else []
        rounds = pfx["mac_data"]["iterations"].native if pfx["mac_data"].native else 0
        keys, shown, hidden = 0, [], []
        for part in parts[: MAX_PARTS + 1]:
            kind = part["content_type"].native
            if kind == "encrypted_data":
                rounds += _rounds(part["content"]["encrypted_content_info"]["content_encryption_algorithm"])
                hidden.append(part)
            elif kind == "data":
                bags = list(_bags(pkcs12.SafeContents.load(part["content"].native, strict=True), MAX_DEPTH))
                keys += sum(bag["bag_id"].native in ("key_bag", "pkcs8_shrouded_key_bag") for bag in bags)
                rounds += sum(map(_price, bags))
                shown.append(part)
        if len(parts) > MAX_PARTS or not parts:
            raise ValueError("parts")
        safe: bytes = pkcs12.AuthenticatedSafe([*shown, *hidden]).dump()
    except RenderRefused:
        raise
    except Exception:  # asn1crypto raises whatever it stumbles over
        raise _no_pkcs12(content) from None
    if rounds > MAX_ROUNDS:
        raise RenderRefused(
            "KEY-COST", f"the key file asks for more than {MAX_ROUNDS} rounds of hashing to open it: export it anew"
        )
    if not keys:
        raise RenderRefused("KEY-UNREADABLE", "the key file holds no private key beside its certificates")
    if keys > 1:
        raise RenderRefused("KEY-SEVERAL", f"the key file holds {keys} private keys: export the one that signs")
    whole: bytes = pkcs12.Pfx(
        {
            "version": "v3",
            "auth_safe": cms.ContentInfo({"content_type": "data", "content": safe}),
            "mac_data": _checksum(safe, password),
        }
    ).dump()
    return whole


def _checksum(safe: bytes, password: str) -> pkcs12.MacData:
    """What says by which password a file is opened (RFC 7292, appendix B), in one round.

    It can't be left out: OpenSSL takes a file without it and an empty password for one with no password at all.
    """
    block = hashlib.sha256().block_size
    salt = bytes(8)
    secret = password.encode("utf-16-be") + b"\0\0"
    filled = bytes([3]) * block + salt * (block // len(salt)) + (secret * block)[: -(-len(secret) // block) * block]
    digest = hmac.digest(hashlib.sha256(filled).digest(), safe, "sha256")
    return pkcs12.MacData(
        {
            "mac": {"digest_algorithm": {"algorithm": "sha256"}, "digest": digest},
            "mac_salt": salt,
            "iterations": 1,
        }
    )


def _bags(bags: pkcs12.SafeContents, depth: int) -> Iterator[pkcs12.SafeBag]:
    """Every bag, those inside of bags too."""
    if not depth or len(bags) > MAX_PARTS:
        raise ValueError("bags")
    for bag in bags:
        if bag["bag_id"].native == "safe_contents":
            yield from _bags(bag["bag_value"], depth - 1)
        else:
            yield bag


def _price(bag: pkcs12.SafeBag) -> int:
    """Rounds that the key in a bag takes, 0 for what is not encrypted."""
    if bag["bag_id"].native not in ("key_bag", "pkcs8_shrouded_key_bag"):
        return 0
    if len(bag["bag_value"].contents) > MAX_KEY_BYTES:
        raise RenderRefused("KEY-KIND", "the private key is larger than those that are taken: RSA up to 4096 bits")
    if bag["bag_id"].native == "key_bag":
        return 0
    return _rounds(bag["bag_value"]["encryption_algorithm"])


def _rounds(algorithm: Any) -> int:
    """Rounds of hashing that an encryption asks for (RFC 8018). Raises RenderRefused KEY-KIND."""
    name, parameters = algorithm["algorithm"].native, algorithm["parameters"]
    if name != "pbes2":
        if not name.startswith(("pkcs12_", "pbes1_")):
            raise _other_encryption(name)
        return _positive(parameters["iterations"].native)
    derivation, cipher = parameters["key_derivation_func"], parameters["encryption_scheme"]["algorithm"].native
    if cipher not in CIPHERS:
        raise _other_encryption(cipher)
    if derivation["algorithm"].native != "pbkdf2":
        raise _other_encryption(derivation["algorithm"].native)
    hashed = derivation["parameters"]["prf"]["algorithm"].native
    if CHINESE in hashed:
        raise _other_encryption(hashed)
    return _positive(derivation["parameters"]["iteration_count"].native)


def _positive(number: int) -> int:
    if number < 1:
        raise ValueError("rounds")
    return number


def _other_encryption(name: str) -> RenderRefused:
    return RenderRefused(
        "KEY-KIND",
        f"the key file is encrypted with {_named(name)}, which is not supported: export it with PBKDF2 and AES",
    )


def _other_kind(message: str) -> RenderRefused:
    """Of a key that OpenSSL does not know: it names the curve."""
    found = re.search(r"\d+(\.\d+){3,}", message)
    kind = _named(found[0]) if found else "of a kind that OpenSSL does not know"
    return RenderRefused("KEY-KIND", f"this key is {kind}, which is not supported yet: a key is RSA or P-256")


def _named(name: str) -> str:
    """An algorithm's name or number, for people."""
    if name == SCRYPT:
        return "scrypt"
    family = SM_NAMES.get(name.removeprefix(CHINESE).split(".")[0]) if name.startswith(CHINESE) else None
    return f"{family} (国密)" if family else name.replace("_", "-").upper() if name.isidentifier() else name


def _no_pkcs12(content: bytes) -> RenderRefused:
    """What the file is instead, where one can tell."""
    if SM_BYTES in content:
        return _other_kind(f"{CHINESE}301")
    if content.lstrip()[:10] == b"-----BEGIN":
        return RenderRefused("KEY-UNREADABLE", "this is a PEM file: make a PKCS#12 file of it (openssl pkcs12 -export)")
    if content.startswith(bytes.fromhex("feedfeed")):
        return RenderRefused("KEY-UNREADABLE", "this is a Java keystore: make a PKCS#12 file of it (keytool)")
    return RenderRefused("KEY-UNREADABLE", "this is no PKCS#12 file, or it is damaged")
