"""What changes a provider's behaviour is refused by the model, as early as anything else notices it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

import holdfast.properties.matrix  # noqa: F401 - registers them
from holdfast.properties.defects import Defect, defects, plant
from holdfast.properties.judging.suite import MonitorSuite
from holdfast.properties.judging.timing import WorkerTiming
from holdfast.providers.memory import memory_store
from holdfast.providers.sqlite import sqlite_store
from holdfast.sim.exploring.checks import run_check
from holdfast.sim.exploring.explorer import Run, StoreView, run_schedule
from holdfast.sim.strategies import Fifo, RandomWalk
from holdfast.sim.toolkit.bench import StoreFactory
from holdfast.sim.toolkit.scenario import Scenario, scenarios
from holdfast.traces.record import Watcher

BOUND = 40
STORES = {"memory": memory_store, "sqlite": sqlite_store}
BEYOND_THE_MODEL = {
    "deliveries_logged_as_claims": "log records",
    "takeovers_unlogged": "log records",
    "claims_logged_as_takeovers": "log records",
    "wrappers_know_fewer_arguments": "arguments of a wrapper around the provider",
    "types_lose_their_prefix": "the names of stored event types",
    "durations_are_stored": "columns beside those of the contract",
}
"""Defects of providers that show in what the model does not keep, each with what that is."""

BEYOND_RANDOM_CALLS = {
    "candidates_come_in_a_window": "needs more than a hundred items in the queue",
    "results_need_the_session": "needs a result under a valid item lock after the session has moved",
    "items_renewed_without_their_session": "needs an item renewal after the session has moved",
}
"""What the random calls of row 30.12 bring about too rarely to count on."""

PROVIDERS = [
    defect
    for defect in defects().values()
    if defect.where == "provider" and defect.name not in BEYOND_THE_MODEL
]


def watchers(view: StoreView) -> Sequence[Watcher]:
    return (MonitorSuite(view.store, {}, default=WorkerTiming.of(view.options)),)


def model_alone(view: StoreView) -> Sequence[Watcher]:
    return (MonitorSuite(view.store, {}, ["MODEL"], situations=()),)


def failing(scenario: Scenario, factory: StoreFactory) -> Iterator[Run]:
    """The runs in which anything is broken, of the plain schedule and random ones."""
    if not scenario.explored:
        yield run_check(scenario, factory, watchers=model_alone)
        return
    walk = RandomWalk(1)
    for number in range(BOUND):
        strategy = walk if number else Fifo()
        strategy.begin(max(number - 1, 0))
        run = run_schedule(scenario, factory, strategy, watchers=watchers)
        if run.failures:
            yield run


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize("defect", PROVIDERS, ids=lambda defect: defect.name)
def test_the_model_refuses_it_in_the_first_schedule_that_shows_it(defect: Defect, store: str) -> None:
    with plant(defect.name):
        run = next(failing(scenarios()[defect.scenario], STORES[store]))
    refused = next(failure for failure in run.failures if failure.rule == "MODEL")
    if scenarios()[defect.scenario].explored:  # the oracles of a check have no position
        assert refused.position == min(failure.position for failure in run.failures)


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize(
    "defect",
    [defect for defect in PROVIDERS if defect.name not in BEYOND_RANDOM_CALLS],
    ids=lambda defect: defect.name,
)
def test_random_calls_find_it_too(defect: Defect, store: str) -> None:
    with plant(defect.name):
        run = run_check(scenarios()["state_machine_conformance"], STORES[store])
    assert "30.12" in [failure.rule for failure in run.failures]
