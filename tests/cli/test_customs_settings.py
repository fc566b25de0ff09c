"""The customs link's settings: what goes together, and what does not."""

import pytest

from gateway.settings import SettingsRefused, load


@pytest.mark.parametrize(
    ("roles", "folder", "word"),
    [("turn,customs-link", None, "ORIGIN_CUSTOMS_FOLDER"), ("customs-link,customs-simulator", "x", "simulator")],
)
def test_refused(roles: str, folder: str | None, word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ORIGIN_CUSTOMS_FOLDER", raising=False)
    with pytest.raises(SettingsRefused, match=word):
        load(roles=roles, customs_folder=folder)


def test_an_empty_folder_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORIGIN_CUSTOMS_FOLDER", "")
    assert load(roles="turn").customs_folder is None
