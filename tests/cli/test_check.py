"""`holdfast check`: what it finds, what it writes, and how it ends."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from holdfast.campaign.campaign import Campaign, Order
from holdfast.campaign.providers import find_provider
from holdfast.campaign.selection import select
from holdfast.sim.toolkit.scenario import _SCENARIOS

Holdfast = Callable[..., Result]
OWN = ("--scenario", "own_scenarios", "--jobs", 1)


def test_a_healthy_scenario_ends_with_0_and_leaves_a_report(holdfast: Holdfast) -> None:
    done = holdfast("check", "talks", *OWN, "--schedules", 40)
    assert done.exit_code == 0, done.output
    assert done.output.startswith("holdfast check: 1 scenarios")
    assert "not found (" in done.output
    folder = Path("holdfast-report")
    assert {"coverage.json", "index.html", "overview.png"} <= {path.name for path in folder.iterdir()}
    coverage = json.loads((folder / "coverage.json").read_text())
    row = next(row for row in coverage["rows"] if row["id"] == "5.1")
    assert row["status"] == "exercised"
    assert row["schedules"] >= 30
    assert set(row) >= {"id", "title", "status", "providers", "schedules", "situations", "defects", "checks"}


def test_a_violation_ends_with_1_a_replay_line_and_a_trace(holdfast: Holdfast) -> None:
    done = holdfast("check", "never_crashes", *OWN, "--schedules", 40, "--provider", "memory")
    assert done.exit_code == 1, done.output
    (trace,) = Path("holdfast-report/traces").iterdir()
    assert f"replay: holdfast replay {trace}" in done.output
    assert "violated 5.2" in done.output


def test_coverage_does_not_depend_on_the_number_of_jobs(holdfast: Holdfast) -> None:
    for jobs in (1, 2):
        own = ("--scenario", "own_scenarios", "--jobs", jobs, "--schedules", 110)
        holdfast("check", "talks", "never_crashes", *own, "--out", f"with-{jobs}")
    one, two = (Path(f"with-{jobs}/coverage.json").read_bytes() for jobs in (1, 2))
    assert one == two


def test_a_provider_of_somebody_else_is_checked_like_ours(holdfast: Holdfast) -> None:
    done = holdfast(
        "check", "talks", "14.1", "14.2", *OWN, "--schedules", 10, "--provider", "own_stores:mine"
    )
    assert done.exit_code == 0, done.output
    coverage = json.loads(Path("holdfast-report/coverage.json").read_text())
    assert list(coverage["summary"]["providers"]) == ["own_stores:mine"]
    assert all(row["status"] == "exercised" for row in coverage["rows"] if row["id"] in ("14.1", "14.2"))


def test_of_what_needs_a_hook_that_a_store_lacks_nothing_is_said(holdfast: Holdfast) -> None:
    """Unknown with the reason; no failure of the harness (PV-33.2)."""
    few = ("--schedules", 3, "--jobs", 1, "--provider", "own_stores:bare")
    done = holdfast("check", "31.1", "15.7", "15.2", *few)
    assert done.exit_code == 0, done.output
    rows = {row["id"]: row for row in json.loads(Path("holdfast-report/coverage.json").read_text())["rows"]}
    assert rows["31.1"]["status"] == rows["15.7"]["status"] == "unknown"
    assert "no inspection hook 'table_shapes'" in rows["31.1"]["why"]
    assert "no inspection hook 'session_records'" in rows["15.7"]["why"]
    assert rows["15.2"]["status"] == "exercised", "it looks at no row"


def test_a_worker_process_that_dies_is_a_finding_and_no_hang(holdfast: Holdfast) -> None:
    done = holdfast("check", "1.1", "--provider", "own_stores:dies", "--jobs", 2, "--schedules", 60)
    assert done.exit_code == 3
    assert "verdict: unknown" in done.output
    assert "its worker process died with exit code 9" in done.output


FOR_EVER = """
from holdfast.sim import scenario

@scenario(covers=["1.1"])
async def waits_for_ever(world):
    await world.until(lambda: False)
"""


def test_nothing_that_counts_is_no_success(holdfast: Holdfast, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("for_ever.py").write_text(FOR_EVER)
    monkeypatch.setattr("holdfast.sim.toolkit.scenario._SCENARIOS", dict(_SCENARIOS))
    few = ("--scenario", "for_ever", "--schedules", 2, "--jobs", 1, "--provider", "memory")
    done = holdfast("check", "waits_for_ever", *few)
    sys.modules.pop("for_ever", None)
    assert "verdict: unknown (no schedule counts" in done.output
    assert done.exit_code == 3


def test_json_is_the_coverage_and_nothing_else(holdfast: Holdfast) -> None:
    done = holdfast("check", "talks", *OWN, "--schedules", 5, "--json")
    assert json.loads(done.stdout) == json.loads(Path("holdfast-report/coverage.json").read_text())


def test_what_no_scenario_is_about_yet_ends_with_5(holdfast: Holdfast) -> None:
    assert holdfast("check", "RT-1.1").exit_code == 5


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("no_such_thing",), "no_such_thing"),
        (("5.1", "--provider", "oracle"), "unknown provider 'oracle'"),
        (("5.1", "--provider", "own_stores:absent"), "cannot be loaded"),
        (("5.1", "--provider", "own_stores:broken"), "cannot make a store: OSError: no disk"),
        (("5.1", "--provider", "own_stores:number"), "expected a factory"),
        (("5.1", "--strategy", "clever"), "unknown strategy 'clever'"),
        (("5.1", "--strategy", "pct:0"), "depth"),
        (("5.1", "--scenario", "no_module_of_this_name"), "cannot be loaded"),
        (("5.1", "--defect", "no_such_defect"), "no_such_defect"),
    ],
)
def test_bad_input_ends_in_one_line_and_2(holdfast: Holdfast, arguments: tuple[str, ...], says: str) -> None:
    done = holdfast("check", *arguments)
    assert done.exit_code == 2
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert not Path("holdfast-report").exists()


@pytest.mark.parametrize(
    "option", ["--schedules=0", "--jobs=0", "--seed=-1", "--max-time=0", "--profile=all"]
)
def test_impossible_option_values_end_with_2(holdfast: Holdfast, option: str) -> None:
    assert holdfast("check", option).exit_code == 2
    assert not Path("holdfast-report").exists()


def test_an_output_folder_that_is_a_file_is_refused_and_kept(holdfast: Holdfast) -> None:
    Path("taken").write_text("mine")
    done = holdfast("check", "talks", *OWN, "--out", "taken")
    assert done.exit_code == 2
    assert "taken cannot be written" in done.stderr
    assert Path("taken").read_text() == "mine"


def test_the_ratchet_fails_when_a_row_has_lost_evidence_and_is_updated_on_request(holdfast: Holdfast) -> None:
    holdfast("check", "talks", *OWN, "--schedules", 40)
    state = Path("state.json")
    missing = holdfast("report", "--ratchet", state)
    assert missing.exit_code == 2
    assert "--update" in missing.stderr
    assert holdfast("report", "--ratchet", state, "--update").exit_code == 0
    assert holdfast("report", "--ratchet", state).exit_code == 0
    holdfast("check", "never_crashes", *OWN, "--schedules", 1)
    less = holdfast("report", "--ratchet", state)
    assert less.exit_code == 1
    assert "lost evidence: 5.1 was exercised on memory and is missing" in less.output
    assert holdfast("report", "--update").exit_code == 2


def test_a_campaign_that_is_stopped_at_its_conformance_checks_is_interrupted() -> None:
    order = Order(selection=select(("PVC-381", "PVC-391")), providers=(find_provider("memory"),))
    campaign = Campaign(order)
    campaign.run(lambda what, done, total: False)
    evidence = campaign.outcome().evidence
    assert evidence.interrupted
    assert len(evidence.checks) == 1


def test_a_ratchet_is_not_set_by_a_check_with_a_planted_defect(holdfast: Holdfast) -> None:
    few = ("--jobs", 1, "--schedules", 1, "--provider", "memory")
    holdfast("check", "1.1", *few, "--defect", "claims_of_taken_sessions")
    done = holdfast("report", "--ratchet", "state.json", "--update")
    assert done.exit_code == 2
    assert "planted defect claims_of_taken_sessions" in done.stderr
    assert not Path("state.json").exists()
