"""A sweep: every single fault at every commit boundary of a scenario's plain run; then pairs of faults.

Single faults are enumerated without omission. After a fault a run differs from the plain one, so the
boundaries for a second fault are those counted under the first; pairs are enumerated if there are few enough,
and drawn otherwise. A blow that strikes nothing (the answer of a fetch that found nothing, a boundary never
reached) is not counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Final

from holdfast.campaign.blocks import subject_of
from holdfast.campaign.providers import find_provider
from holdfast.campaign.recording import Origin, record
from holdfast.campaign.single import Subject, run_once
from holdfast.sim import Run, Scenario
from holdfast.sim.strategies.planned import Blow, Planned, PlannedFaults, budget_for, single_blows
from holdfast.traces.file import Trace

CHUNK: Final = 50
"""Plans sent to a worker process at a time."""

Plan = tuple[Planned, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A plan under which a rule broke, or under which the run is evidence for nothing."""

    plan: str
    rule: str | None
    message: str
    trace: Trace | None = None


@dataclass(slots=True, kw_only=True)
class Swept:
    """The results of some plans. `boundaries` is, by plan, how many its run had, if it struck."""

    struck: int = 0
    held: int = 0
    boundaries: dict[Plan, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def add(self, other: Swept) -> None:
        """Add the results of other plans."""
        self.struck += other.struck
        self.held += other.held
        self.boundaries.update(other.boundaries)
        self.findings += other.findings


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepPart:
    """What a worker process is asked to do: some plans of one scenario on one provider."""

    scenario: str
    provider: str
    plans: tuple[Plan, ...]
    defect: str | None = None
    module: str | None = None

    def run(self) -> Swept:
        """Run each plan once."""
        made = Swept()
        subject = subject_of(self.scenario, find_provider(self.provider), self.defect, self.module)
        for plan in self.plans:
            _try(replace(subject, budget=budget_for(plan)), plan, made, self.defect)
        return made


def boundaries_of(subject: Subject) -> int:
    """How many commit boundaries the plain run of a scenario has."""
    strategy = PlannedFaults(())
    run_once(replace(subject, budget=budget_for(())), strategy)
    return strategy.boundaries


def singles(scenario: Scenario, boundaries: int) -> list[Plan]:
    """Every fault at every boundary."""
    blows = single_blows(scenario.runtime_options)
    return [(Planned(boundary, blow),) for boundary in range(boundaries) for blow in blows]


def pairs(scenario: Scenario, swept: Swept, most: int, seed: int) -> tuple[list[Plan], int]:
    """Second faults after each first one: all of them, or `most` drawn; and how many there are."""
    blows = single_blows(scenario.runtime_options)
    firsts = sorted(swept.boundaries.items(), key=lambda entry: _told(entry[0]))
    room = [max(0, count - plan[-1].boundary - 1) * len(blows) for plan, count in firsts]
    total = sum(room)
    chosen: Iterable[int] = range(total) if total <= most else sorted(Random(seed).sample(range(total), most))
    return list(_numbered(firsts, room, blows, chosen)), total


def _numbered(
    firsts: Sequence[tuple[Plan, int]], room: Sequence[int], blows: Sequence[Blow], numbers: Iterable[int]
) -> Iterator[Plan]:
    """The pairs with these ascending numbers, counted through one first fault after another."""
    place, begin = 0, 0
    for number in numbers:
        while number >= begin + room[place]:
            begin += room[place]
            place += 1
        plan = firsts[place][0]
        after, blow = divmod(number - begin, len(blows))
        yield (*plan, Planned(plan[-1].boundary + 1 + after, blows[blow]))


def parts(
    scenario: Scenario, provider: str, plans: Sequence[Plan], defect: str | None, module: str | None
) -> list[SweepPart]:
    """The plans in portions for worker processes."""
    return [
        SweepPart(
            scenario=scenario.name,
            provider=provider,
            plans=tuple(plans[start : start + CHUNK]),
            defect=defect,
            module=module,
        )
        for start in range(0, len(plans), CHUNK)
    ]


def _try(subject: Subject, plan: Plan, made: Swept, defect: str | None) -> None:
    strategy = PlannedFaults(plan)
    run = run_once(subject, strategy)
    if not _struck(run, plan):
        return
    made.struck += 1
    made.boundaries[plan] = strategy.boundaries
    if run.failures:
        first = run.failures[0]
        origin = Origin(seed=0, strategy="planned", schedule=made.struck, defect=defect)
        trace = record(subject, run.tape, origin, first.rule)
        made.findings.append(Finding(plan=_told(plan), rule=first.rule, message=first.message, trace=trace))
    elif not run.counts:
        message = run.error or f"cut off: {run.cut_off}"
        made.findings.append(Finding(plan=_told(plan), rule=None, message=message))
    else:
        made.held += 1


def _struck(run: Run, plan: Plan) -> bool:
    return len(run.faults) >= len(plan)


def _told(plan: Plan) -> str:
    return ", ".join(f"{one.blow.name} at boundary {one.boundary:04}" for one in plan)
