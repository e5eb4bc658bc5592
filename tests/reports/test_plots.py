"""The plots: what a curve says, and where it lies."""

from __future__ import annotations

import pytest

from holdfast.reports.evidence import RunEvidence, ScheduleResult, Tally, merged
from holdfast.reports.kills import Catch, Kill
from holdfast.reports.plots import catches_plot, log_range, situations_plot


def a_run(schedule: int, *situations: str, cut_off: str | None = None) -> ScheduleResult:
    return ScheduleResult(
        scenario="s",
        provider="memory",
        schedule=schedule,
        fingerprint=f"f{schedule}",
        situations=situations,
        cut_off=cut_off,
    )


def test_a_situation_is_first_seen_in_the_lowest_schedule_that_counts() -> None:
    tally = Tally("code", ["memory"])
    tally.add(a_run(5, "a", "b"), a_run(2, "b"), a_run(1, "a", cut_off="steps"))
    other = Tally("code", ["memory"])
    other.add(a_run(3, "a"))
    for evidence in (
        merged(tally.evidence(), other.evidence()),
        merged(other.evidence(), tally.evidence()),
    ):
        assert evidence.runs[0].first_seen == {"a": 3, "b": 2}


def test_a_curve_of_situations_ends_at_their_number_and_rises_where_they_were_first_seen() -> None:
    run = RunEvidence(scenario="s", provider="memory", run_count=100, first_seen={"a": 0, "b": 0, "c": 9})
    plot = situations_plot([run])
    assert plot is not None
    (curve,) = plot.curves
    assert (curve.name, curve.end) == ("memory", "3")
    middle = (plot.left + plot.right) / 2
    assert f"H{middle:g}V" in curve.path, "10 of 100 is the middle of a logarithmic axis"
    assert curve.path.endswith(f"H{plot.right:g}")
    assert [tick.text for tick in plot.x_ticks] == ["1", "2", "5", "10", "20", "50", "100"]


def test_a_curve_stays_in_its_frame_when_only_a_late_block_was_run() -> None:
    plot = situations_plot([RunEvidence(scenario="s", provider="memory", run_count=50, first_seen={"a": 90})])
    assert plot is not None
    assert f"H{plot.right}V" in plot.curves[0].path


def test_a_curve_of_catches_counts_hunts_that_saw_nothing() -> None:
    kill = Kill(
        defect="d",
        meant="5.1",
        provider="memory",
        scenario="s",
        hunts={"random": (Catch(1, 0.1), Catch(None, 0.1)), "pct:3": (Catch(7, 0.1),)},
        fingerprint="code",
    )
    plot = catches_plot([kill])
    assert plot is not None
    assert [(curve.name, curve.end) for curve in plot.curves] == [("pct:3", "1 of 1"), ("random", "1 of 2")]


def test_there_is_no_plot_of_nothing() -> None:
    assert situations_plot([RunEvidence(scenario="s", provider="memory", run_count=3)]) is None
    assert catches_plot([]) is None


@pytest.mark.parametrize(
    ("spread", "most", "places"),
    [((1, 10, 100), 100, (0, 50, 100)), ((1, 1, 1), 1, (0, 0, 0))],
    ids=["over the whole axis", "an axis of one schedule"],
)
def test_a_spread_lies_on_a_logarithmic_axis(
    spread: tuple[int, float, int], most: int, places: tuple[float, float, float]
) -> None:
    drawn = log_range(spread, most)
    assert (drawn.low, drawn.middle, drawn.high) == places
