"""Matrix section 30 on the system as it is."""

from __future__ import annotations

import pytest
from tests.properties.scenarios.trial import of_module, try_out, watchers

from holdfast.properties.scenarios import (
    section_30_clocks,
    section_30_crashes,
    section_30_messages,
    section_30_random,
)
from holdfast.providers.memory import memory_store
from holdfast.providers.sqlite import sqlite_store
from holdfast.sim.bench import Factory
from holdfast.sim.explorer import Run, explore
from holdfast.sim.scenario import Scenario
from holdfast.sim.strategies import Deviations

MODULES = (section_30_clocks, section_30_crashes, section_30_messages, section_30_random)


@pytest.mark.parametrize("factory", [memory_store, sqlite_store])
@pytest.mark.parametrize(
    "scenario",
    [one for module in MODULES for one in of_module(module.__name__)],
    ids=lambda scenario: scenario.name,
)
def test_every_schedule_keeps_every_rule_and_asserts_every_row(scenario: Scenario, factory: Factory) -> None:
    try_out(scenario, factory)


@pytest.mark.parametrize("after", [0, 1])
def test_a_crash_right_before_and_right_after_each_call(after: int) -> None:
    """Row 30.6, in order: every call of the scenario is reached, and the last draws are beyond its end."""
    reached = []
    for number in range(section_30_crashes.CALLS):
        run = _crash_at(number, after)
        assert run.error is None and run.cut_off is None and not run.failures, (number, run.failures)
        assert run.asserted == ("30.6",), number
        reached.append(len(run.faults))
    assert reached == sorted(reached, reverse=True) and reached[0] == 1, "no call is left out"
    assert reached[-1] == 0, "the scenario has more calls than are drawn"


def _crash_at(number: int, after: int) -> Run:
    strategy = Deviations({("data", 0): number, ("data", 1): after})
    (run,) = explore(
        section_30_crashes.crash_between_any_two_calls,
        memory_store,
        strategy,
        schedules=1,
        watchers=watchers,
    )
    return run
