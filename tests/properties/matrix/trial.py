"""A trial of a scenario: the plain run and some random ones, all monitors watching."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from holdfast.core.hosting.options import RuntimeOptions
from holdfast.properties.judging.suite import MonitorSuite
from holdfast.properties.judging.timing import WorkerTiming
from holdfast.sim.exploring.checks import run_check
from holdfast.sim.exploring.explorer import Run, StoreView, explore
from holdfast.sim.strategies import Fifo, RandomWalk
from holdfast.sim.toolkit.bench import StoreFactory
from holdfast.sim.toolkit.scenario import Scenario

SCHEDULES = 30


class _Live(Mapping[str, WorkerTiming]):
    """The timing of the workers there are; they come as the scenario starts them."""

    def __init__(self, workers: Mapping[str, RuntimeOptions]) -> None:
        self._workers = workers

    def __getitem__(self, name: str) -> WorkerTiming:
        return WorkerTiming.of(self._workers[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._workers)

    def __len__(self) -> int:
        return len(self._workers)


def watchers(view: StoreView) -> tuple[MonitorSuite]:
    return (MonitorSuite(view.store, _Live(view.workers)),)


def model_alone(view: StoreView) -> tuple[MonitorSuite]:
    """For checks: other rules are about runs of the runtime."""
    return (MonitorSuite(view.store, {}, ["MODEL"], situations=()),)


def rows_of(scenario: Scenario) -> set[str]:
    """The rows of the matrix among what a scenario covers."""
    return {rule for rule in scenario.covers if rule[0].isdigit()}


def try_out(scenario: Scenario, factory: StoreFactory) -> None:
    """Every run keeps every rule, asserts every row; every situation occurs in one of them at least."""
    if not scenario.explored:
        run = run_check(scenario, factory, watchers=model_alone)
        assert run.error is None and not run.failures, run
        assert rows_of(scenario) <= set(run.asserted)
        return
    seen: set[str] = set()
    runs: list[Run] = [*explore(scenario, factory, Fifo(), schedules=1, watchers=watchers)]
    runs += explore(scenario, factory, RandomWalk(1), schedules=SCHEDULES, watchers=watchers)
    for number, run in enumerate(runs):
        assert run.error is None and run.cut_off is None and not run.complaints, (number, run)
        assert not run.failures, (number, run.failures)
        assert rows_of(scenario) <= set(run.asserted), number
        seen.update(run.watchers[0].situations)  # type: ignore[attr-defined]
    assert set(scenario.situations) <= seen
