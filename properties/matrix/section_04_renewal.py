"""Matrix section 4: session lock renewal."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import Final

from holdfast.core import OrchestrationContext
from holdfast.core.client import Completed
from holdfast.core.contract.provider import TagFilter
from holdfast.core.contract.store import SessionRecord
from holdfast.properties.matrix.parts.conversations import (
    D_MS,
    MINUTE,
    encoded,
    observations,
    running,
    sole,
    start,
    two_workers,
)
from holdfast.properties.matrix.parts.deliveries import (
    acked,
    calls,
    delivered,
    deliveries,
    first_delivery,
    owner_and_other,
    owner_of,
    refusal,
    renewals,
)
from holdfast.properties.matrix.parts.rows import assert_held, leases_of, look, looks_every
from holdfast.properties.matrix.parts.told import at, starts
from holdfast.sim.toolkit.scenario import scenario
from holdfast.sim.toolkit.world import World

R_S: Final = 30
"""Half of D, in seconds."""


async def _one_long_activity(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    beside = [ctx.schedule_activity("look", str(n)) for n in range(4)]
    seen = await ctx.schedule_activity_on_session("work", input, session)
    await ctx.join(*beside)
    ctx.close_session(session)
    return str(seen)


@scenario(covers=["4.1", "SS-7.2", "SS-7.6"], situations=["session.renewed_by_item"], options=MINUTE)
async def session_lock_renewed_during_activity(world: World) -> None:
    """The lock moves forward while an activity runs."""
    owner = world.worker("a", running(_one_long_activity))
    await start(world, _one_long_activity, "i", input="200")
    await first_delivery(world)
    looks = [look(world)]
    for _ in range(3):
        await world.sleep(R_S + 1 + 4 * world.draw("seconds beyond R / 4", 4))
        looks.append(look(world))
    status = await world.finished("i", check=False)
    with world.oracle("4.1"):
        assert_held(looks, owner)
        expiries = [one.row.locked_until or 0 for one in looks if one.row is not None]
        assert all(earlier < later for earlier, later in pairwise(expiries)), expiries
        assert isinstance(status, Completed), status


async def _twice_with_a_wait(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    beside = [ctx.schedule_activity("look", str(n)) for n in range(3)]
    first = await ctx.schedule_activity_on_session("look", "first", session)
    await ctx.join(*beside)
    await ctx.schedule_timer(timedelta(seconds=float(input)))
    second = await ctx.schedule_activity_on_session("look", "second", session)
    ctx.close_session(session)
    return encoded([first, second])


@scenario(
    covers=["4.2", "SS-7.4", "SS-7.3"],
    workers=2,
    situations=["session.renewed_between", "session.used_across_turns"],
    level="multi-runtime",
    options=MINUTE,
)
async def session_lock_renewed_between_turns(world: World) -> None:
    """The lock is kept alive between turns."""
    workers = two_workers(world, _twice_with_a_wait)
    wait_s = 200 + 10 * world.draw("seconds of waiting / 10", 8)
    await start(world, _twice_with_a_wait, "i", input=str(wait_s))
    first = await first_delivery(world)
    owner, other = owner_and_other(world, workers)
    await world.until(lambda: acked(world.commits, first))
    began = len(world.commits)
    looks = await looks_every(world, 20, times=wait_s // 20)
    ended = len(world.commits)
    status = await world.finished("i", check=False)
    with world.oracle("4.2"):
        assert_held(looks[:-1], owner)
        fetched = [one for one in world.commits[began:ended] if one.process == other.name and delivered(one)]
        assert fetched == deliveries(fetched, None), fetched
        assert not [one for one in fetched if one.time_us > first.time_us], "the plain items were done then"
        assert {entry.owner for entry in observations(status)} == {owner.worker_id}, status


async def _closes_and_goes_on(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    beside = [ctx.schedule_activity("look", str(n)) for n in range(4)]
    await ctx.schedule_activity_on_session("look", "", session)
    await ctx.join(*beside)
    await ctx.schedule_timer(timedelta(seconds=float(input)))
    ctx.close_session(session)
    await ctx.schedule_timer(timedelta(seconds=5 * R_S))
    return "done"


@scenario(
    covers=["4.3", "SS-7.10", "SS-7.16", "SS-12.7"],
    situations=["session.closed", "session.renewal_refused"],
    options=MINUTE,
)
async def session_lock_renewal_stops_on_close(world: World) -> None:
    """After a close the renewal meets an error and ends."""
    owner = world.worker("a", running(_closes_and_goes_on))
    close_s = 7 * world.draw("seconds before the close / 7", 12)
    await start(world, _closes_and_goes_on, "i", input=str(close_s))
    await first_delivery(world)
    await world.until(lambda: world.session("i", "s") is None)
    closed = len(world.commits)
    await world.sleep(4 * R_S + 1)
    with world.oracle("4.3"):
        after = sole(renewals(world.commits[closed:], "s"))
        assert at(after) <= at(world.commits[closed - 1]) + R_S, after
        assert refusal(after) == f"session i/s not owned by {owner.worker_id}", after
        assert leases_of(owner) == ()
    await world.finished("i", check=False)


async def _two_at_once(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    beside = [ctx.schedule_activity("look", str(n)) for n in range(3)]
    both = [ctx.schedule_activity_on_session("work", "40", session) for _ in range(2)]
    await ctx.join(*beside)
    answers = await ctx.join(*both)
    ctx.close_session(session)
    return encoded(answers)


@scenario(
    covers=["4.4", "SS-9.11", "SS-7.16"],
    workers=2,
    situations=["session.released_shutdown", "session.claimed_after_release"],
    level="multi-runtime",
    options=MINUTE,
)
async def session_lock_renewal_stops_on_shutdown(world: World) -> None:
    """Graceful shutdown hands the session back at once."""
    leaving = world.worker("a", running(_two_at_once), worker_concurrency=1)
    await start(world, _two_at_once, "i")
    await world.until(lambda: bool(starts(world, session="s")))
    await world.sleep(5 * world.draw("seconds before the shutdown / 5", 8))
    await leaving.shutdown(20)
    left, returned = world.session("i", "s"), len(world.commits)
    returned_ms = world.provider_now_ms
    staying = world.worker("b", running(_two_at_once))
    taken = await first_delivery(world)
    status = await world.finished("i", check=False)
    with world.oracle("4.4"):
        assert left == SessionRecord("i", "s", None, None), left
        assert taken.process == staying.name and taken.provider_ms == returned_ms, (returned_ms, taken)
        assert not [one for one in world.commits[returned:] if one.process == leaving.name]
        assert [entry.owner for entry in observations(status)] == [staying.worker_id] * 2, status


@scenario(
    covers=["4.5", "SS-8.5", "SS-7.4"],
    workers=2,
    situations=["session.renewed_between", "session.used_across_turns"],
    level="multi-runtime",
    options={
        **MINUTE,
        "dispatcher_long_poll_timeout": timedelta(minutes=30),
        "worker_concurrency": 1,
        "orchestration_concurrency": 1,
    },
)
async def idle_timeout_none_keeps_session_forever(world: World) -> None:
    """Without idle timeout an unused session stays where it is."""
    workers = two_workers(world, _twice_with_a_wait)
    await start(world, _twice_with_a_wait, "i", input=str(100 * D_MS // 1000))
    first = await first_delivery(world)
    owner = owner_of(world, workers)
    await world.until(lambda: acked(world.commits, first))
    status = await world.finished("i", check=False)
    with world.oracle("4.5"):
        one, other = deliveries(world.commits, "s")
        assert other.provider_ms - one.provider_ms >= 100 * D_MS, (one, other)
        assert one.process == other.process == owner.name, (one, other)
        assert [entry.owner for entry in observations(status)] == [owner.worker_id] * 2, status
        assert [entry.warm for entry in observations(status)] == [False, True], status
        assert not calls(world.commits, "release_session_lock")


async def _then_elsewhere(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    beside = [ctx.schedule_activity("look", str(n)) for n in range(3)]
    here = [await ctx.schedule_activity_on_session("work", input, session) for _ in range(2)]
    await ctx.join(*beside)
    elsewhere = await ctx.schedule_activity_on_session("look", "", session, tag="other")
    ctx.close_session(session)
    return encoded([*here, elsewhere])


@scenario(
    covers=["4.6", "SS-8.2", "SS-8.4"],
    workers=2,
    situations=["session.released_idle", "session.claimed_after_release"],
    level="multi-runtime",
    options={**MINUTE, "session_idle_timeout": timedelta(seconds=2)},
)
async def idle_timeout_releases_after_duration(world: World) -> None:
    """With an idle timeout of 2 s the session is given up 2 s after its last activity."""
    owner = world.worker("a", running(_then_elsewhere))
    second = world.worker("b", running(_then_elsewhere), worker_tag_filter=TagFilter.only("other"))
    seconds = 5 * world.draw("seconds of work / 5", 4)
    await start(world, _then_elsewhere, "i", input=str(seconds))
    for _ in range(2):
        last = await first_delivery(world)
    await world.until(lambda: acked(world.commits, last))
    finished_us = world.now_us
    await world.sleep(1.9)
    at_1_9 = look(world)
    await world.commit(lambda commit: commit.operation == "release_session_lock" and commit.took_effect)
    released_us, unclaimed = world.now_us, world.session("i", "s")
    status = await world.finished("i", check=False)
    with world.oracle("4.6"):
        assert_held([at_1_9], owner)
        assert unclaimed == SessionRecord("i", "s", None, None), unclaimed
        assert released_us <= finished_us + 2_100_000, (finished_us, released_us)
        taken = deliveries(world.commits, "s")[-1]
        assert taken.process == second.name, taken
        assert [entry.owner for entry in observations(status)] == [owner.worker_id] * 2 + [second.worker_id]
