"""The world: virtual clock and loop, processes, faults, strategies, the explorer, the toolkit of scenarios.

May import `holdfast.core` and `holdfast.traces`. Never a concrete provider, `holdfast.properties` or
`holdfast.reports`: those are handed in. In reading order:

    virtual_time clock ids      time and names                 tasks loop refusals    asyncio, virtual
    process gate steps          what a process is and sends    parking                waiting fetches
    draws strategies/           who decides                    faults misfortune      what goes wrong
    stage engine driving blocking    steps, and the choice of one      chronicle      what happened
    scenario world handle bench recorded   what authors of scenarios see   guards suspects    ways out
    explorer checks determinism      running them
"""

from holdfast.sim.bench import Bench, Factory
from holdfast.sim.checks import run_check
from holdfast.sim.determinism import Difference, run_twice
from holdfast.sim.explorer import Limits, Run, StoreView, explore, run_schedule
from holdfast.sim.faults import FAULT_TABLE, FaultBudget, held_back_us
from holdfast.sim.handle import Handle
from holdfast.sim.process import Process
from holdfast.sim.scenario import Scenario, scenario, scenarios
from holdfast.sim.strategies import (
    Deviations,
    Fifo,
    Pct,
    RandomWalk,
    ReplayTape,
    Strategy,
    make_strategy,
)
from holdfast.sim.world import World

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
