"""Every pair of status and message has an answer, and people can read it (ops/decisions/0033)."""

import ast
import inspect
from itertools import product
from pathlib import Path
from typing import get_args

import pytest

from gateway import generate
from gateway.core import certificate, printing
from gateway.core.decision import EventKind
from gateway.core.messages import Incoming
from gateway.core.state import PrintState, Review, print_room
from gateway.decision_table import KINDS, NOTES, STATUSES, cells, sends, states, words


def test_every_status_meets_every_kind_of_message() -> None:
    seen = [(status, kind.name) for status, kind, _ in cells()]
    assert seen == list(product(STATUSES, (kind.name for kind in KINDS)))
    state = states()["approved"]
    assert {type(kind.make(state)) for kind in KINDS} == set(get_args(Incoming))


def test_the_statuses_are_all_there_are() -> None:
    """Those of the review, and every word that the print room's rule can return."""
    tree = ast.parse(inspect.getsource(print_room))
    returned = [
        node for statement in ast.walk(tree) if isinstance(statement, ast.Return) for node in ast.walk(statement)
    ]
    rooms = {node.value for node in returned if isinstance(node, ast.Constant)}
    rooms |= {PrintState.IN_DOUBT.value, PrintState.MISPRINTED.value}
    assert {review.value for review in Review} | rooms == set(STATUSES)


def test_every_answer_has_a_status_and_words_and_each_note_is_one_we_can_explain() -> None:
    for _, _, outcome in cells():
        assert outcome.status in STATUSES
        assert words(outcome)
        assert bool(sends(outcome)) == bool(outcome.sent)


def test_each_note_in_the_code_has_words_and_no_words_are_left_over() -> None:
    found = {certificate.LOST_RACE}
    for module in (certificate, printing):
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "_noted":
                found |= {n.value for n in ast.walk(node.args[0]) if isinstance(n, ast.Constant)}
    found |= {"out_of_date"}  # chosen by a variable, beside "repeated"
    assert found == set(NOTES)


def test_a_message_never_takes_a_life_back_except_as_the_table_says() -> None:
    """What a customs officer would look for first: who can leave a status, and where to."""
    ways: dict[str, set[str]] = {status: set() for status in STATUSES}
    for status, _, outcome in cells():
        if outcome.status != status:
            ways[status].add(outcome.status)
    assert ways == {
        "draft": {"declared"},
        "declared": {"sent", "received", "in_review", "approved", "returned"},
        "sent": {"received", "in_review", "approved", "returned"},
        "received": {"in_review", "approved", "returned"},
        "in_review": {"approved", "returned"},
        "returned": {"draft", "declared", "approved"},
        "approved": {"returned", "layout_arriving"},
        "layout_arriving": {"returned", "ready_to_print"},
        "ready_to_print": {"returned"},
        "rendered": {"returned", "ready_to_print", "printing"},
        "printing": {"in_doubt"},
        "printed": {"confirmed", "misprinted"},
        "in_doubt": {"printing", "misprinted"},
        "confirmed": set(),
        "misprinted": set(),
    }


def test_each_event_appears_somewhere() -> None:
    seen = {event.kind for _, _, outcome in cells() for event in outcome.events}
    assert seen == set(EventKind)


# ---------------------------------------------------------------- the generated files


def test_nothing_generated_is_stale() -> None:
    assert generate.main(["--check"]) == 0


@pytest.mark.parametrize("name", generate.GENERATED)
def test_a_stale_missing_or_foreign_file_is_told(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = {each: str(number) for number, each in enumerate(generate.GENERATED)}
    monkeypatch.setattr(generate, "GENERATED", {each: lambda text=text: text for each, text in made.items()})
    assert generate.main(["--check"], tmp_path / "none") == 1
    assert generate.main([], tmp_path) == 0
    assert generate.main(["--check"], tmp_path) == 0
    (tmp_path / name).write_text("edited by hand")
    assert generate.main(["--check"], tmp_path) == 1
    assert f"schemas/contracts/{name} is stale" in capsys.readouterr().err
    (tmp_path / name).unlink()
    assert generate.main(["--check"], tmp_path) == 1
    assert generate.main([], tmp_path) == 0
    (tmp_path / "old.md").write_text("")
    assert generate.main(["--check"], tmp_path) == 1
    assert generate.main(["--wrong"], tmp_path) == 2
