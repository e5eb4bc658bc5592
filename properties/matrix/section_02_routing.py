"""Matrix section 2: session routing, the happy path."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from holdfast.core import OrchestrationContext
from holdfast.properties.matrix.parts.conversations import (
    MINUTE,
    encoded,
    observation,
    observations,
    running,
    start,
    two_workers,
)
from holdfast.properties.matrix.parts.deliveries import calls, deliveries, until_delivered
from holdfast.properties.matrix.parts.told import at
from holdfast.sim import World, scenario

LONG_POLL_S: Final = 30
"""How long a fetch waits at most by default, and so the longest gap between two polls of a free worker."""


@scenario(
    covers=["2.1", "SS-4.5", "SS-4.7", "SS-2.8"],
    workers=2,
    options=MINUTE,
    situations=["session.served_again"],
    level="multi-runtime",
)
async def session_activity_routes_to_same_worker(world: World) -> None:
    """Consecutive activities of a session run in the same worker process."""

    async def three_in_a_row(ctx: OrchestrationContext, input: str) -> str:
        session = ctx.open_session()
        return encoded([await ctx.schedule_activity_on_session("look", str(n), session) for n in range(3)])

    two_workers(world, three_in_a_row)
    await start(world, three_in_a_row, "i")
    results = observations(await world.finished("i", check=False))
    with world.oracle("2.1"):
        assert len(results) == 3 and len({one.owner for one in results}) == 1, results


@scenario(
    covers=["2.2", "SS-4.5", "SS-7.4", "SS-19.1"],
    workers=2,
    options=MINUTE,
    situations=["session.renewed_between", "session.used_across_turns"],
    level="multi-runtime",
)
async def session_activity_routes_consistently_across_turns(world: World) -> None:
    """Affinity holds across an idle wait for an external event."""

    async def waits_between(ctx: OrchestrationContext, input: str) -> str:
        session = ctx.open_session_with_id("S")
        before = await ctx.schedule_activity_on_session("look", "before", session)
        await ctx.schedule_wait("go on")
        return encoded([before, await ctx.schedule_activity_on_session("look", "after", session)])

    two_workers(world, waits_between)
    await start(world, waits_between, "i")
    await until_delivered(world, "S")
    await world.quiet()
    await world.sleep(100 + 20 * world.draw("length of the wait", 6))
    await world.client.raise_event("i", "go on", "")
    before, after = observations(await world.finished("i", check=False))
    with world.oracle("2.2"):
        assert before.owner == after.owner, (before, after)
        claim, use = deliveries(world.commits, "S", "i")
        other = "b" if claim.process == "a" else "a"
        between = world.commits[claim.position : use.position]
        polls = calls(between, "fetch_session_work_item", process=other)
        gaps_s = [at(later) - at(earlier) for earlier, later in pairwise([claim, *polls, use])]
        assert max(gaps_s) <= LONG_POLL_S, f"the other worker did not poll throughout: {gaps_s}"


@scenario(
    covers=["2.3", "SS-1.5", "SS-3.1"],
    workers=2,
    options=MINUTE,
    situations=["two_sessions.two_owners"],
    level="multi-runtime",
)
async def different_sessions_can_route_to_different_workers(world: World) -> None:
    """Two sessions may live on two workers."""

    async def two_sessions(ctx: OrchestrationContext, input: str) -> str:
        names = [ctx.open_session_with_id(name) for name in ("X", "Y")]
        tasks = [ctx.schedule_activity_on_session("work", "1", name) for name in names]
        return encoded(await ctx.join(*tasks))

    two_workers(world, two_sessions)
    await start(world, two_sessions, "i")
    await world.until(
        lambda: bool(deliveries(world.commits, "X", "i")) and bool(deliveries(world.commits, "Y", "i"))
    )
    owners = {row.session_id: row.worker_id for row in world.sessions()}
    results = observations(await world.finished("i", check=False))
    with world.oracle("2.3"):
        assert {one.session: one.owner for one in results} == owners, (results, owners)


@scenario(
    covers=["2.4", "SS-2.10", "SS-19.3"],
    workers=2,
    options={**MINUTE, "worker_concurrency": 1},
    situations=["plain.delivered_elsewhere"],
    level="multi-runtime",
)
async def non_session_activity_unaffected(world: World) -> None:
    """An activity without session may run on any worker while a session is open."""

    async def both_kinds(ctx: OrchestrationContext, input: str) -> str:
        session = ctx.open_session_with_id("S")
        busy = ctx.schedule_activity_on_session("work", "10", session)
        await ctx.dequeue_event("busy now")
        plain = await ctx.schedule_activity("look", "plain")
        return encoded([plain, await busy])

    two_workers(world, both_kinds)
    await start(world, both_kinds, "i")
    await until_delivered(world, "S")
    await world.client.enqueue_event("i", "busy now", "")
    plain, held = observations(await world.finished("i", check=False))
    with world.oracle("2.4"):
        assert (plain.session, held.session) == (None, "S"), (plain, held)
        assert plain.owner != held.owner, (plain, held)
        assert deliveries(world.commits, None)[0].process != deliveries(world.commits, "S", "i")[0].process


@scenario(covers=["2.5", "SS-2.7"], options=MINUTE, situations=["session.claimed"])
async def session_id_available_in_activity_context(world: World) -> None:
    """The activity sees the id it was scheduled on."""

    async def asks(ctx: OrchestrationContext, input: str) -> str:
        return await ctx.schedule_activity_on_session("look", "", ctx.open_session_with_id("X"))

    world.worker("a", running(asks))
    await start(world, asks, "i", "j")
    for instance in ("i", "j"):
        saw = observation(await world.finished(instance, check=False))
        with world.oracle("2.5"):
            assert saw.session == "X", saw


@scenario(covers=["2.6", "SS-2.7", "SS-2.10"], options=MINUTE, situations=["session.opened"])
async def non_session_activity_has_none_session_id(world: World) -> None:
    """An ordinary activity sees no session id."""

    async def asks_plainly(ctx: OrchestrationContext, input: str) -> str:
        ctx.open_session_with_id("X")
        return await ctx.schedule_activity("look", "")

    world.worker("a", running(asks_plainly))
    await start(world, asks_plainly, "i", "j")
    for instance in ("i", "j"):
        saw = observation(await world.finished(instance, check=False))
        with world.oracle("2.6"):
            assert saw.session is None, saw
