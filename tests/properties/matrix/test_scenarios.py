"""The matrix on the system as it is: every scenario, on both stores."""

from __future__ import annotations

import pytest
from tests.properties.matrix.trial import try_out, watchers

from holdfast.campaign.selection import all_scenarios
from holdfast.properties import matrix
from holdfast.properties.matrix.section_30_faults import crashes
from holdfast.providers.memory import memory_store
from holdfast.providers.sqlite import sqlite_store
from holdfast.sim.exploring.explorer import Run, explore
from holdfast.sim.strategies import Deviations
from holdfast.sim.toolkit.bench import StoreFactory
from holdfast.sim.toolkit.scenario import Scenario

OF_THE_MATRIX = [one for one in all_scenarios().values() if one.module.startswith(matrix.__name__)]


def place(scenario: Scenario) -> str:
    """Module and name, so that `-k section_22` selects a section."""
    return f"{scenario.module.removeprefix(matrix.__name__ + '.')}-{scenario.name}"


@pytest.mark.parametrize("factory", [memory_store, sqlite_store])
@pytest.mark.parametrize("scenario", OF_THE_MATRIX, ids=place)
def test_every_schedule_keeps_every_rule_and_asserts_every_row(
    scenario: Scenario, factory: StoreFactory
) -> None:
    try_out(scenario, factory)


@pytest.mark.parametrize("after", [0, 1])
def test_a_crash_right_before_and_right_after_each_call(after: int) -> None:
    """Row 30.6, in order: every call of the scenario is reached, and the last draws are beyond its end."""
    reached = []
    for number in range(crashes.CALLS):
        run = _crash_at(number, after)
        assert run.error is None and run.cut_off is None and not run.failures, (number, run.failures)
        assert run.asserted == ("30.6",), number
        reached.append(len(run.faults))
    assert reached == sorted(reached, reverse=True) and reached[0] == 1, "no call is left out"
    assert reached[-1] == 0, "the scenario has more calls than are drawn"


def _crash_at(number: int, after: int) -> Run:
    strategy = Deviations({("data", 0): number, ("data", 1): after})
    (run,) = explore(
        crashes.crash_between_any_two_calls, memory_store, strategy, schedules=1, watchers=watchers
    )
    return run
