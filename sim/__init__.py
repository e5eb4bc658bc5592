"""The simulator: virtual time and event loops, processes, faults, strategies, explorer, scenario toolkit.

    loop/         the virtual asyncio loop of one process, its time, and the calls it refuses
    stage/        the processes, what each may do next, the faults, and the choice of each step
    strategies/   how choices are made; one strategy per file
    toolkit/      what you write scenarios and checks with
    exploring/    running one schedule, many schedules, or one tape twice
    errors.py     every exception of the simulator

May import `holdfast.core` and `holdfast.traces`, but never a concrete provider, `holdfast.properties` or
`holdfast.reports`: those are passed in. Each package above may import those listed before it; a strategy sees
only the Strategy protocol and the fault table of the stage.
"""

from holdfast.sim.exploring.checks import run_check
from holdfast.sim.exploring.determinism import Difference, run_twice
from holdfast.sim.exploring.explorer import Run, StoreView, explore, run_schedule
from holdfast.sim.stage.faults import FAULT_TABLE, FaultBudget, held_back_us
from holdfast.sim.stage.process import Process
from holdfast.sim.strategies import (
    Deviations,
    Fifo,
    Pct,
    RandomWalk,
    ReplayTape,
    Strategy,
    make_strategy,
)
from holdfast.sim.toolkit.bench import Bench
from holdfast.sim.toolkit.bench import StoreFactory as Factory
from holdfast.sim.toolkit.handle import Handle
from holdfast.sim.toolkit.limits import Limits
from holdfast.sim.toolkit.scenario import Scenario, scenario, scenarios
from holdfast.sim.toolkit.world import World

__all__ = [
    "FAULT_TABLE",
    "Bench",
    "Deviations",
    "Difference",
    "Factory",
    "FaultBudget",
    "Fifo",
    "Handle",
    "Limits",
    "Pct",
    "Process",
    "RandomWalk",
    "ReplayTape",
    "Run",
    "Scenario",
    "StoreView",
    "Strategy",
    "World",
    "explore",
    "held_back_us",
    "make_strategy",
    "run_check",
    "run_schedule",
    "run_twice",
    "scenario",
    "scenarios",
]
