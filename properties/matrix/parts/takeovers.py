"""Takeovers: how a worker comes to lose a session under its handlers, and what is looked at then."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from datetime import timedelta
from typing import Final

from holdfast.core import OrchestrationContext
from holdfast.core.client import NotFound, OrchestrationStatus, Running
from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.observe import HandlerSignalled, HandlerStarted, LeaseEnded
from holdfast.core.contract.provider import FetchedWork
from holdfast.properties.matrix.parts.conversations import D_MS, MINUTE, encoded
from holdfast.sim.loop.virtual_time import EPOCH_MS
from holdfast.sim.toolkit.handle import Handle
from holdfast.sim.toolkit.world import World
from holdfast.traces.record import Commit, Local

LONG_ITEMS: Final = {**MINUTE, "worker_lock_timeout": timedelta(seconds=100)}
"""D = 60 s, R = 30 s, and item locks that outlive the session lock: L = 100 s, I = 95 s."""

ONLY_TURNS: Final = {"worker_concurrency": 0}
ONLY_ACTIVITIES: Final = {"orchestration_concurrency": 0}

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
    """Let the sessions of a worker expire under it: it freezes for a drawn while, or the store's clock jumps.

    Meant for the first 29 seconds after a claim. One that freezes comes back within R of the expiry.
    """
    if world.draw("freezes", 2):
        owner.stall(66 + 3 * world.draw("seconds beyond the expiry / 3", 7) - world.now_us / 1_000_000)
    else:
        world.jump_clock(D_MS + 1000 * world.draw("seconds beyond the expiry", 4))


def signals(world: World, process: str | None = None) -> list[tuple[int, HandlerSignalled]]:
    """When and how handlers were signalled, in one process or in all."""
    return [
        (local.time_us, local.event)
        for local in world.locals
        if isinstance(local.event, HandlerSignalled) and process in (None, local.process)
    ]


def starts(world: World, process: str | None = None) -> list[HandlerStarted]:
    """The handlers that started, in one process or in all."""
    return [
        local.event
        for local in world.locals
        if isinstance(local.event, HandlerStarted) and process in (None, local.process)
    ]


def lease_ends(world: World, process: str) -> list[tuple[int, LeaseEnded]]:
    """When and why leases of a process ended."""
    return [
        (local.time_us, local.event)
        for local in world.locals
        if isinstance(local.event, LeaseEnded) and local.process == process
    ]


def calls_by(commits: Sequence[Commit], process: str, operation: str) -> list[Commit]:
    """The calls of one kind by one process, in order, whatever came of them."""
    return [one for one in commits if (one.process, one.operation) == (process, operation)]


def tokens_of(commits: Sequence[Commit], process: str, session_id: str = "s") -> list[str]:
    """The tokens of the items of a session that one process was handed, in order."""
    return [
        one.result.token
        for one in commits
        if one.process == process
        and one.took_effect
        and isinstance(one.result, FetchedWork)
        and one.result.item.session_id == session_id
    ]


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


async def until_second(world: World, second: float) -> None:
    """Wait until so much virtual time has passed since the run began."""
    await world.sleep(second - world.now_us / 1_000_000)


def second_of(provider_ms: int | None) -> float | None:
    """A time of the store, in seconds since the run began, by a clock that has not jumped."""
    return None if provider_ms is None else (provider_ms - EPOCH_MS) / 1000


def owner_and_expiry(
    world: World, session_id: str = "s", instance: str = "i"
) -> tuple[str | None, float | None] | None:
    """A session row as the worked timelines write it: owner identity and expiry; None if absent."""
    record = world.session(instance, session_id)
    return None if record is None else (record.worker_id, second_of(record.locked_until))


def item_lock(world: World, activity_id: int) -> float | None:
    """Until when the item of an activity is locked, in seconds; None if it is not."""
    held = next(one for one in world.worker_rows() if one.item is not None and one.item.id == activity_id)
    return second_of(held.locked_until)


def last_local(world: World, process: str, kind: type[object]) -> Local | None:
    """The latest event of a kind in a process."""
    return next(
        (
            local
            for local in reversed(world.locals)
            if local.process == process and isinstance(local.event, kind)
        ),
        None,
    )
