"""`holdfast defects` and `holdfast check --defect`: what is planted is caught, kept, replayed and shrunk."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from click.testing import Result

Holdfast = Callable[..., Result]


def test_the_hunt_prints_what_caught_a_defect_after_how_many_schedules(holdfast: Holdfast) -> None:
    quick = ("--profile", "quick", "--jobs", 1, "--seeds", 2)
    done = holdfast("defects", "items_without_session", "claims_of_taken_sessions", *quick, "--json")
    assert done.exit_code == 0, done.output
    hunts = json.loads(done.stdout)["kills"]
    assert [(one["defect"], one["provider"], one["caught_by"]) for one in hunts] == [
        ("claims_of_taken_sessions", "memory", "INV-01"),
        ("claims_of_taken_sessions", "sqlite", "INV-01"),
        ("items_without_session", "memory", "INV-03"),
        ("items_without_session", "sqlite", "INV-03"),
    ]
    for one in hunts:
        assert one["caught_by"] == one["meant"]
        assert all(made is not None for made in one["rows"].values())
        assert len(one["hunts"]["random"]) == 2
    assert json.loads(Path("holdfast-report/kills.json").read_text())["kills"] == hunts


def test_stored_kills_verify_rows_of_this_code_and_of_no_other(holdfast: Holdfast) -> None:
    """A row that is exercised becomes verified; with the matrix of other code it stays what it was."""
    holdfast("defects", "items_without_session", "--profile", "quick", "--jobs", 1)
    check = ("check", "2.1", "--schedules", 20, "--jobs", 1)
    assert holdfast(*check).exit_code == 0
    assert _row("2.1")["status"] == "verified"
    kills = Path("holdfast-report/kills.json")
    kills.rename("shipped.json")
    assert holdfast("report").exit_code == 0
    assert _row("2.1")["status"] == "verified", "the matrix that comes with the code counts as well"
    matrix = json.loads(Path("shipped.json").read_text())
    for one in matrix["kills"]:
        one["fingerprint"] = "another"
    Path("shipped.json").write_text(json.dumps({**matrix, "fingerprint": "another"}))
    assert holdfast("report").exit_code == 0
    row = _row("2.1")
    assert row["status"] == "exercised"
    assert "other code" in row["why"]


def _row(id: str) -> dict[str, str]:
    rows = json.loads(Path("holdfast-report/coverage.json").read_text())["rows"]
    found: dict[str, str] = next(row for row in rows if row["id"] == id)
    return found


def test_an_unknown_defect_is_refused(holdfast: Holdfast) -> None:
    done = holdfast("defects", "no_such_defect")
    assert done.exit_code == 2
    assert "no_such_defect" in done.stderr


def test_a_planted_defect_is_caught_kept_replayed_elsewhere_and_shrunk(holdfast: Holdfast) -> None:
    """One that needs a fault: late turns are stored although their lock has run out."""
    planted = ("--defect", "late_turns_are_stored", "--provider", "memory", "--jobs", 1, "--schedules", 60)
    done = holdfast("check", "worker_stalls_alone", *planted)
    assert done.exit_code == 1, done.output
    (trace,) = Path("holdfast-report/traces").glob("*INV-37*")
    assert f"replay: holdfast replay {trace}" in done.output

    again = subprocess.run(
        [sys.executable, "-m", "holdfast", "replay", str(trace), "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert again.returncode == 1, again.stderr
    recorded = json.loads(trace.read_text().splitlines()[0])
    outcome = json.loads(again.stdout)
    assert (outcome["violated"], outcome["digest"]) == ("INV-37", recorded["digest"])

    smaller = holdfast("shrink", trace)
    assert smaller.exit_code == 1, smaller.output
    path = Path(smaller.output.splitlines()[-1].removeprefix("replay: holdfast replay "))
    assert len(path.read_text().splitlines()) < len(trace.read_text().splitlines())
    replayed = holdfast("replay", path)
    assert replayed.exit_code == 1
    assert "violated INV-37" in replayed.output
