"""Schemas are pinned; every fault code is registered; every registered one can be raised."""

import re
import shutil
from pathlib import Path

import pytest

import schemas
from adapters.codecs import catalog as module
from adapters.codecs.catalog import CatalogError, catalog, pin
from adapters.codecs.registry import fault, registry

SOURCES = sorted(Path(module.__file__).parent.glob("*.py"))


def test_pins_hold_and_every_schema_is_in_the_catalogue() -> None:
    files = {
        str(path.relative_to(Path(str(schemas.path("xsd"))))) for path in Path(str(schemas.path("xsd"))).rglob("*.xsd")
    }
    text = schemas.read_text("xsd", "catalog.toml")
    assert files == set(re.findall(r'file = "(.+)"', text))
    for schema in catalog().values():
        assert set(schema.roots) <= set(schema.explained.elements)
        assert schema.explained.target_namespace == schema.namespace
        assert schema.explained.version == schema.version


def test_a_changed_schema_is_refused_and_can_be_pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(str(schemas.path("xsd")), tmp_path / "xsd")
    monkeypatch.setattr(schemas, "path", lambda *parts: tmp_path.joinpath(*parts))
    catalog.cache_clear()
    try:
        assert catalog()
        changed = tmp_path / "xsd" / "customs" / "file.xsd"
        changed.write_text(changed.read_text().replace("<!-- ", "<!--  "))
        catalog.cache_clear()
        with pytest.raises(CatalogError, match=r"customs/file\.xsd"):
            catalog()
        assert module.main([]) == 1
        assert pin(tmp_path / "xsd") == ["customs/file.xsd"]
        assert module.main([]) == 0
        assert pin(tmp_path / "xsd") == []
    finally:
        catalog.cache_clear()


def test_every_code_raised_is_registered_and_every_registered_code_is_raised() -> None:
    raised = set()
    for source in SOURCES:
        raised |= set(re.findall(r'"((?:XML|XSD|TEXT|JSON)-[A-Z-]+)"', source.read_text(encoding="utf-8")))
    assert raised == set(registry())


def test_an_unregistered_code_is_our_bug() -> None:
    with pytest.raises(KeyError):
        fault("XSD-NOPE")
    with pytest.raises(KeyError):
        fault("XSD-LENGTH")


def test_sentences() -> None:
    for code, entry in registry().items():
        for sentence in (entry.message, entry.remedy):
            assert sentence[0].isupper() or sentence.startswith("{"), code
            assert sentence.endswith((".", '".', ").")), code
