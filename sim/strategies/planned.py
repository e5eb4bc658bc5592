"""Planned: the plain run with faults at the boundaries that a plan names. Sweeps are made of these.

A boundary is a call that is about to reach the store while a fault may still strike; they are counted from 0.
Up to the first boundary of the plan, the run is the plain run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from holdfast.core.hosting.options import RuntimeOptions, Timing
from holdfast.sim.stage.faults import FAULT_TABLE, FaultBudget, delays_of
from holdfast.sim.stage.strategy import Strategy
from holdfast.traces.choice import Stream
from holdfast.traces.record import FaultKind

_ORDER: Final = {entry.kind: place for place, entry in enumerate(FAULT_TABLE)}
_RESTARTED_SOON: Final = 1


@dataclass(frozen=True, slots=True)
class Blow:
    """One fault with its details settled: the answers to the draws that follow when it strikes."""

    name: str
    kind: FaultKind
    details: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Planned:
    """A blow at a boundary."""

    boundary: int
    blow: Blow


def single_blows(options: RuntimeOptions) -> tuple[Blow, ...]:
    """The faults of a sweep: a crash before or after the commit, a lost answer, a refusal, and a stall and
    clock jumps longer than the lease."""
    delays = delays_of(options)
    beyond = min(place for place, ms in enumerate(delays) if ms > Timing.of(options).session_lock)
    restart, by = ("crash.restart", _RESTARTED_SOON), "provider_clock.by"
    return (
        Blow("crash before", "crash", (("crash.when", 0), restart)),
        Blow("crash after", "crash", (("crash.when", 1), restart)),
        Blow("answer lost", "lost_answer"),
        Blow("refused", "refused"),
        Blow("stall beyond the lease", "stall", (("stall.for", beyond),)),
        Blow("clock forward beyond the lease", "provider_clock", ((by, beyond),)),
        Blow("clock back by more than the lease", "provider_clock", ((by, len(delays) + beyond),)),
    )


def budget_for(plan: Sequence[Planned], spare: int = 1) -> FaultBudget:
    """The faults of the plan, plus `spare` refusals, which keep later boundaries countable."""
    counts: dict[FaultKind, int] = {"refused": spare} if spare else {}
    for planned in plan:
        counts[planned.blow.kind] = counts.get(planned.blow.kind, 0) + 1
    return FaultBudget(**counts)


class PlannedFaults(Strategy):
    """Answers the draws of a run under `budget_for` its plan.

    Attributes:
        boundaries: how many the run has had so far.
    """

    name = "planned"

    def __init__(self, plan: Sequence[Planned], spare: int = 1) -> None:
        self._plan = {planned.boundary: planned.blow for planned in plan}
        assert len(self._plan) == len(plan), "two blows at one boundary"
        self._spare = spare
        self.boundaries = 0
        self._left: list[FaultKind] = []
        self._details: Mapping[str, int] = {}
        self.begin(0)

    def begin(self, schedule: int) -> None:
        """Count the boundaries from 0 again."""
        self.boundaries = 0
        self._left = [blow.kind for blow in self._plan.values()] + ["refused"] * self._spare
        self._details = {}

    def choose(self, stream: Stream, site: str, arity: int) -> int:
        """0 unless the plan says otherwise; the kinds left are offered in the order of the table."""
        if stream != "fault":
            return 0
        if site != "commit":
            return self._details.get(site, 0)
        blow = self._plan.get(self.boundaries)
        self.boundaries += 1
        if blow is None:
            return 0
        kinds = sorted(dict.fromkeys(self._left), key=_ORDER.__getitem__)
        assert arity == 1 + len(kinds), (
            f"the run offers {arity - 1} kinds of fault, the plan has {kinds} left"
        )
        self._left.remove(blow.kind)
        self._details = dict(blow.details)
        return 1 + kinds.index(blow.kind)
