"""Matrix section 5: migration after a worker crash."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from holdfast.core import ActivityContext, OrchestrationContext
from holdfast.core.client import Completed
from holdfast.core.program.registry import Registry
from holdfast.properties.matrix.parts.conversations import (
    MINUTE,
    POLL_MS,
    completed,
    output,
    owner_part,
    running,
    sole,
    start,
)
from holdfast.properties.matrix.parts.deliveries import (
    acked,
    commits_more,
    deliveries,
    first_delivery,
    item_of,
    owner_and_other,
    work_of,
)
from holdfast.properties.matrix.parts.rows import queued
from holdfast.sim.stage.process import Process
from holdfast.sim.toolkit.scenario import scenario
from holdfast.sim.toolkit.world import World


async def _say(ctx: ActivityContext, input: str) -> str:
    return f"said {input}"


async def _note(ctx: ActivityContext, input: str) -> None:
    return None


@scenario(
    covers=["5.1", "SS-9.1", "SS-8.1", "SS-4.6"],
    workers=2,
    situations=["session.taken_over_after_crash"],
    level="fault",
    options=MINUTE,
)
async def crash_then_reclaim(world: World) -> None:
    """After the crash and the lock's expiry another worker takes over."""

    async def talk(ctx: OrchestrationContext, input: str) -> str:
        beside = [ctx.schedule_activity("say", f"plain {n}") for n in range(2)]
        session = ctx.open_session_with_id("s")
        said = [await ctx.schedule_activity_on_session("say", str(n), session) for n in range(5)]
        await ctx.join(*beside)
        return ",".join(said)

    workers = [world.worker(name, running(talk, say=_say)) for name in ("a", "b")]
    await start(world, talk, "i")
    await first_delivery(world)
    owner, other = owner_and_other(world, workers)
    await commits_more(world, world.draw("commits before the crash", 7))
    owner.crash()
    crashed_at = len(world.commits)
    left = world.session("i", "s")
    with world.oracle("5.1"):
        assert left is not None and left.worker_id == owner.worker_id and left.locked_until is not None, left
        await world.sleep((left.locked_until - world.provider_now_ms + 2 * POLL_MS) / 1000)
        taken = deliveries(world.commits[crashed_at:], "s")
        assert taken, f"nobody took the session over within {2 * POLL_MS} ms of its expiry: {left}"
        first = taken[0]
        assert first.process == other.name, first
        assert left.locked_until <= first.provider_ms <= left.locked_until + POLL_MS, (left, first)
        status = await world.finished("i", check=False)
        assert acked(world.commits, first), "the new owner's first item was not finished by it"
        assert output(status) == "said 0,said 1,said 2,said 3,said 4", status


@scenario(
    covers=["5.2", "SS-9.4", "SS-1.4"],
    workers=2,
    situations=["session.taken_over_after_crash"],
    level="fault",
    options=MINUTE,
)
async def crash_app_detects_cold_state(world: World) -> None:
    """The activity on the new worker can tell that its memory is empty."""
    seen: list[tuple[str, str | None, str, str]] = []

    async def talk(ctx: OrchestrationContext, input: str) -> None:
        beside = [ctx.schedule_activity("note", "") for _ in range(2)]
        session = ctx.open_session_with_id("s")
        for _ in range(5):
            await ctx.schedule_activity_on_session("remember", "", session)
        await ctx.join(*beside)

    def remembering(process: Process) -> Registry:
        memory: set[str | None] = set()

        async def remember(ctx: ActivityContext, input: str) -> None:
            found = "hit" if ctx.session_id in memory else "miss"
            memory.add(ctx.session_id)
            seen.append((process.name, ctx.session_id, owner_part(ctx.worker_id), found))

        return running(talk, note=_note, remember=remember)()

    workers = [world.worker(name, remembering) for name in ("a", "b")]
    await start(world, talk, "i")
    await world.until(lambda: bool(seen))
    owner, other = owner_and_other(world, workers)
    await commits_more(world, world.draw("commits before the crash", 7))
    owner.crash()
    before = len(seen)
    status = await world.finished("i", check=False)
    with world.oracle("5.2"):
        assert isinstance(status, Completed), status
        for worker, part in ((owner, seen[:before]), (other, seen[before:])):
            assert {entry[:3] for entry in part} == {(worker.name, "s", worker.worker_id)}, part
            assert [found for *_, found in part] == ["miss"] + ["hit"] * (len(part) - 1), part
        assert owner.worker_id != other.worker_id


@scenario(
    covers=["5.3", "SS-9.2", "SS-4.8"],
    workers=2,
    situations=["owner.crashed_with_item", "item.redelivered_after_crash"],
    level="fault",
    options=MINUTE,
)
async def crash_inflight_activity_retried(world: World) -> None:
    """An activity interrupted by the crash is executed again by the new owner."""
    starts: list[tuple[str, int, int]] = []

    async def talk(ctx: OrchestrationContext, input: str) -> str:
        beside = [ctx.schedule_activity("note", "") for _ in range(4)]
        session = ctx.open_session_with_id("s")
        said = await ctx.schedule_activity_on_session("think", "", session)
        await ctx.join(*beside)
        return said

    def interrupted(process: Process) -> Registry:
        async def think(ctx: ActivityContext, input: str) -> str:
            starts.append((process.name, ctx.activity_id, ctx.attempt_count))
            if ctx.attempt_count == 1:
                await asyncio.sleep(1000)
            return f"thought by {process.name}"

        return running(talk, note=_note, think=think)()

    workers = [world.worker(name, interrupted) for name in ("a", "b")]
    await start(world, talk, "i")
    await world.until(lambda: bool(starts))
    owner, other = owner_and_other(world, workers)
    if seconds := 11 * world.draw("seconds of thought / 11", 7):
        await world.sleep(seconds)
    owner.crash()
    crashed_at = len(world.commits)
    session = world.session("i", "s")
    row = queued(world, "s")[0]
    status = await world.finished("i", check=False)
    with world.oracle("5.3"):
        activity_id = starts[0][1]
        assert starts == [(owner.name, activity_id, 1), (other.name, activity_id, 2)], starts
        assert session is not None and session.locked_until is not None and row.locked_until is not None
        again = sole(deliveries(world.commits[crashed_at:], "s"))
        assert (item_of(again).id, work_of(again).attempt_count) == (activity_id, 2), again
        assert again.provider_ms >= max(row.locked_until, session.locked_until), (again, row, session)
        assert completed(await world.history("i")).count(activity_id) == 1
        assert output(status) == f"thought by {other.name}", status


@scenario(
    covers=["5.4", "SS-9.3", "SS-9.1"],
    workers=3,
    situations=["owner.crashed_idle", "session.several_taken_over"],
    level="fault",
    options=MINUTE,
)
async def crash_multiple_sessions_all_reclaimed(world: World) -> None:
    """All sessions of the crashed worker become available."""

    async def talk(ctx: OrchestrationContext, input: str) -> str:
        """Three sessions, taken 7 s apart; at the word, an activity on each."""
        names = ("r", "s", "t")
        for session in names:
            ctx.open_session_with_id(session)
            await ctx.schedule_activity_on_session("say", "before", session)
            await ctx.schedule_timer(timedelta(seconds=7))
        await ctx.dequeue_event("go")
        return ",".join(await ctx.join(*(ctx.schedule_activity_on_session("say", n, n) for n in names)))

    make = running(talk, say=_say)
    owner = world.worker("a", make)
    await start(world, talk, "i")
    await world.until(lambda: sum(row.worker_id == owner.worker_id for row in world.sessions()) == 3)
    others = [world.worker(name, make) for name in ("b", "c")]
    await world.sleep(9 + 4 * world.draw("seconds before the crash / 4", 8))
    owner.crash()
    crashed_at = len(world.commits)
    left = {row.session_id: row for row in world.sessions()}
    await world.client.enqueue_event("i", "go", "")
    status = await world.finished("i", check=False)
    with world.oracle("5.4"):
        assert {row.worker_id for row in left.values()} == {owner.worker_id}, left
        assert len({row.locked_until for row in left.values()}) == 3, left
        for session, row in left.items():
            taken = sole(deliveries(world.commits[crashed_at:], session))
            assert taken.process in [worker.name for worker in others], (session, taken)
            assert row.locked_until is not None and taken.provider_ms >= row.locked_until, (row, taken)
        assert output(status) == "said r,said s,said t", status
