"""Makes enterprises known to a gateway: API key, seal, handwriting, signing key. Can be repeated and interrupted.

What must outlive a run stands in one folder, mode 0700: the demo authority, a PKCS#12 file per enterprise, API keys.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import orjson
from cryptography import x509

from renderers.demo_keys import make_authority, make_key
from renderers.demo_marks import handwriting, round_seal
from simulators.erp.client import Erp, Operator
from simulators.erp.enterprises import Enterprise

PASSWORD = "demo"  # noqa: S105 (keys of enterprises that do not exist)
SEAL = 42.0
"""Diameter of the company seals, mm."""
SIGNATURE = (32.0, 14.0)
RENEW = timedelta(days=30)
"""Keys that end sooner are made anew."""


@dataclass(frozen=True, slots=True)
class Wallet:
    """Demo keys of some enterprises and the authority that vouches for them."""

    authority: bytes
    """Its certificate, PEM."""
    keys: Mapping[str, bytes]
    """Credit code -> PKCS#12, under `PASSWORD`."""

    @property
    def name(self) -> str:
        """Under which the keys are enrolled: tells wallets of different authorities apart."""
        return f"demo {sha256(self.authority).hexdigest()[:12]}"


def wallet(folder: Path, enterprises: Sequence[Enterprise], now: datetime) -> Wallet:
    """The wallet in `folder`; made when it is not there, not whole, or about to end."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    pem, files = folder / "authority.pem", {e.code: folder / f"{e.slug}.p12" for e in enterprises}
    if pem.exists() and all(file.exists() for file in files.values()):
        until = x509.load_pem_x509_certificate(pem.read_bytes()).not_valid_after_utc
        made = datetime.fromtimestamp(pem.stat().st_mtime, now.tzinfo)
        if now + RENEW < until and now < made + timedelta(days=600):
            return Wallet(pem.read_bytes(), {code: file.read_bytes() for code, file in files.items()})
    authority = make_authority(now)
    keys = {e.code: make_key(authority, f"{e.name} {e.code}", PASSWORD, now, kind=e.key) for e in enterprises}
    pem.unlink(missing_ok=True)
    for code, file in files.items():
        _write(file, keys[code])
    _write(pem, authority.pem)  # last: without it the wallet is not whole
    return Wallet(authority.pem, keys)


async def onboard(
    operator: Operator,
    http: httpx.AsyncClient,
    folder: Path,
    enterprises: Sequence[Enterprise],
    keys: Wallet,
) -> Mapping[str, tuple[str, Erp]]:
    """Credit code -> (client's name, its ERP), everything enrolled. Raises Unexpected, httpx.HTTPError."""
    marks = await operator.marks()
    for enterprise in enterprises:
        await _enrol(operator, enterprise, keys, marks)
    return {e.code: await _client(operator, http, folder / "clients.json", e) for e in enterprises}


async def _enrol(operator: Operator, enterprise: Enterprise, keys: Wallet, marks: Sequence[Mapping[str, Any]]) -> None:
    """What is not enrolled yet."""
    there = {
        (mark["kind"], mark["name"])
        for mark in marks
        if mark["enterprise"] == enterprise.code and not mark.get("stopped_at")
    }
    if ("seal", "demo seal") not in there:
        seal = round_seal(enterprise.name_zh, "样例专用章", diameter=SEAL)
        await operator.add_image(enterprise.code, "seal", "demo seal", seal, SEAL)
    if ("signature", "demo handwriting") not in there:
        width, height = SIGNATURE
        written = handwriting(enterprise.declarant, width=width, height=height)
        await operator.add_image(enterprise.code, "signature", "demo handwriting", written, width)
    if ("key", keys.name) not in there:
        await operator.add_key(enterprise.code, keys.name, keys.keys[enterprise.code], PASSWORD)


async def _client(operator: Operator, http: httpx.AsyncClient, file: Path, enterprise: Enterprise) -> tuple[str, Erp]:
    """The client whose key was kept; a new one under a new name when there is none, or it opens nothing."""
    kept = _kept(file)
    if enterprise.code in kept:
        name, key = kept[enterprise.code]
        erp = Erp(http, key)
        if await erp.known():
            return name, erp
    taken = {client["id"] for client in await operator.clients()}
    names = (f"{enterprise.slug}{f'-{n}' if n else ''}" for n in range(len(taken) + 1))
    name = next(name for name in names if name not in taken)
    key = await operator.add_client(name, enterprise.code)
    _write(file, orjson.dumps({**kept, enterprise.code: [name, key]}))
    return name, Erp(http, key)


def _kept(file: Path) -> dict[str, list[str]]:
    """Credit code -> [client, API key]."""
    kept: dict[str, list[str]] = orjson.loads(file.read_bytes()) if file.exists() else {}
    return kept


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all, for its owner only."""
    aside = path.with_name(f".{path.name}.part")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    aside.rename(path)
