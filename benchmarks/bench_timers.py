"""The cost of one timer, with 100 pending and with 4,000, of a process and of an orchestration.

A process sleeps again and again beside sleepers that sleep on; and an orchestration waits for one durable
timer after the other while others, each a message for later, are pending. What is compared is the cost of one
more timer, so that setting the others up does not count. Run it with `python benchmarks/bench_timers.py`; it
exits with 1 if 4,000 cost more than the goal allows.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from statistics import median
from time import process_time
from typing import Any, Final

from holdfast.campaign.providers import find_provider
from holdfast.core import Registry
from holdfast.sim import Fifo, Process, World, run_schedule, scenario

GOAL = 1.5
PENDING: Final = (100, 1_000, 4_000)
REPETITIONS: Final = 5
DAY_S: Final = 86_400


async def sleeps(pending: int, count: int, world: World) -> None:
    """One process with `pending` sleepers; it sleeps `count` times itself."""

    async def boot(process: Process) -> None:
        sleepers = [asyncio.ensure_future(asyncio.sleep(DAY_S)) for _ in range(pending)]
        for _ in range(count):
            await asyncio.sleep(0.5)
        for sleeper in sleepers:
            sleeper.cancel()

    await world.process("sleeper", boot).stopped()


def waiting() -> Registry:
    """An orchestration that waits, and one that waits `input` times."""
    registry = Registry()

    @registry.orchestration("waits")
    async def waits(ctx: Any, input: str) -> str:
        await ctx.schedule_timer(timedelta(days=1))
        return ""

    @registry.orchestration("waits often")
    async def waits_often(ctx: Any, input: str) -> str:
        if int(input):
            await ctx.schedule_timer(timedelta(seconds=1))
            return str(await ctx.continue_as_new(str(int(input) - 1)))
        return ""

    return registry


async def durable(pending: int, count: int, world: World) -> None:
    """`pending` orchestrations that wait for a day, and one that waits `count` times for a second."""
    world.worker("a", waiting)
    for number in range(pending):
        await world.client.start_orchestration(f"i{number}", "waits")
    await world.sleep(10)
    await world.client.start_orchestration("often", "waits often", str(count))
    await world.finished("often")


def seconds(body: Callable[[World], Awaitable[None]]) -> float:
    """CPU seconds of one run."""
    made = scenario(covers=["benchmark"], register=False)(body)
    strategy = Fifo()
    strategy.begin(0)
    before = process_time()
    run = run_schedule(made, find_provider("memory").factory, strategy)
    assert run.counts and not run.failures, (run.error, run.cut_off, run.failures)
    return process_time() - before


def cost_us(measured: Callable[[int, int, World], Awaitable[None]], pending: int, count: int) -> float:
    """What one timer more costs, in microseconds."""

    def body(count: int) -> Callable[[World], Awaitable[None]]:
        made = partial(measured, pending, count)

        async def measured_body(world: World) -> None:
            await made(world)

        return measured_body

    return (seconds(body(count)) - seconds(body(count // 10))) / (count - count // 10) * 1e6


def main() -> int:
    """Print the figures; 1 if one falls short."""
    short = False
    for name, measured, count in (("of a process", sleeps, 4_000), ("durable", durable, 400)):
        costs = {
            pending: median(cost_us(measured, pending, count) for _ in range(REPETITIONS))
            for pending in PENDING
        }
        ratio = costs[PENDING[-1]] / costs[PENDING[0]]
        shown = ", ".join(f"{cost:.0f} us with {pending}" for pending, cost in costs.items())
        print(f"a timer {name}: {shown}; ratio {ratio:.2f} (goal under {GOAL})")
        short |= ratio >= GOAL
    return int(short)


if __name__ == "__main__":
    sys.exit(main())
