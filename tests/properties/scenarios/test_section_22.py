"""Matrix section 22 on the system as it is."""

from __future__ import annotations

import pytest
from tests.properties.scenarios.trial import of_module, try_out

from holdfast.properties.scenarios import (
    section_22_piggyback,
    section_22_renewal_schedule,
    section_22_timelines,
)
from holdfast.providers.memory import memory_store
from holdfast.providers.sqlite import sqlite_store
from holdfast.sim.bench import Factory
from holdfast.sim.scenario import Scenario

SCENARIOS = [
    scenario
    for module in (section_22_piggyback, section_22_renewal_schedule, section_22_timelines)
    for scenario in of_module(module.__name__)
]


@pytest.mark.parametrize("factory", [memory_store, sqlite_store])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_every_schedule_keeps_every_rule_and_asserts_every_row(scenario: Scenario, factory: Factory) -> None:
    try_out(scenario, factory)
