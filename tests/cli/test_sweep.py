"""`holdfast sweep`: what it counts, what it finds, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from click.testing import Result

Holdfast = Callable[..., Result]
OWN = ("--scenario", "own_scenarios", "--jobs", 1, "--provider", "memory")


def test_every_single_fault_that_strikes_is_counted_and_holds(holdfast: Holdfast) -> None:
    done = holdfast("sweep", "talks", *OWN, "--json")
    assert done.exit_code == 0, done.output
    (one,) = json.loads(done.stdout)
    assert one["held"] == one["struck"] > 100
    assert not one["drawn"] and not one["findings"]
    told = holdfast("sweep", "talks", *OWN)
    assert f"talks on memory: all single faults: {one['held']} of {one['struck']} held" in told.output


def test_pairs_are_drawn_when_there_are_too_many_and_the_same_for_the_same_seed(holdfast: Holdfast) -> None:
    once, again = (holdfast("sweep", "talks", *OWN, "--faults", 2, "--most", 60) for _ in range(2))
    assert once.exit_code == 0, once.output
    assert "pairs of faults, drawn from " in once.output
    assert once.output == again.output


def test_a_fault_that_breaks_an_oracle_ends_with_1_and_a_trace_that_replays(holdfast: Holdfast) -> None:
    """Every crash breaks the oracle, and nothing but the crashes does; the trace keeps its fault budget."""
    done = holdfast("sweep", "never_crashes", *OWN, "--json")
    assert done.exit_code == 1
    (one,) = json.loads(done.stdout)
    findings = one["findings"]
    assert one["held"] + len(findings) == one["struck"]
    assert {finding["rule"] for finding in findings} == {"5.2"}
    assert all(finding["plan"].startswith("crash") for finding in findings)
    trace = Path(findings[0]["trace"])
    replayed = holdfast("replay", trace, "--scenario", "own_scenarios")
    assert replayed.exit_code == 1, replayed.output
    assert "violated 5.2" in replayed.output


def test_a_check_without_schedules_is_refused(holdfast: Holdfast) -> None:
    done = holdfast("sweep", "session_id_none_omitted_in_json")
    assert done.exit_code == 2
    assert "has no schedules" in done.stderr
