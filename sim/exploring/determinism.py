"""Determinism: run one tape twice, and name the first thing that differs.

What a guard cannot intercept (`datetime.now`, an unseeded `random.Random()`, a counter kept in a module)
shows up here: two runs of one tape in one interpreter must give the same draws, commits and histories. What
    depends only on the hash seed does not show; for that, compare digests from fresh interpreters.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import Literal, NamedTuple

from holdfast.sim.exploring.explorer import MakeWatchers, Run, no_watchers, run_schedule
from holdfast.sim.stage.faults import FaultBudget
from holdfast.sim.strategies.replay import ReplayTape
from holdfast.sim.toolkit.bench import StoreFactory
from holdfast.sim.toolkit.limits import Limits
from holdfast.sim.toolkit.scenario import Scenario
from holdfast.traces.choice import Tape
from holdfast.traces.digest import Digest


class Difference(NamedTuple):
    """The first place where two runs of one tape differ. A side is None if its run had already ended."""

    what: Literal["draw", "commit", "history"]
    position: int
    first: str | None
    second: str | None

    def __str__(self) -> str:
        """Both sides, with `...` in place of their common beginning and end."""
        first, second = _apart(self.first or "(nothing)", self.second or "(nothing)")
        return f"{self.what} {self.position} differs between two runs of one tape:\n  {first}\n  {second}"


def run_twice(
    scenario: Scenario,
    factory: StoreFactory,
    tape: Tape,
    *,
    watchers: MakeWatchers = no_watchers,
    budget: FaultBudget | None = None,
    limits: Limits | None = None,
) -> Difference | None:
    """Run a tape twice; the first difference between the runs, or None."""
    first, second = (
        run_schedule(
            scenario,
            factory,
            ReplayTape(tape, strict=False),
            watchers=watchers,
            budget=budget,
            full=True,
            limits=limits,
        )
        for _ in range(2)
    )
    return compare(first, second)


def compare(first: Run, second: Run) -> Difference | None:
    """The first difference between two fully recorded runs, or None.

    Commits are compared before draws, because they say more about what differs.
    """
    for run in (first, second):
        assert run.digest is not None or run.error, f"a run of {run.scenario} was not recorded in full"
    one, other = Digest(), Digest()
    for position, (mine, its) in enumerate(zip_longest(first.commits, second.commits)):
        left = None if mine is None else one.line(mine)
        right = None if its is None else other.line(its)
        if left != right:
            return Difference("commit", position, left, right)
    for position, (draw, another) in enumerate(zip_longest(first.draws, second.draws)):
        if draw != another:
            return Difference("draw", position, str(draw), str(another))
    if first.digest != second.digest:
        return Difference("history", len(first.commits), first.digest, second.digest)
    return None


_KEPT = 40


def _apart(first: str, second: str) -> tuple[str, str]:
    """Both texts without what they share, except for a little before and after."""
    shortest = min(len(first), len(second))
    begin = 0
    while begin < shortest and first[begin] == second[begin]:
        begin += 1
    end = 0
    while end < shortest - begin and first[-1 - end] == second[-1 - end]:
        end += 1
    assert begin + end <= shortest, f"{begin} and {end} in common of {shortest} characters"
    return _middle(first, begin, end), _middle(second, begin, end)


def _middle(text: str, begin: int, end: int) -> str:
    start = max(0, begin - _KEPT)
    stop = min(len(text), len(text) - end + _KEPT)
    return ("..." if start else "") + text[start:stop] + ("..." if stop < len(text) else "")
