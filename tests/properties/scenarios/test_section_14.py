"""Matrix section 14 on the system as it is."""

from __future__ import annotations

import pytest
from tests.properties.scenarios.trial import of_module, try_out

from holdfast.properties.scenarios import section_14_contract
from holdfast.providers.memory import memory_store
from holdfast.providers.sqlite import sqlite_store
from holdfast.sim.bench import Factory
from holdfast.sim.scenario import Scenario


@pytest.mark.parametrize("factory", [memory_store, sqlite_store])
@pytest.mark.parametrize(
    "scenario", of_module(section_14_contract.__name__), ids=lambda scenario: scenario.name
)
def test_every_schedule_keeps_every_rule_and_asserts_every_row(scenario: Scenario, factory: Factory) -> None:
    try_out(scenario, factory)
