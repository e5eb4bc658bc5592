"""On a store that lacks an inspection hook nothing is claimed, and nothing is held against it (PV-33.2)."""

from __future__ import annotations

import inspect

import pytest

from holdfast.campaign.selection import all_scenarios
from holdfast.campaign.single import result_of
from holdfast.core.contract.clock import IdSource, ProviderClock
from holdfast.core.contract.store import InspectableStore, Store
from holdfast.properties.judging.situations.table import SITUATIONS
from holdfast.properties.judging.suite import MonitorSuite
from holdfast.providers.memory import memory_store
from holdfast.sim import Factory, Fifo, Run, StoreView, run_check, run_schedule

HOOKS = sorted(
    name
    for name, member in vars(InspectableStore).items()
    if inspect.isfunction(member) and not name.startswith("_")
)
EXPLORED = [each for each in all_scenarios().values() if each.explored]
CHECKS = [each for each in all_scenarios().values() if not each.explored]


class Lacking:
    """A memory store that hides some of its hooks."""

    def __init__(self, store: Store, hidden: list[str]) -> None:
        self._store = store
        self._hidden = hidden

    def __getattr__(self, name: str) -> object:
        if name in self._hidden:
            raise AttributeError(name)
        return getattr(self._store, name)


def lacking(*hidden: str) -> Factory:
    def make(clock: ProviderClock, ids: IdSource) -> Store:
        return Lacking(memory_store(clock, ids, long_polling=False), list(hidden))  # type: ignore[return-value]

    return make


def plain_run(name: str, factory: Factory) -> Run:
    def watchers(view: StoreView) -> tuple[MonitorSuite]:
        return (MonitorSuite(view.store, {}, ()),)

    strategy = Fifo()
    strategy.begin(0)
    return run_schedule(all_scenarios()[name], factory, strategy, watchers=watchers)


@pytest.mark.parametrize("hook", HOOKS)
def test_a_check_that_needs_a_missing_hook_is_no_failure(hook: str) -> None:
    for each in CHECKS:
        run = run_check(each, lacking(hook))
        assert run.error is None and not run.failures, (each.name, run.error, run.failures)
        assert run.cut_off is None or hook in run.cut_off, (each.name, run.cut_off)


@pytest.mark.parametrize(
    "hidden", [["session_records"], ["worker_rows"], HOOKS], ids=["sessions", "work", "all"]
)
def test_a_scenario_that_needs_a_missing_hook_is_no_failure(hidden: list[str]) -> None:
    for each in EXPLORED:
        run = plain_run(each.name, lacking(*hidden))
        assert run.error is None and not run.failures, (each.name, run.error, run.failures)


def test_a_situation_that_needs_rows_says_so() -> None:
    """Without rows it may be missed, or seen where it was not; every other is seen all the same."""
    needing = {name for name, situation in SITUATIONS.items() if situation.needs_rows}
    for each in EXPLORED:
        blind = plain_run(each.name, lacking("session_records"))
        if blind.cut_off is None:
            whole = plain_run(each.name, lacking())
            differing = set(result_of(whole, "", 0).situations) ^ set(result_of(blind, "", 0).situations)
            assert differing <= needing, (each.name, differing - needing)


def test_a_run_whose_situations_cannot_be_told_is_no_evidence() -> None:
    run = plain_run("session_activity_routes_to_same_worker", lacking("session_records"))
    result = result_of(run, "", 0)
    assert result.cut_off is not None and "no inspection hook 'session_records'" in result.cut_off
