"""A month's wait of an orchestration: two idle workers, and one that holds a session, with all monitors.

With default options. The goal is for the idle month; of the held session all renewals are made, and their
cost is its floor. Run it with `python benchmarks/bench_long_wait.py`; it exits with 1 if the goal is missed.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from datetime import timedelta
from statistics import median
from time import process_time
from typing import Any, Final

from holdfast.campaign.providers import find_provider
from holdfast.campaign.single import monitors
from holdfast.core import Registry
from holdfast.sim import Fifo, World, run_schedule, scenario

GOAL_S: Final = 0.5
REPETITIONS: Final = 3


def waiting() -> Registry:
    """An orchestration that waits for a month, and one that holds a session meanwhile."""
    registry = Registry()

    @registry.orchestration("waits")
    async def waits(ctx: Any, input: str) -> str:
        if input:
            await ctx.schedule_activity_on_session("say", "", ctx.open_session())
        await ctx.schedule_timer(timedelta(days=30))
        return ""

    @registry.activity("say")
    async def say(ctx: Any, input: str) -> str:
        return ""

    return registry


def month(input: str) -> Callable[[World], Awaitable[None]]:
    """A scenario's body that waits for it."""

    async def body(world: World) -> None:
        for name in ("a", "b"):
            world.worker(name, waiting)
        await world.client.start_orchestration("i", "waits", input)
        await world.finished("i")

    return body


def seconds(input: str, provider: str) -> tuple[float, int]:
    """CPU seconds of one run, and its commits."""
    strategy = Fifo()
    strategy.begin(0)
    made = scenario(covers=["benchmark"], workers=2, register=False)(month(input))
    before = process_time()
    run = run_schedule(made, find_provider(provider).factory, strategy, watchers=monitors)
    assert run.wrong is None, run.wrong
    return process_time() - before, len(run.commits)


def main() -> int:
    """Print the figures; 1 if one falls short."""
    short = False
    for provider in ("memory", "sqlite"):
        seconds("", provider)
        idle = median(seconds("", provider)[0] for _ in range(REPETITIONS))
        held, commits = seconds("held", provider)
        print(
            f"{provider}: a month's wait in {idle:.3f} CPU s (goal under {GOAL_S} s);"
            f" with a session held {held:.2f} s, {held / commits * 1e6:.0f} us for each of {commits} commits"
        )
        short |= idle >= GOAL_S
    return int(short)


if __name__ == "__main__":
    sys.exit(main())
