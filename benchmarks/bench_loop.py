"""The cost of a task switch inside one simulated process, against stock asyncio in the same run.

Two workloads: two tasks that wake each other through futures, and a number handed round a ring of 100 tasks
through queues. In the simulator they run in a process of a world, fully recorded and under the guards;
setting the world up is counted. Repetitions of both loops are interleaved, and their medians compared. Run it
with `python benchmarks/bench_loop.py`; it exits with 1 if a ratio is above the goal.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable, Coroutine
from statistics import median
from time import perf_counter
from typing import Any

from holdfast.providers.sqlite import sqlite_store
from holdfast.sim import Fifo, Process, World, run_schedule, scenario

GOAL = 0.75
REPETITIONS = 9
SWITCHES = 40_000
RING = 100

Workload = Callable[[], Coroutine[Any, Any, None]]


async def ping_pong() -> None:
    """Two tasks; each resolves the future the other waits for."""
    loop = asyncio.get_running_loop()
    ball = [loop.create_future(), loop.create_future()]

    async def player(own: int, other: int) -> None:
        for _ in range(SWITCHES // 2):
            await ball[own]
            ball[own] = loop.create_future()
            ball[other].set_result(None)

    players = [loop.create_task(player(0, 1)), loop.create_task(player(1, 0))]
    ball[0].set_result(None)
    for task in players:
        await task


async def hand_over() -> None:
    """A ring of tasks; each takes the number from its queue and puts it into the next one's."""
    queues: list[asyncio.Queue[int]] = [asyncio.Queue() for _ in range(RING)]

    async def link(place: int) -> None:
        following = queues[(place + 1) % RING]
        for _ in range(SWITCHES // RING):
            following.put_nowait(await queues[place].get() + 1)

    links = [asyncio.get_running_loop().create_task(link(place)) for place in range(RING)]
    queues[0].put_nowait(0)
    for task in links:
        await task


def on_asyncio(workload: Workload) -> float:
    """Seconds on stock asyncio; its loop is made before the clock starts."""
    with asyncio.Runner() as runner:
        runner.get_loop()
        before = perf_counter()
        runner.run(workload())
        return perf_counter() - before


def on_holdfast(workload: Workload) -> float:
    """Seconds in a simulated process."""

    async def boot(process: Process) -> None:
        await workload()

    @scenario(covers=["benchmark"], register=False)
    async def measured(world: World) -> None:
        await world.process("bench", boot).stopped()

    before = perf_counter()
    run = run_schedule(measured, sqlite_store, Fifo(), full=True)
    elapsed = perf_counter() - before
    assert run.counts and not run.failures, run
    return elapsed


def main() -> int:
    """Measure, print, compare with the goal."""
    worst = 0.0
    print(f"task switch, median of {REPETITIONS} interleaved repetitions of {SWITCHES} switches")
    for name, workload in (("future ping-pong", ping_pong), (f"queue hand-over, {RING} tasks", hand_over)):
        stock, ours = [], []
        for _ in range(REPETITIONS):
            gc.collect()
            stock.append(on_asyncio(workload))
            gc.collect()
            ours.append(on_holdfast(workload))
        ratio = median(ours) / median(stock)
        worst = max(worst, ratio)
        print(
            f"  {name:<28} asyncio {median(stock) / SWITCHES * 1e9:6.0f} ns"
            f"   holdfast {median(ours) / SWITCHES * 1e9:6.0f} ns   ratio {ratio:.2f} (goal {GOAL})"
        )
    return 0 if worst <= GOAL else 1


if __name__ == "__main__":
    sys.exit(main())
