"""Takeovers: how a worker comes to lose a session under its handlers, and what is looked at then."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import timedelta
from typing import Final

from holdfast.core import OrchestrationContext
from holdfast.core.client import NotFound, OrchestrationStatus, Running
from holdfast.core.contract.errors import ProviderError
from holdfast.properties.matrix.parts.conversations import D_MS, MINUTE, encoded
from holdfast.sim.toolkit.handle import Handle
from holdfast.sim.toolkit.world import World

LONG_ITEMS: Final = {**MINUTE, "worker_lock_timeout": timedelta(seconds=100)}
"""D = 60 s, R = 30 s, and item locks that outlive the session lock: L = 100 s, I = 95 s."""

ONLY_TURNS: Final = {"worker_concurrency": 0}
ONLY_ACTIVITIES: Final = {"orchestration_concurrency": 0}

R_S: Final = 30
R_US: Final = 30_000_000
D_US: Final = 60_000_000


async def three_then_one(ctx: OrchestrationContext, input: str) -> str:
    """Three long activities of one session; at the word "more", another one."""
    session = ctx.open_session_with_id("s")
    items = [ctx.schedule_activity_on_session("work", input, session) for _ in range(3)]
    await ctx.dequeue_event("more")
    items.append(ctx.schedule_activity_on_session("work", "5", session))
    return encoded(await ctx.join(*items))


async def one_then_one(ctx: OrchestrationContext, input: str) -> str:
    """A long activity of a session; at the word "more", another one."""
    session = ctx.open_session_with_id("s")
    first = ctx.schedule_activity_on_session("work", input, session)
    await ctx.dequeue_event("more")
    second = ctx.schedule_activity_on_session("work", input, session)
    return encoded(await ctx.join(first, second))


async def more(world: World, instance: str = "i") -> None:
    """Say the word, and wait until the item that it brings is in the queue."""
    count = len(world.worker_rows())
    await world.client.enqueue_event(instance, "more", "")
    await world.until(lambda: len(world.worker_rows()) == count + 1)


def let_expire(world: World, owner: Handle) -> None:
    """Let the sessions of a worker expire under it: it freezes for a drawn time, or the store's clock jumps.

    Meant for the first 29 seconds after a claim. One that freezes comes back within R of the expiry.
    """
    if world.draw("freezes", 2):
        owner.stall(66 + 3 * world.draw("seconds beyond the expiry / 3", 7) - world.now_us / 1_000_000)
    else:
        world.jump_clock(D_MS + 1000 * world.draw("seconds beyond the expiry", 4))


async def end_of(world: World, instance: str, *, within_s: float) -> OrchestrationStatus:
    """The status of an instance when it has ended, or when so much time has passed: it may hang."""
    last_us = world.now_us + within_s * 1_000_000
    while True:
        status = await world.status(instance)
        if not isinstance(status, NotFound | Running) or world.now_us >= last_us:
            return status
        await world.sleep(5)


async def refusal_of(call: Awaitable[object]) -> ProviderError | None:
    """The permanent error of a call; None if it succeeds, or fails for the moment."""
    try:
        await call
    except ProviderError as error:
        return None if error.retryable else error
    return None
