"""Matrix section 3: session routing with several workers, and what a worker at its limit does."""

from __future__ import annotations

from holdfast.core import OrchestrationContext
from holdfast.core.client import Completed
from holdfast.properties.matrix.parts.conversations import (
    MINUTE,
    encoded,
    observations,
    owners_by_session,
    running,
    seen,
    start,
    two_workers,
)
from holdfast.properties.matrix.parts.deliveries import acks_are, deliveries
from holdfast.properties.matrix.parts.rows import queued
from holdfast.sim import World, scenario

ONE = {**MINUTE, "max_sessions_per_worker": 1}
TWO = {**MINUTE, "max_sessions_per_worker": 2}


@scenario(
    covers=["3.1", "SS-4.2", "SS-4.5", "SS-3.10"],
    workers=2,
    options={**MINUTE, "worker_concurrency": 1},
    situations=["two_sessions.two_owners"],
    level="multi-runtime",
)
async def two_workers_claim_different_sessions(world: World) -> None:
    """Two workers on one store each serve their own session."""

    async def occupies(ctx: OrchestrationContext, input: str) -> str:
        names = [ctx.open_session_with_id(name) for name in ("A", "B")]
        first = [ctx.schedule_activity_on_session("work", "5", name) for name in names]
        claimed = await ctx.join(*first)
        then = [ctx.schedule_activity_on_session("look", "", name) for name in names for _ in range(2)]
        return encoded([*claimed, *await ctx.join(*then)])

    workers = two_workers(world, occupies)
    await start(world, occupies, "i")
    results = observations(await world.finished("i", check=False))
    with world.oracle("3.1"):
        owners = owners_by_session(results)
        assert [len(owners[name]) for name in ("A", "B")] == [1, 1], owners
        assert owners["A"] | owners["B"] == {worker.worker_id for worker in workers}, owners


@scenario(
    covers=["3.2", "SS-4.4", "SS-4.5"],
    workers=2,
    options=MINUTE,
    situations=["session.claim_raced"],
    level="multi-runtime",
)
async def session_exclusively_owned(world: World) -> None:
    """When two workers compete, one gets the session and all its activities."""

    async def ten_at_once(ctx: OrchestrationContext, input: str) -> str:
        session = ctx.open_session()
        tasks = [ctx.schedule_activity_on_session("look", str(n), session) for n in range(10)]
        return encoded(await ctx.join(*tasks))

    two_workers(world, ten_at_once)
    await start(world, ten_at_once, "i")
    results = observations(await world.finished("i", check=False))
    with world.oracle("3.2"):
        assert len(results) == 10 and len({one.owner for one in results}) == 1, results


@scenario(
    covers=["3.3", "SS-14.3", "SS-14.4", "SS-14.5"],
    workers=2,
    options=TWO,
    situations=["worker.at_capacity", "worker.passed_free_session_at_capacity"],
    level="multi-runtime",
)
async def max_sessions_per_worker_enforced(world: World) -> None:
    """A worker at its limit leaves further sessions to others."""

    async def three(ctx: OrchestrationContext, input: str) -> str:
        names = [ctx.open_session_with_id(name) for name in ("X", "Y", "Z")]
        two = [await ctx.schedule_activity_on_session("look", "", name) for name in names[:2]]
        return encoded([*two, await ctx.schedule_activity_on_session("look", "", "Z")])

    first = world.worker("a", running(three))
    await start(world, three, "i")
    await world.until(lambda: bool(queued(world, "Z")))
    await world.quiet()
    waited = queued(world, "Z")
    second = world.worker("b", running(three))
    x, y, z = observations(await world.finished("i", check=False))
    with world.oracle("3.3"):
        assert [row.token for row in waited] == [None], "at its limit the worker left the item queued"
        assert (x.owner, y.owner) == (first.worker_id, first.worker_id), (x, y)
        assert z.owner == second.worker_id, z


@scenario(
    covers=["3.3", "SS-14.3", "SS-14.6"],
    options=TWO,
    situations=["worker.at_capacity", "worker.passed_free_session_at_capacity"],
)
async def lone_worker_at_its_limit_waits_for_a_close(world: World) -> None:
    """With one worker only, the third session's item stays queued until a session closes."""

    async def three_then_close(ctx: OrchestrationContext, input: str) -> str:
        names = [ctx.open_session_with_id(name) for name in ("X", "Y", "Z")]
        two = [await ctx.schedule_activity_on_session("look", "", name) for name in names[:2]]
        third = ctx.schedule_activity_on_session("look", "", "Z")
        await ctx.dequeue_event("close X")
        ctx.close_session("X")
        return encoded([*two, await third])

    world.worker("a", running(three_then_close))
    await start(world, three_then_close, "i")
    await world.until(lambda: bool(queued(world, "Z")))
    # never none: it could have been claimed
    await world.sleep(1 + 10 * world.draw("seconds of waiting / 10", 12))
    await world.client.enqueue_event("i", "close X", "")
    await world.until(lambda: world.session("i", "X") is None)
    early = len(deliveries(world.commits, "Z", "i"))
    results = observations(await world.finished("i", check=False))
    with world.oracle("3.3"):
        assert early == 0, "a third session was claimed before any was closed"
        assert [one.session for one in results] == ["X", "Y", "Z"]


@scenario(covers=["3.4", "SS-14.3", "SS-12.4"], options=ONE, situations=["worker.served_plain_at_capacity"])
async def at_capacity_worker_still_processes_nonsession(world: World) -> None:
    """Reaching the limit does not stop plain work."""

    async def plain_beside_two(ctx: OrchestrationContext, input: str) -> str:
        names = [ctx.open_session_with_id(name) for name in ("X", "Y")]
        await ctx.schedule_activity_on_session("look", "", names[0])
        ctx.schedule_activity_on_session("look", "", names[1])
        return await ctx.schedule_activity("look", "plain")

    world.worker("a", running(plain_beside_two))
    await start(world, plain_beside_two, "i")
    await acks_are(world, 2)
    waiting = [row.token for row in queued(world, "Y")]
    status = await world.finished("i", check=False)
    with world.oracle("3.4"):
        assert isinstance(status, Completed), status
        assert (seen(status.output).session, seen(status.output).input) == (None, "plain")
        assert waiting == [None], "the second session's item was queued when the plain one was done"
        assert deliveries(world.commits, "Y", "i") == [], "the second session's item stayed queued"


@scenario(covers=["3.5", "SS-14.3", "SS-12.4"], options=ONE, situations=["worker.served_owned_at_capacity"])
async def at_capacity_worker_still_processes_owned_sessions(world: World) -> None:
    """Reaching the limit does not stop work of sessions already held."""

    async def goes_on_with_one(ctx: OrchestrationContext, input: str) -> str:
        names = [ctx.open_session_with_id(name) for name in ("X", "Y")]
        first = await ctx.schedule_activity_on_session("look", "0", names[0])
        ctx.schedule_activity_on_session("look", "", names[1])
        more = [await ctx.schedule_activity_on_session("look", str(n), names[0]) for n in (1, 2, 3)]
        return encoded([first, *more])

    world.worker("a", running(goes_on_with_one))
    await start(world, goes_on_with_one, "i")
    await acks_are(world, 4)
    waiting = [row.token for row in queued(world, "Y")]
    results = observations(await world.finished("i", check=False))
    with world.oracle("3.5"):
        assert [(one.session, one.input) for one in results] == [("X", str(n)) for n in range(4)], results
        assert waiting == [None], "the other session's item was queued when the last of these was done"
        assert deliveries(world.commits, "Y", "i") == [], "the other session's item stayed queued"
