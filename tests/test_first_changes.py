"""The first changes that the documentation shows: so many files, and they work."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.first_changes import BLOCK, ROOT, apply, copy_of_the_tree, run

DOCS = ROOT / "docs"


def last_block(page: str) -> str:
    """The program at the end of a page: what the change is good for."""
    return [code for language, code in BLOCK.findall((DOCS / page).read_text()) if language == "python"][-1]


def test_a_new_strategy_takes_two_files(tmp_path: Path) -> None:
    tree = copy_of_the_tree(tmp_path)
    touched = apply(DOCS / "writing-a-strategy.md", tree)
    assert touched == ["sim/strategies/lifo.py", "sim/strategies/__init__.py"]
    run(tree, "-c", last_block("writing-a-strategy.md"))
    command = "check 5.1 --strategy lifo --schedules 5 --provider memory --jobs 1"
    assert "not found" in run(tree, "-m", "holdfast", *command.split())


def test_a_new_invariant_takes_two_files(tmp_path: Path) -> None:
    tree = copy_of_the_tree(tmp_path)
    assert apply(DOCS / "writing-an-invariant.md", tree) == [
        "properties/judging/invariants/workers/inv_99_patience.py",
        "properties/judging/registry.py",
    ]
    run(tree, "-c", last_block("writing-an-invariant.md"))


def test_a_new_kind_of_event_takes_four_files(tmp_path: Path) -> None:
    tree = copy_of_the_tree(tmp_path)
    assert apply(DOCS / "adding-an-event.md", tree) == [
        "core/contract/events.py",
        "core/engine/actions.py",
        "core/engine/matching.py",
        "core/engine/context.py",
    ]
    run(tree, "-c", last_block("adding-an-event.md"))


def test_an_event_that_no_row_names_stops_the_import(tmp_path: Path) -> None:
    """So that it cannot be forgotten: the row is the only place that all lists derive from."""
    tree = copy_of_the_tree(tmp_path)
    apply(DOCS / "adding-an-event.md", tree)
    shutil.copy(ROOT / "core" / "engine" / "matching.py", tree / "core" / "engine" / "matching.py")
    with pytest.raises(AssertionError, match="ReachMilestone has 0 rows in ACTION_KINDS"):
        run(tree, "-c", "import holdfast.core.engine.matching")
