"""What the simulator's tests share: a store, and running a body once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from holdfast.core.contract.clock import IdSource, ProviderClock
from holdfast.core.contract.store import Store
from holdfast.providers.sqlite import sqlite_store
from holdfast.sim.exploring.explorer import Run, run_schedule
from holdfast.sim.stage.faults import FaultBudget
from holdfast.sim.strategies import Fifo, Strategy
from holdfast.sim.toolkit.scenario import Scenario, scenario
from holdfast.sim.toolkit.world import World


def store_in_memory(clock: ProviderClock, ids: IdSource) -> Store:
    return sqlite_store(clock, ids)


@pytest.fixture
def factory() -> Callable[[ProviderClock, IdSource], Store]:
    """Makes an empty store."""
    return store_in_memory


def run_body(
    body: Callable[[World], Awaitable[None]],
    strategy: Strategy | None = None,
    *,
    faults: FaultBudget | None = None,
    **options: Any,
) -> Run:
    made: Scenario = scenario(covers=["test"], faults=faults, register=False)(body)
    chosen = Fifo() if strategy is None else strategy
    chosen.begin(0)
    return run_schedule(made, store_in_memory, chosen, full=True, **options)


@pytest.fixture
def run() -> Callable[..., Run]:
    """Runs a body once as a scenario, fully recorded: `run(body, strategy, faults=..., limits=...)`."""
    return run_body
