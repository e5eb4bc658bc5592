"""`holdfast replay`, `show`, `shrink` and `report`: what becomes of what a check has found."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from click.testing import Result

from holdfast.sim.toolkit.scenario import _SCENARIOS
from holdfast.traces.file import read_trace, write_trace

Holdfast = Callable[..., Result]
OWN = ("--scenario", "own_scenarios")


_RECORDED: dict[str, bytes] = {}


@pytest.fixture
def trace(holdfast: Holdfast) -> Path:
    """The report of a check that found a run with a crash; the check itself is run once."""
    folder = Path("holdfast-report")
    if not _RECORDED:
        few = ("--jobs", 1, "--schedules", 40, "--provider", "memory", "--seed", 3)
        holdfast("check", "never_crashes", *OWN, *few)
        for path in folder.rglob("*.*"):
            _RECORDED[str(path)] = path.read_bytes()
    for name, content in _RECORDED.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(content)
    importlib.import_module("own_scenarios")
    (found,) = (folder / "traces").iterdir()
    return found


def test_a_trace_replays_to_the_same_violation_and_digest(holdfast: Holdfast, trace: Path) -> None:
    recorded = json.loads(trace.read_text().splitlines()[0])
    done = holdfast("replay", trace, *OWN, "--json")
    assert done.exit_code == 1
    again = json.loads(done.stdout)
    assert again["violated"] == recorded["violation"]["rule"] == "5.2"
    assert again["digest"] == recorded["digest"]
    assert again["strict"]


def test_a_trace_of_other_code_is_replayed_leniently_and_says_so(holdfast: Holdfast, trace: Path) -> None:

    from holdfast.traces.file import read_trace

    read = read_trace(trace)
    header = msgspec.structs.replace(
        read.header, fingerprints=msgspec.structs.replace(read.header.fingerprints, code="another")
    )
    old = Path("old.trace.jsonl")
    write_trace(old, msgspec.structs.replace(read, header=header))
    done = holdfast("replay", old, *OWN)
    assert done.exit_code == 1
    assert "lenient" in done.output


def test_the_step_that_is_marked_is_the_commit_that_broke_the_rule(holdfast: Holdfast) -> None:
    few = ("--jobs", 1, "--schedules", 1, "--provider", "memory", "--defect", "claims_of_taken_sessions")
    assert holdfast("check", "5.1", *few).exit_code == 1
    (found,) = Path("holdfast-report/traces").glob("*INV-01*")
    violation = read_trace(found).header.violation
    assert violation is not None and violation.witness is not None and violation.step is not None
    taken = str(violation.witness["item"]).rpartition("/")[2]  # "item 5: i/1/7 on s"
    step = read_trace(found).steps[violation.step]
    assert step.operation == "fetch_session_work_item"
    assert f"#{taken.split()[0]} of " in step.result


def test_a_trace_shrinks_to_a_simpler_one_of_the_same_rule(holdfast: Holdfast, trace: Path) -> None:
    done = holdfast("shrink", trace, *OWN)
    assert done.exit_code == 1, done.output
    line = done.output.splitlines()[-1]
    assert line.startswith("replay: holdfast replay ")
    smaller = Path(line.removeprefix("replay: holdfast replay "))
    deviations = list(read_trace(smaller).tape.deviations())
    assert [stream for stream, _, _ in deviations] == ["fault"], "one crash is all it takes"
    again = holdfast("replay", smaller, *OWN)
    assert again.exit_code == 1
    assert "violated 5.2" in again.output


def test_show_tells_the_rule_in_the_words_of_the_specification(holdfast: Holdfast, trace: Path) -> None:
    done = holdfast("--no-color", "show", trace)
    assert done.exit_code == 0
    assert "crashes" in done.output
    assert "violated 5.2" in done.output
    assert "can tell that its memory is" in done.output
    cause = holdfast("--no-color", "show", "--cause", trace)
    assert cause.exit_code == 0
    assert len(cause.output) <= len(done.output)


def test_the_report_is_written_anew_and_the_same(holdfast: Holdfast, trace: Path) -> None:
    folder = Path("holdfast-report")
    files = [folder / "coverage.json", folder / "overview.png", *sorted(folder.glob("*.html"))]
    before = [path.read_bytes() for path in files]
    for path in files:
        path.unlink()
    done = holdfast("report", "holdfast-report")
    assert done.exit_code == 1
    assert [path.read_bytes() for path in files] == before


def test_a_healthy_run_that_was_kept_replays(holdfast: Holdfast, trace: Path) -> None:
    (shown,) = Path("holdfast-report/runs").iterdir()
    done = holdfast("replay", shown, *OWN, "--json")
    assert done.exit_code == 0
    again = json.loads(done.stdout)
    assert again["strict"] and again["violated"] is None


def test_a_report_without_the_healthy_runs_is_written_all_the_same(holdfast: Holdfast, trace: Path) -> None:
    (shown,) = Path("holdfast-report/runs").iterdir()
    shown.unlink()
    assert holdfast("report", "holdfast-report").exit_code == 1
    assert "Step through a run" not in Path("holdfast-report/section-05.html").read_text()


def test_a_trace_of_an_unknown_scenario_is_refused(holdfast: Holdfast, trace: Path) -> None:
    """A trace never causes an import: names outside Holdfast are given again."""
    content = trace.read_text()
    _SCENARIOS.pop("never_crashes")
    done = holdfast("replay", trace)
    assert done.exit_code == 2
    assert "unknown scenario 'never_crashes'" in done.stderr
    assert trace.read_text() == content


@pytest.mark.parametrize("command", ["replay", "show", "shrink"])
@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda text: "", "is empty"),
        (lambda text: "\n".join(text.splitlines()[:-3]) + "\n", "truncated"),
        (lambda text: text.replace('"version":1', '"version":2', 1), "version 2"),
        (lambda text: text.replace('"t_us":0', '"t_us":-1', 1), "line"),
        (lambda text: "{}\n" + text, "not a trace"),
        (lambda text: "no JSON\n", "not a trace"),
    ],
)
def test_a_damaged_trace_ends_in_one_line_and_2(
    holdfast: Holdfast, trace: Path, command: str, damage: Callable[[str], str], says: str
) -> None:
    damaged = Path("damaged.trace.jsonl")
    damaged.write_text(damage(trace.read_text()))
    done = holdfast(command, damaged)
    assert done.exit_code == 2, done.output
    assert says in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_folder_without_evidence_is_refused(holdfast: Holdfast) -> None:
    done = holdfast("report", "nowhere")
    assert done.exit_code == 2
    assert "holdfast check" in done.stderr
