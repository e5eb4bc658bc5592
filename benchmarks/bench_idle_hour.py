"""One virtual hour of an attached idle session, two workers, D = 60 s (matrix row 34.3).

The session is renewed every 30 s and nothing else happens. The floor is the same hour in a world whose
process only sleeps for 30 s at a time. Run it with `python benchmarks/bench_idle_hour.py`.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta
from statistics import median
from time import perf_counter
from typing import Any

from holdfast.campaign.providers import find_provider
from holdfast.campaign.single import monitors
from holdfast.core import Registry
from holdfast.sim import Fifo, Process, Scenario, World, run_schedule, scenario

GOAL_S = 0.1
HOUR_S = 3_600
REPETITIONS = 7


def waiting() -> Registry:
    """An orchestration that uses a session once and then waits for an event."""
    registry = Registry()

    @registry.orchestration("waiting")
    async def waiting(ctx: Any, input: str) -> str:
        session = ctx.open_session()
        await ctx.schedule_activity_on_session("say", "", session)
        return str(await ctx.schedule_wait("go on"))

    @registry.activity("say")
    async def say(ctx: Any, input: str) -> str:
        return "said"

    return registry


@scenario(
    covers=["benchmark"],
    workers=2,
    options={"session_lock_duration": timedelta(seconds=60)},
    register=False,
)
async def idle_hour(world: World) -> None:
    """An hour in which a session is only kept alive."""
    world.worker("a", waiting)
    world.worker("b", waiting)
    await world.client.start_orchestration("i", "waiting")
    await world.sleep(HOUR_S)
    (record,) = world.sessions()
    assert record.locked_until is not None
    assert record.locked_until > world.provider_now_ms


@scenario(covers=["benchmark"], register=False)
async def sleeping_hour(world: World) -> None:
    """The floor: as many timers, and no runtime."""

    async def boot(process: Process) -> None:
        for _ in range(HOUR_S // 30):
            await asyncio.sleep(30)

    await world.process("sleeper", boot).stopped()


def seconds(measured: Scenario, provider: str) -> float:
    """Real seconds of one run."""
    strategy = Fifo()
    before = perf_counter()
    strategy.begin(0)
    run = run_schedule(measured, find_provider(provider).factory, strategy, watchers=monitors)
    assert run.error is None and not run.failures, (run.error, run.failures)
    return perf_counter() - before


def main() -> int:
    """Print the figures; 1 if one falls short."""
    short = False
    for provider in ("memory", "sqlite"):
        seconds(idle_hour, provider)
        hour = median(seconds(idle_hour, provider) for _ in range(REPETITIONS))
        floor = median(seconds(sleeping_hour, provider) for _ in range(REPETITIONS))
        print(f"{provider}: one virtual hour in {hour:.3f} s (goal under {GOAL_S} s), floor {floor:.4f} s")
        short |= hour >= GOAL_S
    return int(short)


if __name__ == "__main__":
    sys.exit(main())
