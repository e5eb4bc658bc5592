"""Matrix section 24 on the system as it is."""

from __future__ import annotations

import pytest
from tests.properties.scenarios.trial import of_module, try_out

from holdfast.properties.scenarios import (
    section_24_capacity,
    section_24_fetches,
    section_24_kept,
    section_24_timeline,
    section_24_units,
)
from holdfast.providers.memory import memory_store
from holdfast.providers.sqlite import sqlite_store
from holdfast.sim.bench import Factory
from holdfast.sim.scenario import Scenario


@pytest.mark.parametrize("factory", [memory_store, sqlite_store])
@pytest.mark.parametrize(
    "scenario",
    [
        one
        for module in (
            section_24_capacity,
            section_24_fetches,
            section_24_kept,
            section_24_timeline,
            section_24_units,
        )
        for one in of_module(module.__name__)
    ],
    ids=lambda scenario: scenario.name,
)
def test_every_schedule_keeps_every_rule_and_asserts_every_row(scenario: Scenario, factory: Factory) -> None:
    try_out(scenario, factory)
