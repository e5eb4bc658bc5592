"""Matrix section 5: migration after a worker crash."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from holdfast.core.client import Completed
from holdfast.core.contract.events import ActivityCompleted
from holdfast.core.program.registry import Registry
from holdfast.properties.matrix.parts.deliveries import (
    acked,
    delivered,
    deliveries,
    item_of,
    of_session,
    owner_of,
)
from holdfast.sim.stage.process import Process
from holdfast.sim.toolkit.scenario import scenario
from holdfast.sim.toolkit.world import World

D = timedelta(seconds=60)
ONE_POLL_MS = 100
"""`dispatcher_min_poll_interval`: who finds nothing asks again within it, or is woken by a long poll."""


def _talking() -> Registry:
    """Five activities on one session, one after the other, beside two that any worker may run."""
    registry = Registry()

    @registry.orchestration("talk")
    async def talk(ctx: Any, input: str) -> str:
        beside = [ctx.schedule_activity("say", f"plain {n}") for n in range(2)]
        session = ctx.open_session_with_id("s")
        said = [await ctx.schedule_activity_on_session("say", str(n), session) for n in range(5)]
        await ctx.join(*beside)
        return ",".join(said)

    @registry.activity("say")
    async def say(ctx: Any, input: str) -> str:
        return f"said {input}"

    return registry


@scenario(
    covers=["5.1", "SS-9.1", "SS-8.1", "SS-4.6"],
    workers=2,
    situations=["session.taken_over_after_crash"],
    level="fault",
    options={"session_lock_duration": D},
)
async def crash_then_reclaim(world: World) -> None:
    """After the crash and the lock's expiry another worker takes over."""
    workers = [world.worker(name, _talking) for name in ("a", "b")]
    await world.client.start_orchestration("i", "talk")
    await world.commit(lambda commit: of_session(commit, "s"))
    owner = owner_of(world, workers, "i", "s")
    other = next(worker for worker in workers if worker is not owner)
    end = len(world.commits) + world.draw("commits before the crash", 7)
    await world.until(lambda: len(world.commits) >= end)
    owner.crash()
    crashed_at = len(world.commits)
    left = world.session("i", "s")
    with world.oracle("5.1"):
        assert left is not None and left.worker_id == owner.worker_id and left.locked_until is not None, left
        await world.sleep((left.locked_until - world.provider_now_ms + 2 * ONE_POLL_MS) / 1000)
        taken = deliveries(world.commits[crashed_at:], "s")
        assert taken, f"nobody took the session over within {2 * ONE_POLL_MS} ms of its expiry: {left}"
        first = taken[0]
        assert first.process == other.name, first
        assert left.locked_until <= first.provider_ms <= left.locked_until + ONE_POLL_MS, (left, first)
        status = await world.finished("i")
        assert acked(world.commits, first), "the new owner's first item was not finished by it"
        assert isinstance(status, Completed), status
        assert status.output == "said 0,said 1,said 2,said 3,said 4", status


@scenario(
    covers=["5.2", "SS-9.4", "SS-1.4"],
    workers=2,
    situations=["session.taken_over_after_crash"],
    level="fault",
    options={"session_lock_duration": D},
)
async def crash_app_detects_cold_state(world: World) -> None:
    """The activity on the new worker can tell that its memory is empty."""
    seen: list[tuple[str, str | None, str, str]] = []

    def remembering(process: Process) -> Registry:
        memory: dict[str, int] = {}
        registry = Registry()

        @registry.orchestration("talk")
        async def talk(ctx: Any, input: str) -> None:
            beside = [ctx.schedule_activity("note", "") for _ in range(2)]
            session = ctx.open_session_with_id("s")
            for _ in range(5):
                await ctx.schedule_activity_on_session("remember", "", session)
            await ctx.join(*beside)

        @registry.activity("note")
        async def note(ctx: Any, input: str) -> None:
            return None

        @registry.activity("remember")
        async def remember(ctx: Any, input: str) -> None:
            found = "hit" if ctx.session_id in memory else "miss"
            memory[ctx.session_id] = memory.get(ctx.session_id, 0) + 1
            owner_part = ctx.worker_id.split("-", 2)[2]
            seen.append((process.name, ctx.session_id, owner_part, found))

        return registry

    workers = [world.worker(name, remembering) for name in ("a", "b")]
    await world.client.start_orchestration("i", "talk")
    await world.until(lambda: bool(seen))
    owner = owner_of(world, workers, "i", "s")
    other = next(worker for worker in workers if worker is not owner)
    end = len(world.commits) + world.draw("commits before the crash", 7)
    await world.until(lambda: len(world.commits) >= end)
    owner.crash()
    before = len(seen)
    status = await world.finished("i")
    with world.oracle("5.2"):
        assert isinstance(status, Completed), status
        warm, cold = seen[:before], seen[before:]
        assert {entry[:3] for entry in warm} == {(owner.name, "s", owner.worker_id)}, warm
        assert [found for *_, found in warm] == ["miss"] + ["hit"] * (len(warm) - 1), warm
        assert {entry[:3] for entry in cold} == {(other.name, "s", other.worker_id)}, cold
        assert [found for *_, found in cold] == ["miss"] + ["hit"] * (len(cold) - 1), cold
        assert owner.worker_id != other.worker_id


@scenario(
    covers=["5.3", "SS-9.2", "SS-4.8"],
    workers=2,
    situations=["owner.crashed_with_item", "item.redelivered_after_crash"],
    level="fault",
    options={"session_lock_duration": D},
)
async def crash_inflight_activity_retried(world: World) -> None:
    """An activity interrupted by the crash is executed again by the new owner."""
    starts: list[tuple[str, int, int]] = []

    def interrupted(process: Process) -> Registry:
        registry = Registry()

        @registry.orchestration("talk")
        async def talk(ctx: Any, input: str) -> str:
            beside = [ctx.schedule_activity("note", "") for _ in range(4)]
            session = ctx.open_session_with_id("s")
            said = await ctx.schedule_activity_on_session("think", "", session)
            await ctx.join(*beside)
            return str(said)

        @registry.activity("note")
        async def note(ctx: Any, input: str) -> None:
            return None

        @registry.activity("think")
        async def think(ctx: Any, input: str) -> str:
            starts.append((process.name, ctx.activity_id, ctx.attempt_count))
            if ctx.attempt_count == 1:
                await asyncio.sleep(1000)
            return f"thought by {process.name}"

        return registry

    workers = [world.worker(name, interrupted) for name in ("a", "b")]
    await world.client.start_orchestration("i", "talk")
    await world.until(lambda: bool(starts))
    owner = owner_of(world, workers, "i", "s")
    other = next(worker for worker in workers if worker is not owner)
    if seconds := 11 * world.draw("seconds of thought / 11", 7):
        await world.sleep(seconds)
    owner.crash()
    crashed_at = len(world.commits)
    session = world.session("i", "s")
    row = next(row for row in world.worker_rows() if row.session_id == "s")
    status = await world.finished("i")
    with world.oracle("5.3"):
        activity_id = starts[0][1]
        assert starts == [(owner.name, activity_id, 1), (other.name, activity_id, 2)], starts
        assert session is not None and session.locked_until is not None and row.locked_until is not None
        again = deliveries(world.commits[crashed_at:], "s")
        assert len(again) == 1 and item_of(again[0]).id == activity_id, again
        work = delivered(again[0])
        assert work is not None and work.attempt_count == 2, again
        assert again[0].provider_ms >= max(row.locked_until, session.locked_until), (again[0], row, session)
        completions = [
            event
            for event in await world.history("i")
            if isinstance(event, ActivityCompleted) and event.source_event_id == activity_id
        ]
        assert len(completions) == 1, completions
        assert isinstance(status, Completed) and status.output == f"thought by {other.name}", status


def _three_talks() -> Registry:
    """Three sessions, taken 7 s apart; at the word, an activity on each."""
    registry = Registry()
    names = ("r", "s", "t")

    @registry.orchestration("talk")
    async def talk(ctx: Any, input: str) -> str:
        for session in names:
            ctx.open_session_with_id(session)
            await ctx.schedule_activity_on_session("say", "before", session)
            await ctx.schedule_timer(timedelta(seconds=7))
        await ctx.dequeue_event("go")
        said = await ctx.join(*(ctx.schedule_activity_on_session("say", name, name) for name in names))
        return ",".join(said)

    @registry.activity("say")
    async def say(ctx: Any, input: str) -> str:
        return f"said {input}"

    return registry


@scenario(
    covers=["5.4", "SS-9.3", "SS-9.1"],
    workers=3,
    situations=["owner.crashed_idle", "session.several_taken_over"],
    level="fault",
    options={"session_lock_duration": D},
)
async def crash_multiple_sessions_all_reclaimed(world: World) -> None:
    """All sessions of the crashed worker become available."""
    owner = world.worker("a", _three_talks)
    await world.client.start_orchestration("i", "talk")
    await world.until(lambda: sum(row.worker_id == owner.worker_id for row in world.sessions()) == 3)
    others = [world.worker(name, _three_talks) for name in ("b", "c")]
    await world.sleep(9 + 4 * world.draw("seconds before the crash / 4", 8))
    owner.crash()
    crashed_at = len(world.commits)
    left = {row.session_id: row for row in world.sessions()}
    await world.client.enqueue_event("i", "go", "")
    status = await world.finished("i")
    with world.oracle("5.4"):
        assert {row.worker_id for row in left.values()} == {owner.worker_id}, left
        assert len({row.locked_until for row in left.values()}) == 3, left
        for session, row in left.items():
            taken = deliveries(world.commits[crashed_at:], session)
            assert len(taken) == 1, (session, taken)
            assert taken[0].process in [worker.name for worker in others], (session, taken)
            assert row.locked_until is not None and taken[0].provider_ms >= row.locked_until, (row, taken)
        assert isinstance(status, Completed), status
        assert status.output == "said r,said s,said t", status
