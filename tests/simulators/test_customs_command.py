"""``python -m simulators.customs``: what it says before it connects to anything."""

from pathlib import Path

import pytest

from simulators.customs.__main__ import main
from simulators.customs.scenarios import load


def test_it_lists_every_scenario_with_the_word_that_asks_for_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--list"]) == 0
    said = capsys.readouterr().out
    assert all(f"SIM:{name} " in said for name in load().by_name)


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["--data", "{here}", "--database-url", ""], 3, "No gateway runs on"),
        (["--pace", "-1"], 2, "--pace is 0 or more"),
        (["--scenarios", "{here}/none.toml"], 2, "none.toml"),
    ],
)
def test_it_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, sentence: str
) -> None:
    assert main([argument.replace("{here}", str(tmp_path)) for argument in arguments]) == code
    assert sentence in capsys.readouterr().err


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    assert "python -m simulators.customs --data" in capsys.readouterr().out
