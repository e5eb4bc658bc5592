"""Blocks, the unit of work of a campaign: some schedules of one scenario on one provider.

A block is the same wherever and whenever it runs: strategies learn only within a block, so the evidence
of a campaign does not depend on how its blocks were dealt out.
"""

from __future__ import annotations

import asyncio
import importlib
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace

from holdfast.campaign.loading import loading
from holdfast.campaign.pool import under_way
from holdfast.campaign.providers import NamedProvider, find_provider, search_here
from holdfast.campaign.recording import Origin, record
from holdfast.campaign.selection import all_scenarios
from holdfast.campaign.single import Subject, monitors, result_of, run_once
from holdfast.core.contract.errors import ConfigurationError
from holdfast.providers.conformance import CHECKS, run_check
from holdfast.reports.evidence import EVERY_PROVIDER, CheckEvidence, ScheduleResult
from holdfast.sim import Limits, Run, Scenario, Strategy, make_strategy, run_twice
from holdfast.sim.strategies import BLOCK, PlainFirst
from holdfast.traces.choice import Tape
from holdfast.traces.file import Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """What one worker process is asked to run. Everything in it is plain data that can be sent."""

    scenario: str
    provider: str
    first: int = 0
    count: int = BLOCK
    seed: int = 0
    strategy: str = "random"
    defect: str | None = None
    module: str | None = None
    """The module that registers the scenario, if it is not one of Holdfast's."""
    limits: Limits | None = None

    def run(self) -> BlockResult:
        """Run all its schedules; keep a trace of the first violation of each rule."""
        return run_block(self)


@dataclass(slots=True, kw_only=True)
class BlockResult:
    """The results of a block; `traces` of the first violation of each rule, `telling` the first full run.

    `complaints` has what asyncio would have logged, each with the first run in which it was heard.
    """

    results: list[ScheduleResult] = field(default_factory=list)
    traces: dict[tuple[str, int], Trace] = field(default_factory=dict)
    telling: tuple[int, Tape] | None = None
    nondeterminism: str | None = None
    complaints: dict[str, int] = field(default_factory=dict)


def subject_of(
    scenario: str, provider: NamedProvider, defect: str | None = None, module: str | None = None
) -> Subject:
    """The named scenario on a provider. Raises ConfigurationError for a name that is not registered."""
    if module is not None:
        import_module_of_others(module)
    known = all_scenarios()
    if scenario not in known:
        raise ConfigurationError(
            f"unknown scenario {scenario!r}; give the module that registers it with --scenario MODULE"
        )
    return Subject(known[scenario], provider, lambda: planted(defect))


def import_module_of_others(module: str) -> None:
    """Import a module that registers scenarios. Raises ConfigurationError if it cannot be loaded."""
    search_here()
    with loading(f"module {module!r} cannot be loaded"):
        importlib.import_module(module)


def planted(defect: str | None) -> AbstractContextManager[object]:
    """The context in which a defect is switched on; none for None."""
    if defect is None:
        return nullcontext()
    from holdfast.properties.defects import plant

    return plant(defect)


def _subject(block: Block) -> Subject:
    subject = subject_of(block.scenario, find_provider(block.provider), block.defect, block.module)
    return replace(subject, limits=block.limits)


def run_block(block: Block) -> BlockResult:
    """Run all its schedules; keep a trace of the first violation of each rule."""
    subject = _subject(block)
    strategy: Strategy = PlainFirst(make_strategy(block.strategy, block.seed))
    made = BlockResult()
    where = EVERY_PROVIDER if subject.scenario.level == "unit" else block.provider
    for schedule in range(block.first, block.first + block.count):
        under_way(f"schedule {schedule}")
        strategy.begin(schedule)
        run = run_once(subject, strategy)
        made.results.append(result_of(run, where, schedule))
        _keep_traces(made, subject, run, block, schedule)
        for complaint in run.complaints:
            if complaint != run.error:
                made.complaints.setdefault(complaint, schedule)
        if made.telling is None and _is_telling(subject.scenario, made.results[-1]):
            made.telling = schedule, run.tape.trimmed()
        if not subject.scenario.explored:
            break
        if schedule == 1:
            made.nondeterminism = _check_determinism(subject, run)
    return made


def _keep_traces(made: BlockResult, subject: Subject, run: Run, block: Block, schedule: int) -> None:
    if not subject.scenario.explored:
        return
    origin = _origin(block, schedule)
    kept = {rule for rule, _ in made.traces}
    for rule in dict.fromkeys(failure.rule for failure in run.failures):
        if rule not in kept:
            made.traces[rule, schedule] = record(subject, run.tape, origin, rule)


def is_row(name: str) -> bool:
    """Whether what a scenario covers is a row of the matrix, not a clause."""
    return name[0].isdigit()


def _is_telling(scenario: Scenario, result: ScheduleResult) -> bool:
    """Whether a run shows all that the scenario is for: every row asserted where all situations occurred."""
    return (
        scenario.explored
        and not result.breaches
        and result.cut_off is None
        and result.error is None
        and set(result.asserted).issuperset(name for name in scenario.covers if is_row(name))
        and set(result.situations).issuperset(scenario.situations)
    )


def _origin(block: Block, schedule: int) -> Origin:
    return Origin(seed=block.seed, strategy=block.strategy, schedule=schedule, defect=block.defect)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retelling:
    """One run of a block to be repeated, recording everything."""

    block: Block
    schedule: int
    tape: Tape

    def run(self) -> Trace:
        """The trace of it."""
        under_way(f"schedule {self.schedule}")
        return record(_subject(self.block), self.tape, _origin(self.block, self.schedule), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConformanceRun:
    """One conformance check on one provider."""

    id: str
    provider: str

    def run(self) -> CheckEvidence:
        """Run it."""
        suite = replace(find_provider(self.provider).conformance, rounds=5)
        made = asyncio.run(run_check(suite, CHECKS[self.id]))
        return CheckEvidence(id=self.id, provider=self.provider, outcome=made.outcome, reason=made.detail)


def _check_determinism(subject: Subject, run: Run) -> str | None:
    """None if a tape gives the same run twice, else where the two differ."""
    with subject.planting():
        difference = run_twice(
            subject.scenario,
            subject.provider.factory,
            run.tape,
            watchers=monitors,
            limits=subject.limits,
        )
    return None if difference is None else str(difference)
