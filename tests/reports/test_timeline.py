"""Timelines: lanes, marks and spans of a trace; and how they look in a terminal of 80 columns."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from holdfast.reports.terminal_timeline import in_spec_language, print_timeline
from holdfast.reports.timeline import Lane, Span, Timeline, duration, timeline
from holdfast.traces.choice import Tape
from holdfast.traces.file import Fingerprints, Trace, TraceHeader, Violation
from holdfast.traces.order import causal_past
from holdfast.traces.steps import StepRecord


def step(n: int, kind: Any, operation: str, process: str | None, t_s: int = 0, **members: Any) -> StepRecord:
    outcome = "answered" if kind == "commit" else None
    return StepRecord(
        **{
            "n": n,
            "t_us": t_s * 1_000_000,
            "kind": kind,
            "operation": operation,
            "process": process,
            "boot": 1,
            "outcome": outcome,
            **members,
        }
    )


SESSION = {"worker_id": "w", "instance_id": "i", "session_id": "s"}


def a_trace(**header: Any) -> Trace:
    """Worker a takes a session and crashes; after a minute b is given an item of it."""
    steps = (
        step(0, "boot", "boot", "a"),
        step(1, "boot", "boot", "b"),
        step(2, "commit", "fetch_session_work_item", "b", arguments={"worker_id": "b"}),
        step(
            3,
            "commit",
            "fetch_session_work_item",
            "a",
            issued="L1",
            result="say #3 of i/1 on s",
            rows=("item i/1/3", "session i/s"),
        ),
        step(4, "local", "lease_taken", "a", arguments=SESSION),
        step(5, "local", "capacity_changed", "a", arguments={"leases": 1}),
        step(6, "local", "handler_started", "a", arguments={"token": "L1"}),
        step(7, "commit", "get_custom_status", "b", rows=("instance other",)),
        step(8, "fault", "crash", "a"),
        step(9, "fault", "provider_clock", None, arguments={"amount_ms": -500}, boot=0),
        step(
            10,
            "commit",
            "fetch_session_work_item",
            "b",
            60,
            issued="L2",
            result="say #3 of i/1 on s, attempt 2",
            rows=("item i/1/3", "session i/s"),
        ),
        step(
            11,
            "commit",
            "ack_work_item",
            "b",
            60,
            arguments={"token": "L2"},
            error="permanent",
            error_text="gone",
        ),
        step(12, "boot", "boot", "a", 60, boot=2),
    )
    members = {
        "scenario": "owner_crashes",
        "provider": "sqlite",
        "fingerprints": Fingerprints(code="c", spec="s"),
        "seed": 1,
        "strategy": "random",
        "schedule": 4,
        "violation": Violation(rule="INV-03", message="not the owner", witness={"owner": "a"}, step=10),
        "digest": "d",
    }
    return Trace(header=TraceHeader(**{**members, **header}), tape=Tape(), steps=steps)


@pytest.fixture
def made() -> Timeline:
    return timeline(a_trace(), replay="holdfast replay x")


def test_each_process_has_a_lane_and_the_store_one_if_something_happens_to_it_alone(made: Timeline) -> None:
    assert made.lanes == (Lane("store", 0), Lane("a", 2), Lane("b", 1))


def test_what_says_little_is_left_out_and_counted(made: Timeline) -> None:
    """An empty fetch and a change of capacity."""
    assert made.hidden == 2
    assert {2, 5}.isdisjoint(mark.n for mark in made.marks)
    assert timeline(a_trace(), everything=True).hidden == 0


def test_the_violation_is_marked_and_always_shown(made: Timeline) -> None:
    (violating,) = [mark for mark in made.marks if mark.violates]
    assert (violating.n, violating.gap_us, made.rule) == (10, 60_000_000, "INV-03")
    at_quiet = Violation(rule="INV-03", message="m", step=2)
    assert any(mark.violates for mark in timeline(a_trace(violation=at_quiet)).marks)


def test_spans_end_with_a_crash(made: Timeline) -> None:
    line = {mark.n: mark.line for mark in made.marks}
    assert made.spans == (
        Span(lane=1, kind="lease", label="i/s", first_line=line[4], last_line=line[8]),
        Span(lane=1, kind="handler", label="L1", first_line=line[6], last_line=line[8]),
        Span(lane=1, kind="down", label="down", first_line=line[8], last_line=line[12]),
    )


def test_marks_speak_the_words_of_the_glossary(made: Timeline) -> None:
    said = {mark.n: (mark.label, mark.detail) for mark in made.marks}
    assert said[3] == ("fetch item", "say #3 of i/1 on s · [L1]")
    assert said[4] == ("lease taken", "i/s")
    assert said[8] == ("crashes", "")
    assert said[9] == ("store's clock jumps", "−500 ms")
    assert said[11] == ("ack item", "permanent error: gone · [L2]")
    assert said[12] == ("starts again (boot 2)", "")


def test_only_the_causal_past_is_marked_or_shown() -> None:
    past = causal_past(a_trace().steps, 10)
    marked = timeline(a_trace(), cause=past)
    assert [mark.n for mark in marked.marks if not mark.cause] == [4, 6, 8, 11, 12]
    only = timeline(a_trace(), cause=past, only_cause=True)
    assert [mark.n for mark in only.marks] == [0, 1, 3, 7, 9, 10]


@pytest.mark.parametrize("only_cause", [False, True])
def test_the_terminal_shows_the_timeline_in_80_columns(only_cause: bool) -> None:
    file = io.StringIO()
    console = Console(width=80, file=file)
    trace = a_trace(defect="claim_without_winning")
    made = timeline(
        trace, cause=causal_past(trace.steps, 10), only_cause=only_cause, replay="holdfast replay x"
    )
    print_timeline(console, trace, made)
    text = file.getvalue()
    assert all(len(line.rstrip()) <= 80 for line in text.splitlines())
    assert "owner_crashes on sqlite, with the planted defect claim_without_winning" in text
    assert "+60 s" in text
    assert "◀ INV-03" in text
    assert "violated INV-03: not the owner" in text
    assert "implies owner(i,s) = w" in text, "in the language of the specification"
    assert "Witness: owner = a" in text
    assert text.rstrip().endswith("replay: holdfast replay x")
    assert ("crashes" in text.partition("\n")[2]) == (not only_cause)


def test_the_rule_is_told_in_the_words_of_the_specification() -> None:
    assert "sess(q) = s" in in_spec_language("INV-03")
    assert in_spec_language("5.1")
    assert in_spec_language("scenario") == ""


def test_a_trace_without_steps_has_an_empty_timeline() -> None:
    trace = Trace(header=a_trace(violation=None).header, tape=Tape(), steps=())
    assert timeline(trace).marks == ()


@pytest.mark.parametrize(
    ("time_us", "text"),
    [
        (0, "0 s"),
        (40, "40 µs"),
        (250_000, "250 ms"),
        (60_000_000, "60 s"),
        (1_500_000, "1.5 s"),
        (720_000_000, "12 min 0 s"),
        (3_660_000_000, "1 h 1 min"),
        (-500_000, "−500 ms"),
    ],
)
def test_durations_have_the_unit_that_suits_them(time_us: int, text: str) -> None:
    assert duration(time_us) == text
