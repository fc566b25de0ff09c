"""The simulated enterprises: valid codes, repeatable declarations that the door would take, keys that are renewed."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import pytest
from stdnum.cn import uscc

import schemas
from adapters.codecs.dialects import dialects
from gateway.core.faults import Severity
from gateway.ports import Reading
from gateway.runtime.catalog import ProfileChecks
from renderers.fonts import missing
from renderers.sign import Signer
from simulators.customs.examiner import findings
from simulators.erp.enterprises import AGENT, ENTERPRISES, NINGBO, credit_code, many
from simulators.erp.generator import declarations, endless
from simulators.erp.onboarding import PASSWORD, wallet

DIALECTS = dialects()
NOW = datetime(2026, 11, 22, tzinfo=UTC)


def readings(seed: int, count: int) -> list[Reading]:
    """Generated declarations, read as the door reads them."""
    return [DIALECTS[media_type].read(body) for media_type, body in declarations(seed, count, list(many(20)))]


def test_the_same_seed_gives_the_same_bytes() -> None:
    assert list(declarations(7, 30)) == list(declarations(7, 30))
    assert list(declarations(7, 30)) != list(declarations(8, 30))
    assert list(declarations(7, 30)) == list(islice(endless(7), 30))


def test_generated_declarations_break_no_rule_and_please_the_examiner() -> None:
    checks = ProfileChecks()
    for reading in readings(1, 150):
        refusals = [fault for fault in checks.faults(reading) if fault.severity is Severity.REFUSE]
        assert refusals == []
        assert findings(reading.fields) == ()
        assert not missing("".join(v for v in reading.fields.values() if isinstance(v, str)))


def test_generated_declarations_are_varied() -> None:
    found = readings(2, 200)
    types = Counter(reading.declaration.certificate_type for reading in found)
    sizes = {len(reading.declaration.goods) for reading in found}
    assert min(types["C"], types["RC"]) > 60
    assert {1, 60} <= sizes
    assert len({reading.declaration.exporter_code for reading in found}) == 20
    assert len({reading.declaration.invoice_no for reading in found}) == 200


def test_no_generated_declaration_carries_a_number() -> None:
    assert all(reading.declaration.number is None for reading in readings(3, 20))


def test_codes_are_valid() -> None:
    for enterprise in (*many(60), AGENT):
        assert uscc.is_valid(enterprise.code)
        assert len(enterprise.declarant_id) == 18
        assert enterprise.declarant_id[6:10] == "1900"  # nobody alive


def test_enterprises_do_not_repeat() -> None:
    assert len({enterprise.code for enterprise in many(500)}) == 500
    with pytest.raises(ValueError, match="29791"):
        credit_code(29791, NINGBO)


def test_the_enterprises_of_the_examples_are_played() -> None:
    known = {e.code for e in (*ENTERPRISES, AGENT)}
    for entry in schemas.path("examples").iterdir():
        raw = entry.read_bytes()
        if "faulty" in entry.name or not entry.name.endswith((".xml", ".json")):
            continue
        reading = DIALECTS["application/xml" if entry.name.endswith(".xml") else "application/json"].read(raw)
        assert {reading.declaration.exporter_code, reading.declaration.applicant_code} <= known


def test_a_wallet_is_kept_and_renewed_as_a_whole(tmp_path: Path) -> None:
    first = wallet(tmp_path / "keys", ENTERPRISES, NOW)
    assert wallet(tmp_path / "keys", ENTERPRISES, NOW) == first
    for enterprise in ENTERPRISES:
        Signer(first.keys[enterprise.code], PASSWORD).check(NOW)
    (tmp_path / "keys" / f"{ENTERPRISES[0].slug}.p12").unlink()
    second = wallet(tmp_path / "keys", ENTERPRISES, NOW)
    assert second.authority != first.authority
    assert second.name != first.name
    later = wallet(tmp_path / "keys", ENTERPRISES, NOW + timedelta(days=3640))
    assert later.authority != second.authority


def test_nobody_else_can_read_a_wallet(tmp_path: Path) -> None:
    wallet(tmp_path / "keys", ENTERPRISES, NOW)
    assert (tmp_path / "keys").stat().st_mode & 0o077 == 0
    assert all(file.stat().st_mode & 0o077 == 0 for file in (tmp_path / "keys").iterdir())
