"""Matrix section 22, worked timelines W1 and W5: every number of their tables."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from holdfast.core import OrchestrationContext
from holdfast.core.client import Completed
from holdfast.core.contract.observe import HandlerSignalled, LeaseEnded
from holdfast.core.contract.provider import TagFilter
from holdfast.properties.matrix.parts.conversations import MINUTE, running, start
from holdfast.properties.matrix.parts.deliveries import (
    calls,
    delivered,
    deliveries,
    item_of,
    refused,
    renewals,
    work_of,
)
from holdfast.properties.matrix.parts.rows import (
    Handed,
    handed,
    leases_of,
    owner_and_expiry,
    queued,
    renewal_due,
    until_second,
)
from holdfast.properties.matrix.parts.told import at, signals, told
from holdfast.sim.toolkit.scenario import scenario
from holdfast.sim.toolkit.world import World

POLLS: Final = {"dispatcher_long_poll_timeout": timedelta(0), "orchestration_concurrency": 0}
"""A worker that looks for work at chosen moments, and runs no orchestration."""
SHORTLY_S: Final = 0.01
"""After a listed instant: what is to happen then has happened."""


async def _just_after(world: World, second: float) -> tuple[str | None, float | None] | None:
    """The row once everything of this instant has happened."""
    await until_second(world, second + SHORTLY_S)
    return owner_and_expiry(world)


async def _conversation(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    q1 = ctx.schedule_activity_on_session("work", "7.9", session)
    beside = [ctx.schedule_activity("look", str(n), tag="beside") for n in range(4)]
    await ctx.join(q1, *beside)
    await ctx.dequeue_event("go")
    await ctx.schedule_activity_on_session("work", "3.8", session)
    await ctx.dequeue_event("go")
    ctx.close_session(session)
    await ctx.schedule_timer(timedelta(seconds=30))
    return "done"


@scenario(
    covers=["22.14", "SS-7.2", "SS-7.3", "SS-7.4", "SS-4.2"],
    workers=2,
    level="multi-runtime",
    situations=["session.claimed", "session.renewed_between", "session.closed", "session.renewal_refused"],
    options=MINUTE,
)
async def timeline_ordinary_conversation(world: World) -> None:
    """Worked timeline W1."""
    make = running(_conversation)
    world.worker("turns", make, worker_tag_filter=TagFilter.only("beside"))
    await start(world, _conversation, "i")
    await until_second(world, 0.05)
    table: list[object] = [(0.0, owner_and_expiry(world), None)]

    async def note(*seconds: float) -> None:
        for second in seconds:
            table.append((second, await _just_after(world, second), renewal_due(world, a)))

    await until_second(world, 0.1)
    # an empty fetch is repeated after 32.2 s: A looks at 0.1, 8.0 and 40.2
    seldom = timedelta(seconds=32.2)
    a = world.worker("a", make, worker_concurrency=1, dispatcher_min_poll_interval=seldom, **POLLS)
    await note(0.1)
    await until_second(world, 0.2)
    # and B, which has nothing to do, at 0.2 and 40.1
    seldom = timedelta(seconds=39.9)
    b = world.worker("b", make, worker_concurrency=1, dispatcher_min_poll_interval=seldom, **POLLS)
    await note(8.0, 30.1)
    await until_second(world, 40.0)
    await world.client.enqueue_event("i", "go", "")
    await note(40.0, 40.1, 40.2, 44.0)
    await until_second(world, 55.0)
    await world.client.enqueue_event("i", "go", "")
    await note(55.0, 70.2)
    status = await world.finished("i", check=False)
    with world.oracle("22.14"):
        name = a.worker_id
        assert table == [
            (0.0, (None, None), None),
            (0.1, (name, 60.1), 30.1),
            (8.0, (name, 60.1), 30.1),
            (30.1, (name, 90.1), 60.1),
            (40.0, (name, 90.1), 60.1),
            (40.1, (name, 90.1), 60.1),
            (40.2, (name, 100.2), 70.2),
            (44.0, (name, 100.2), 70.2),
            (55.0, None, 70.2),
            (70.2, None, None),
        ], table
        assert [at(one) for one in deliveries(world.commits, "s")] == [0.1, 40.2]
        renewed = renewals(world.commits, "s")
        assert [(at(one), one.error is None) for one in renewed] == [(30.1, True), (70.2, False)], renewed
        polls = [one for one in world.commits if one.process == b.name and "fetch" in one.operation]
        assert 40.1 in [at(one) for one in polls], polls
        assert not [one for one in polls if delivered(one)], polls
        acks = calls(world.commits, "ack_work_item", process=a.name)
        assert [at(one) for one in acks] == [8.0, 44.0], acks
        assert not signals(world)
        assert isinstance(status, Completed), status


async def _frozen(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    before = [ctx.schedule_activity("work", seconds, tag="beside") for seconds in ("60.5", "60.6")]
    q1 = ctx.schedule_activity_on_session("insist", input, session)
    await ctx.schedule_timer(timedelta(seconds=10))
    q2 = ctx.schedule_activity_on_session("insist", "45", session)
    await ctx.join(q1, q2, *before)
    await ctx.schedule_timer(timedelta(seconds=30))
    return "done"


@scenario(
    covers=["22.15", "SS-4.6", "SS-4.8", "SS-13.2"],
    workers=2,
    level="fault",
    situations=["session.migrated", "process.stalled", "item.redelivered", "handler.signalled_lost"],
    options=MINUTE,
)
async def timeline_takeover_of_frozen_owner(world: World) -> None:
    """Worked timeline W5."""
    make = running(_frozen)
    world.worker("turns", make, worker_concurrency=0)
    # B's two slots are busy until 60.5 and 60.6 with work that A does not take
    b = world.worker(
        "b",
        make,
        worker_tag_filter=TagFilter.default_and("beside"),
        max_sessions_per_worker=2,
        orchestration_concurrency=0,
    )
    await start(world, _frozen, "i", input=str((90, 120, 129, 136, 150)[world.draw("seconds of q1", 5)]))
    await world.until(lambda: len(deliveries(world.commits, None)) == 2)
    assert world.now_us == 0
    a = world.worker("a", make, worker_concurrency=1, orchestration_concurrency=0)
    table = [(0.0, await _just_after(world, 0))]
    await until_second(world, 2)
    a.stall(128)
    for second in (2, 30, 60.5, 60.6, 85.5):
        table.append((second, await _just_after(world, second)))
    expiries = [row.locked_until for row in queued(world, "s")]
    await until_second(world, 129.99)
    resumed = len(world.commits)
    before, after = owner_and_expiry(world), await _just_after(world, 130)
    leases = leases_of(a)
    await until_second(world, 145)
    status = await world.finished("i", check=False)
    with world.oracle("22.15"):
        assert table == [
            (0.0, (a.worker_id, 60)),
            (2, (a.worker_id, 60)),
            (30, (a.worker_id, 60)),
            (60.5, (b.worker_id, 120.5)),
            (60.6, (b.worker_id, 120.6)),
            (85.5, (b.worker_id, 145.5)),
        ], table
        assert handed(world) == [Handed(0, "a", 1), Handed(60.5, "b", 2), Handed(60.6, "b", 1)], handed(world)
        first, again, other = deliveries(world.commits, "s")
        assert item_of(first).id == item_of(again).id < item_of(other).id, (first, again, other)
        assert len(expiries) == 2, expiries
        assert before == after and after is not None and after[0] == b.worker_id, (before, after)
        assert leases == (), leases
        told_a = [(at(one), one.event.cause) for one in told(world, HandlerSignalled | LeaseEnded, "a")]
        assert told_a == [(130, "deadline")] * 2, told_a
        assert [one.event.token for one in signals(world, "a")] == [work_of(first).token], signals(world)
        late = [one for one in world.commits[resumed:] if one.arguments.get("token") == work_of(first).token]
        assert late and all(map(refused, late)) and {one.process for one in late} == {"a"}, late
        assert isinstance(status, Completed), status
