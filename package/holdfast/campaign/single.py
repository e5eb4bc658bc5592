"""One run of one scenario, watched by every monitor, and what it is evidence for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from holdfast.campaign.providers import NamedProvider
from holdfast.core.contract.user_texts import storable
from holdfast.core.hosting.options import RuntimeOptions
from holdfast.properties.judging.fidelity import altered
from holdfast.properties.judging.suite import MonitorSuite
from holdfast.properties.judging.timing import WorkerTiming
from holdfast.properties.judging.verdict import Holds, Unknown
from holdfast.reports.evidence import Breach, ScheduleResult
from holdfast.sim import FaultBudget, Limits, Run, Scenario, StoreView, Strategy, run_check, run_schedule
from holdfast.sim.exploring.explorer import MakeWatchers
from holdfast.traces.record import Watcher

PlantsDefect = Callable[[], AbstractContextManager[object]]
"""Switches a planted defect on for as long as the context is open."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is run: a scenario on a provider, with a defect planted or none.

    `budget` and `limits` replace its own.
    """

    scenario: Scenario
    provider: NamedProvider
    planting: PlantsDefect = nullcontext
    budget: FaultBudget | None = None
    limits: Limits | None = None


class _WorkerTimings(Mapping[str, WorkerTiming]):
    """The timing of each worker of a run, by its options; looked up when a timed rule asks."""

    def __init__(self, workers: Mapping[str, RuntimeOptions]) -> None:
        self._workers = workers
        self._known: dict[str, WorkerTiming] = {}

    def __getitem__(self, process: str) -> WorkerTiming:
        known = self._known.get(process)
        if known is None:
            known = self._known[process] = WorkerTiming.of(self._workers[process])
        return known

    def __iter__(self) -> Iterator[str]:
        return iter(self._workers)

    def __len__(self) -> int:
        return len(self._workers)


def monitors(view: StoreView) -> Sequence[Watcher]:
    """All rules of the specification and all situations, watching one run."""
    return (MonitorSuite(view.store, _WorkerTimings(view.workers)),)


def monitors_for(
    scenario: Scenario, rules: Sequence[str] | None = None, *, to_the_end: bool = False
) -> MakeWatchers:
    """All rules or these, and only the situations that the scenario declares: campaigns need no others."""

    def watchers(view: StoreView) -> Sequence[Watcher]:
        timings = _WorkerTimings(view.workers)
        suite = MonitorSuite(
            view.store, timings, rules, situations=scenario.situations, to_the_end=to_the_end
        )
        return (suite,)

    return watchers


def _model_for_a_check(rules: Sequence[str] | None) -> MakeWatchers:
    """The reference model, if it is among the rules: the others need runs of the runtime."""
    watched = ["MODEL"] if rules is None or "MODEL" in rules else []

    def watchers(view: StoreView) -> Sequence[Watcher]:
        return (MonitorSuite(view.store, {}, watched, situations=()),)

    return watchers


def run_once(
    subject: Subject,
    strategy: Strategy,
    *,
    full: bool = False,
    rules: Sequence[str] | None = None,
    limits: Limits | None = None,
    to_the_end: bool = False,
) -> Run:
    """Run it under a strategy that has begun, watched by all rules or by those named.

    It ends at the first broken rule, unless it is to go `to_the_end`. A check without a world just runs; the
    reference model watches its calls.
    """
    scenario, provider = subject.scenario, subject.provider
    with subject.planting():
        if not scenario.explored:
            run = run_check(scenario, provider.factory, watchers=_model_for_a_check(rules))
            return run if rules is not None else fairly_blamed(run)
        watchers = monitors_for(scenario, rules, to_the_end=to_the_end)
        run = run_schedule(
            scenario,
            provider.factory,
            strategy,
            watchers=watchers,
            budget=subject.budget,
            full=full,
            limits=limits or subject.limits,
        )
    return run if rules is not None else fairly_blamed(run)


def fairly_blamed(run: Run) -> Run:
    """The run; if it went wrong outside every oracle because the provider changed what it stored, told so."""
    found = altered(run.commits, run.stored) if run.went_wrong else None
    if found is not None:
        run.failures.insert(0, found)
        run.error = None
    return run


def result_of(run: Run, provider: str, schedule: int) -> ScheduleResult:
    """What a run shows, for the evidence."""
    held: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    situations: tuple[str, ...] = ()
    blind: str | None = None
    for watcher in run.watchers:
        if isinstance(watcher, MonitorSuite):
            verdicts = watcher.verdicts
            held = tuple(verdict.rule for verdict in verdicts if isinstance(verdict, Holds))
            unknown = tuple(verdict.rule for verdict in verdicts if isinstance(verdict, Unknown))
            situations = tuple(watcher.situations)
            blind = watcher.blind
    faults: dict[str, int] = {}
    for fault in run.faults:
        faults[fault.kind] = faults.get(fault.kind, 0) + 1
    return ScheduleResult(
        scenario=run.scenario,
        provider=provider,
        schedule=schedule,
        fingerprint=run.fingerprint,
        situations=situations,
        asserted=run.asserted,
        held=held,
        unknown=unknown,
        breaches=tuple(
            Breach(rule=one.rule, message=storable(one.message), schedule=schedule) for one in run.failures
        ),
        faults=faults,
        steps=run.steps,
        virtual_us=run.virtual_us,
        cut_off=_storable(run.why_cut_off or blind),
        error=_storable(run.error),
    )


def _storable(text: str | None) -> str | None:
    return None if text is None else storable(text)
