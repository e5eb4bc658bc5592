"""Shrinking tapes: what stays, what goes, and that the search ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.traces.choice import Tape
from holdfast.traces.shrink import shrink, simplicity


def test_only_the_deviations_that_matter_stay() -> None:
    """A run that fails because of two answers loses every other deviation."""

    def still_fails(tape: Tape) -> int | None:
        matters = tape.schedule[3:4] == [2] and tape.fault[1:2] == [1]
        return 10 if matters else None

    noisy = Tape(schedule=[1, 1, 3, 2, 1, 0, 4], fault=[2, 1, 1], data=[5, 5])
    result = shrink(noisy, still_fails)
    assert result.tape == Tape(schedule=[0, 0, 0, 2], fault=[0, 1], data=[])
    assert result.attempts < 100


def test_faults_are_dropped_before_other_deviations() -> None:
    """Where either a fault or a scheduling choice shows the failure, the fault goes."""

    def still_fails(tape: Tape) -> int | None:
        return 5 if any(tape.fault) or any(tape.schedule) else None

    assert shrink(Tape(schedule=[1], fault=[1]), still_fails).tape == Tape(schedule=[1])


def test_spans_are_removed_so_that_a_late_answer_moves_up() -> None:
    """A prefix that only delays the failure goes, and the run gets shorter with it."""

    def still_fails(tape: Tape) -> int | None:
        return len(tape.schedule) if 7 in tape.schedule else None

    result = shrink(Tape(schedule=[0, 1, 0, 2, 0, 7]), still_fails)
    assert result.tape == Tape(schedule=[7])
    assert result.steps == 1


def test_a_tape_that_does_not_fail_is_refused() -> None:
    """There is nothing to shrink about a run in which the rule holds."""
    with pytest.raises(ValueError, match="does not violate"):
        shrink(Tape(schedule=[1]), lambda _: None)


def test_the_search_stops_at_its_limit() -> None:
    """The number of runs is bounded whatever the tape."""
    runs = 0

    def still_fails(tape: Tape) -> int | None:
        nonlocal runs
        runs += 1
        return 1 if sum(map(bool, tape.schedule)) >= 40 else None

    result = shrink(Tape(schedule=[1, 2] * 40), still_fails, attempts_max=30)
    assert runs == result.attempts <= 30


answers = st.lists(st.integers(0, 3), max_size=12)


@given(answers, answers, answers, st.integers(0, 4), st.integers(0, 2))
def test_the_result_still_fails_and_is_never_less_simple(
    schedule: list[int], fault: list[int], data: list[int], least: int, faults: int
) -> None:
    """Whatever the failure depends on, the result shows it and no pass made it worse."""

    def still_fails(tape: Tape) -> int | None:
        enough = sum(tape.schedule) >= least and sum(map(bool, tape.fault)) >= faults
        return 1 + len(tape.schedule) if enough else None

    start = Tape(schedule, fault, data)
    steps = still_fails(start.trimmed())
    if steps is None:
        with pytest.raises(ValueError):
            shrink(start, still_fails)
        return
    result = shrink(start, still_fails)
    assert still_fails(result.tape) == result.steps
    assert simplicity(result.tape, result.steps) <= simplicity(start.trimmed(), steps)
    assert sum(map(bool, result.tape.fault)) == faults
