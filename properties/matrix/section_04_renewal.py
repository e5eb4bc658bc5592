"""Matrix section 4: session lock renewal."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import Final

from holdfast.core import OrchestrationContext
from holdfast.core.client import Completed
from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.observe import HandlerStarted
from holdfast.core.contract.provider import TagFilter
from holdfast.properties.matrix.parts.conversations import D_MS, MINUTE, encoded, observations, running, start
from holdfast.properties.matrix.parts.deliveries import (
    acked,
    delivered,
    deliveries,
    item_of,
    of_session,
    owner_of,
    renewals,
)
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


@scenario(
    covers=["4.1", "SS-7.2", "SS-7.6"],
    workers=1,
    situations=["session.renewed_by_item"],
    options=MINUTE,
)
async def session_lock_renewed_during_activity(world: World) -> None:
    """The lock moves forward while an activity runs."""
    owner = world.worker("a", running(_one_long_activity))
    await start(world, _one_long_activity, "i", input="200")
    await world.commit(lambda commit: of_session(commit, "s"))
    samples = []
    for number in range(4):
        if number:
            await world.sleep(R_S + 1 + 4 * world.draw("seconds beyond R / 4", 4))
        samples.append(world.session("i", "s"))
    status = await world.finished("i")
    with world.oracle("4.1"):
        expiries = [row.locked_until for row in samples if row is not None and row.locked_until is not None]
        assert len(expiries) == 4, samples
        assert all(earlier < later for earlier, later in pairwise(expiries)), expiries
        assert {row.worker_id for row in samples if row is not None} == {owner.worker_id}, samples
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
    workers = [world.worker(name, running(_twice_with_a_wait)) for name in ("a", "b")]
    wait_s = 200 + 10 * world.draw("seconds of waiting / 10", 8)
    await start(world, _twice_with_a_wait, "i", input=str(wait_s))
    first = await world.commit(lambda commit: of_session(commit, "s"))
    owner = owner_of(world, workers, "i", "s")
    other = next(worker for worker in workers if worker is not owner)
    await world.until(lambda: acked(world.commits, first))
    began = len(world.commits)
    samples = []
    for _ in range(wait_s // 20):
        await world.sleep(20)
        samples.append((world.provider_now_ms, world.session("i", "s")))
    ended = len(world.commits)
    status = await world.finished("i")
    with world.oracle("4.2"):
        for now_ms, row in samples[:-1]:
            assert row is not None and row.worker_id == owner.worker_id, (now_ms, row)
            assert row.locked_until is not None and row.locked_until > now_ms, (now_ms, row)
        fetched = [one for one in world.commits[began:ended] if one.process == other.name and delivered(one)]
        assert not [one for one in fetched if item_of(one).session_id is not None], fetched
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
    workers=1,
    situations=["session.closed", "session.renewal_refused"],
    options=MINUTE,
)
async def session_lock_renewal_stops_on_close(world: World) -> None:
    """After a close the renewal meets an error and ends."""
    owner = world.worker("a", running(_closes_and_goes_on))
    await start(
        world, _closes_and_goes_on, "i", input=str(7 * world.draw("seconds before the close / 7", 12))
    )
    await world.commit(lambda commit: of_session(commit, "s"))
    await world.until(lambda: world.session("i", "s") is None)
    closed = len(world.commits)
    await world.sleep(4 * R_S + 1)
    with world.oracle("4.3"):
        after = renewals(world.commits[closed:], "s")
        assert len(after) == 1, after
        assert after[0].time_us <= world.commits[closed - 1].time_us + R_S * 1_000_000, after
        error = after[0].error
        assert isinstance(error, ProviderError) and not error.retryable, after
        assert error.message == f"session i/s not owned by {owner.worker_id}", error
        assert owner.runtime is not None and owner.runtime.leases() == ()
    await world.finished("i")


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
    await world.until(lambda: any(_starts_on_session(local.event) for local in world.locals))
    await world.sleep(5 * world.draw("seconds before the shutdown / 5", 8))
    await leaving.shutdown(20)
    left, returned = world.session("i", "s"), len(world.commits)
    returned_ms = world.provider_now_ms
    staying = world.worker("b", running(_two_at_once))
    taken = await world.commit(lambda commit: of_session(commit, "s"))
    status = await world.finished("i")
    with world.oracle("4.4"):
        assert left is not None and (left.worker_id, left.locked_until) == (None, None), left
        assert taken.process == staying.name and taken.provider_ms == returned_ms, (returned_ms, taken)
        assert not [one for one in world.commits[returned:] if one.process == leaving.name]
        assert [entry.owner for entry in observations(status)] == [staying.worker_id] * 2, status


def _starts_on_session(event: object) -> bool:
    return isinstance(event, HandlerStarted) and event.session_id == "s"


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
    workers = [world.worker(name, running(_twice_with_a_wait)) for name in ("a", "b")]
    await start(world, _twice_with_a_wait, "i", input=str(100 * D_MS // 1000))
    first = await world.commit(lambda commit: of_session(commit, "s"))
    owner = owner_of(world, workers, "i", "s")
    await world.until(lambda: acked(world.commits, first))
    status = await world.finished("i")
    with world.oracle("4.5"):
        one, other = deliveries(world.commits, "s")
        assert other.provider_ms - one.provider_ms >= 100 * D_MS, (one, other)
        assert one.process == other.process == owner.name, (one, other)
        assert [entry.owner for entry in observations(status)] == [owner.worker_id] * 2, status
        assert [entry.warm for entry in observations(status)] == [False, True], status
        released = [commit for commit in world.commits if commit.operation == "release_session_lock"]
        assert not released, released


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
        last = await world.commit(lambda commit: of_session(commit, "s"))
    await world.until(lambda: acked(world.commits, last))
    finished_us = world.now_us
    await world.sleep(1.9)
    at_1_9, now_ms = world.session("i", "s"), world.provider_now_ms
    await world.commit(lambda commit: commit.operation == "release_session_lock" and commit.took_effect)
    released_us, unclaimed = world.now_us, world.session("i", "s")
    status = await world.finished("i")
    with world.oracle("4.6"):
        assert at_1_9 is not None and at_1_9.worker_id == owner.worker_id, at_1_9
        assert at_1_9.locked_until is not None and at_1_9.locked_until > now_ms, at_1_9
        assert unclaimed is not None and (unclaimed.worker_id, unclaimed.locked_until) == (None, None)
        assert released_us <= finished_us + 2_100_000, (finished_us, released_us)
        taken = deliveries(world.commits, "s")[-1]
        assert taken.process == second.name, taken
        assert [entry.owner for entry in observations(status)] == [owner.worker_id] * 2 + [second.worker_id]
