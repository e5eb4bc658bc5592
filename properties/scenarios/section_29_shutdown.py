"""Matrix section 29: graceful shutdown, its order, and what happens when a part of it fails."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from holdfast.core import OrchestrationContext
from holdfast.core.client import Completed
from holdfast.core.events import ActivityCompleted
from holdfast.core.observe import HandlerStopped
from holdfast.properties.scenarios.conversations import (
    MINUTE,
    encoded,
    observations,
    of_kind,
    running,
    start,
)
from holdfast.properties.scenarios.deliveries import delivered, deliveries
from holdfast.properties.scenarios.takeovers import ONLY_ACTIVITIES, ONLY_TURNS, calls_by, starts
from holdfast.sim.scenario import scenario
from holdfast.sim.world import World

NAMES: Final = ("s", "t", "u")


async def _three_sessions(ctx: OrchestrationContext, input: str) -> str:
    """Three sessions, an activity of so many seconds on each, and one more on each when told."""
    names = [ctx.open_session_with_id(name) for name in NAMES]
    said = await ctx.join(*(ctx.schedule_activity_on_session("work", input, name) for name in names))
    await ctx.dequeue_event("more")
    said += await ctx.join(*(ctx.schedule_activity_on_session("look", "", name) for name in names))
    return encoded(said)


@scenario(
    covers=["29.2", "SS-9.12"],
    workers=2,
    situations=["session.released_shutdown"],
    level="fault",
    options={**MINUTE, "worker_concurrency": 3},
)
async def release_only_after_handlers_stopped(world: World) -> None:
    """No session is released under a running handler."""
    workers = [world.worker(name, running(_three_sessions)) for name in ("a", "b")]
    await start(
        world, _three_sessions, "i", input=str(5 + 5 * world.draw("seconds an activity takes / 5", 8))
    )
    await world.until(lambda: len(starts(world)) == 3)
    await world.sleep(2 * world.draw("seconds before the shutdown / 2", 8))
    await workers[world.draw("who", 2)].shutdown(20)
    await world.client.enqueue_event("i", "more", "")
    status = await world.finished("i")
    with world.oracle("29.2"):
        assert isinstance(status, Completed), status
        for process in ("a", "b"):
            stopped = {
                one.event.token: one.time_us
                for one in world.locals
                if one.process == process and isinstance(one.event, HandlerStopped)
            }
            for release in calls_by(world.commits, process, "release_session_lock"):
                session = str(release.arguments["session_id"])
                for handed in deliveries(world.commits[: release.position], session):
                    work = delivered(handed)
                    if work is not None and handed.process == process:
                        assert stopped[work.token] <= release.time_us, (handed, release)


@scenario(
    covers=["29.4", "SS-9.13"],
    workers=2,
    situations=["session.released_shutdown"],
    level="fault",
    options={**MINUTE, "worker_concurrency": 3},
)
async def one_failing_release_does_not_stop_others(world: World) -> None:
    """Release goes on after an error."""
    world.worker("turns", running(_three_sessions), **ONLY_TURNS)
    owner = world.worker("a", running(_three_sessions), **ONLY_ACTIVITIES)
    await start(world, _three_sessions, "i", input="1")
    await world.until(lambda: len(starts(world)) == 3)
    await world.sleep(3 + world.draw("seconds before the shutdown", 20))
    rows = {one.session_id: one.locked_until for one in world.sessions()}
    world.strike("refused", "a", "release_session_lock", skip=1, times=None)
    await owner.shutdown(20)
    left = {one.session_id: (one.worker_id, one.locked_until) for one in world.sessions()}
    other = world.worker("b", running(_three_sessions), **ONLY_ACTIVITIES)
    await world.client.enqueue_event("i", "more", "")
    status = await world.finished("i")
    with world.oracle("29.4"):
        assert isinstance(status, Completed), status
        tried = [one.arguments["session_id"] for one in calls_by(world.commits, "a", "release_session_lock")]
        assert sorted(set(map(str, tried))) == list(NAMES), tried
        free = [name for name, (worker, _) in left.items() if worker is None]
        assert len(free) == 1, left
        for name, (worker, until) in left.items():
            assert name in free or (worker, until) == (owner.worker_id, rows[name]), (left, rows)
        for name in NAMES:
            taken = next(one for one in deliveries(world.commits, name) if one.process == "b")
            expiry = rows[name]
            assert expiry is not None and (name in free or taken.provider_ms >= expiry), (taken, rows)
        assert {one.owner for one in observations(status)[3:]} == {other.worker_id}


@scenario(
    covers=["29.5", "SS-9.14"],
    workers=2,
    situations=["session.migrated"],
    level="fault",
    options={**MINUTE, "worker_concurrency": 3},
)
async def immediate_shutdown_is_a_crash(world: World) -> None:
    """Timeout 0 releases nothing."""
    world.worker("turns", running(_three_sessions), **ONLY_TURNS)
    owner = world.worker("a", running(_three_sessions), **ONLY_ACTIVITIES)
    await start(world, _three_sessions, "i", input=str(1 + 40 * world.draw("whether they still run", 2)))
    await world.until(lambda: len(starts(world)) == 3)
    await world.sleep(2 + world.draw("seconds before the shutdown", 20))
    rows = {one.session_id: one.locked_until for one in world.sessions()}
    await owner.shutdown(0)
    world.worker("b", running(_three_sessions), **ONLY_ACTIVITIES)
    await world.client.enqueue_event("i", "more", "")
    status = await world.finished("i")
    with world.oracle("29.5"):
        assert isinstance(status, Completed), status
        for operation in ("release_session_lock", "abandon_work_item"):
            assert not calls_by(world.commits, "a", operation), operation
        for name in NAMES:
            taken = next(one for one in deliveries(world.commits, name) if one.process == "b")
            expiry = rows[name]
            assert expiry is not None and taken.provider_ms >= expiry, (taken, rows)


@scenario(
    covers=["29.6", "SS-9.15", "SS-7.16"],
    workers=1,
    level="fault",
    options={**MINUTE, "worker_concurrency": 3},
)
async def no_calls_after_shutdown(world: World) -> None:
    """A stopped worker is silent."""
    worker = world.worker("a", running(_three_sessions))
    await start(
        world, _three_sessions, "i", input=str(1 + 10 * world.draw("seconds an activity takes / 10", 5))
    )
    await world.until(lambda: len(starts(world)) == 3)
    await world.sleep(2 * world.draw("seconds before the shutdown / 2", 15))
    await worker.shutdown((20, 0, 1)[world.draw("timeout", 3)])
    calls = len(world.commits)
    await world.sleep(600)
    with world.oracle("29.6"):
        late = [one.operation for one in world.commits[calls:] if one.process == "a"]
        assert late == [], late


async def _fifty_turns(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    said = []
    for _ in range(50):
        said.append(await ctx.schedule_activity_on_session("insist", "1", session))
    ctx.close_session(session)
    return encoded(said)


@scenario(
    covers=["29.8", "SS-9.11", "SS-1.6", "SS-4.11"],
    workers=3,
    situations=["session.released_shutdown", "session.claimed_after_release"],
    level="fault",
    options=MINUTE,
)
async def rolling_restart_keeps_conversation(world: World) -> None:
    """Restarting all workers one by one loses no work."""
    workers = [world.worker(name, running(_fifty_turns)) for name in ("a", "b", "c")]
    await start(world, _fifty_turns, "i")
    for _ in range(3):
        for worker in workers:
            await world.sleep(2 + world.draw("seconds between restarts", 4))
            await worker.shutdown(20)
            worker.restart()
    status = await world.finished("i")
    with world.oracle("29.8"):
        assert len(observations(status)) == 50, status
        history = await world.history("i")
        assert len(of_kind(history, ActivityCompleted)) == 50
        handed = deliveries(world.commits, "s")
        waits = [after.provider_ms - before.provider_ms for before, after in pairwise(handed)]
        assert max(waits) < 22_000, f"somebody waited for an expiry: {max(waits)} ms"
