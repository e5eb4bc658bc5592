"""Matrix section 29: graceful shutdown, its order, and what happens when a part of it fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from itertools import pairwise
from typing import Final

from holdfast.core import ActivityContext, OrchestrationContext, Registry
from holdfast.core.client import Completed
from holdfast.core.contract.events import ActivityCompleted
from holdfast.core.contract.observe import RenewalSent, ShutdownReturned
from holdfast.properties.matrix.parts.conversations import (
    D_MS,
    MINUTE,
    POLL_MS,
    encoded,
    observations,
    of_kind,
    running,
    start,
)
from holdfast.properties.matrix.parts.deliveries import calls, deliveries, owner_of
from holdfast.properties.matrix.parts.listening import Listened, runtime_on
from holdfast.properties.matrix.parts.rows import by_session
from holdfast.properties.matrix.parts.takeovers import ONLY_ACTIVITIES, ONLY_TURNS
from holdfast.properties.matrix.parts.told import starts, told
from holdfast.sim.stage.process import Process
from holdfast.sim.stage.script import ScriptedFault
from holdfast.sim.toolkit.scenario import scenario
from holdfast.sim.toolkit.world import World

NAMES: Final = ("s", "t", "u")


async def _three_sessions(ctx: OrchestrationContext, input: str) -> str:
    """Three sessions, an activity of so many seconds on each, and one more on each when told."""
    names = [ctx.open_session_with_id(name) for name in NAMES]
    said = await ctx.join(*(ctx.schedule_activity_on_session("work", input, name) for name in names))
    await ctx.dequeue_event("more")
    said += await ctx.join(*(ctx.schedule_activity_on_session("look", "", name) for name in names))
    return encoded(said)


async def _two_on_each(ctx: OrchestrationContext, input: str) -> str:
    """Two activities on each of two sessions."""
    names = [ctx.open_session_with_id(name) for name in NAMES[:2]]
    items = [ctx.schedule_activity_on_session("linger", str(n), name) for n in range(2) for name in names]
    return encoded(await ctx.join(*items))


@scenario(
    covers=["29.2", "SS-9.12"],
    workers=2,
    situations=["session.released_shutdown", "handler.signalled_shutdown"],
    level="fault",
    options={**MINUTE, "worker_concurrency": 4},
)
async def release_only_after_handlers_stopped(world: World) -> None:
    """No session is released under a running handler."""
    lingers_s = [world.draw(f"seconds that handler {n} goes on when told", 4) for n in range(4)]
    stops: list[tuple[str, str | None, int]] = []
    started: list[tuple[str, str | None]] = []

    def lingering(process: Process) -> Registry:
        registry = running(_two_on_each)()

        @registry.activity("linger")
        async def linger(ctx: ActivityContext, input: str) -> str:
            linger_s = lingers_s[len(started) % 4]
            started.append((process.name, ctx.session_id))
            stop = asyncio.ensure_future(ctx.cancelled())
            if (await asyncio.wait([stop], timeout=40))[0]:
                await asyncio.sleep(linger_s)
            stop.cancel()
            stops.append((process.name, ctx.session_id, len(world.commits)))
            return ""

        return registry

    workers = [world.worker(name, lingering) for name in ("a", "b")]
    await start(world, _two_on_each, "i")
    await world.until(lambda: len(started) == 4)
    await world.sleep(2 * world.draw("seconds before the shutdown / 2", 8))
    owner = owner_of(world, workers, "i", "s")
    before = list(started)
    await owner.shutdown(20)
    status = await world.finished("i", check=False)
    with world.oracle("29.2"):
        assert isinstance(status, Completed), status
        releases = calls(world.commits, "release_session_lock", process=owner.name)
        assert "s" in [one.arguments["session_id"] for one in releases], releases
        for release in releases:
            there = (owner.name, str(release.arguments["session_id"]))
            ends = [count for process, session, count in stops if (process, session) == there]
            assert len(ends) == before.count(there) == 2, (before, stops)
            # a commit's position is the number of those before it
            assert max(ends) <= release.position, f"{there} was released at {release.position}: {stops}"


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
    rows = by_session(world)
    kind: ScriptedFault = ("refused", "unsent")[world.draw("how it fails", 2)]
    world.strike(kind, "a", "release_session_lock", skip=1, seconds=1)
    await owner.shutdown(20)
    returned_ms, left = world.provider_now_ms, by_session(world)
    other = world.worker("b", running(_three_sessions), **ONLY_ACTIVITIES)
    await world.client.enqueue_event("i", "more", "")
    status = await world.finished("i", check=False)
    with world.oracle("29.4"):
        assert isinstance(status, Completed), status
        tried = calls(world.commits, "release_session_lock", process="a")
        assert [one.took_effect for one in tried] == [True, False, True], tried
        names = [str(one.arguments["session_id"]) for one in tried]
        assert sorted(names) == list(NAMES), names
        assert left == {**dict.fromkeys(NAMES, (None, None)), names[1]: rows[names[1]]}, (left, rows)
        assert rows[names[1]][0] == owner.worker_id, rows
        for name in NAMES:
            _taken_at(world, name, rows[name][1] if name == names[1] else returned_ms)
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
    rows = by_session(world)
    await owner.shutdown(0)
    world.worker("b", running(_three_sessions), **ONLY_ACTIVITIES)
    await world.client.enqueue_event("i", "more", "")
    status = await world.finished("i", check=False)
    with world.oracle("29.5"):
        assert isinstance(status, Completed), status
        assert calls(world.commits, "release_session_lock", "abandon_work_item", process="a") == []
        for name in NAMES:
            _taken_at(world, name, rows[name][1])


def _taken_at(world: World, name: str, due_ms: int | None) -> None:
    """B took the session within a poll of this moment."""
    taken = deliveries(world.commits, name, process="b")
    assert due_ms is not None and taken, (name, due_ms)
    assert 0 <= taken[0].provider_ms - due_ms <= POLL_MS, (taken, due_ms)


def _lives_on(
    timeout_s: int, told: Callable[[], bool], made: list[str], late: list[str]
) -> Callable[[Process], Awaitable[None]]:
    """A process that shuts its runtime down once it is told to, and does not end with it.

    `made` gets the calls up to the return of the shutdown, `late` those after.
    """

    async def boot(process: Process) -> None:
        provider = Listened(process.provider, made)
        registry = running(_three_sessions, _resists)()

        @registry.activity("resist")
        async def resist(ctx: ActivityContext, input: str) -> str:
            """Go on for 30 s when aborted, and ask the store something each second."""
            for _ in range(60):
                try:
                    await asyncio.sleep(1)
                    await ctx.orchestration()
                except asyncio.CancelledError:
                    continue
            return ""

        runtime = runtime_on(provider, process, registry, worker_concurrency=4)
        await runtime.start()
        while not told():
            await asyncio.sleep(1)
        await runtime.shutdown(timedelta(seconds=timeout_s))
        provider.made = late
        await asyncio.sleep(2 * 10 * D_MS / 1000)

    return boot


async def _resists(ctx: OrchestrationContext, input: str) -> str:
    """An activity of a session that does not let itself be aborted."""
    session = ctx.open_session_with_id("v")
    return await ctx.schedule_activity_on_session("resist", "", session)


@scenario(
    covers=["29.6", "SS-9.15", "SS-7.16"],
    situations=["handler.signalled_shutdown"],
    level="fault",
    options={**MINUTE, "worker_concurrency": 4},
)
async def no_calls_after_shutdown(world: World) -> None:
    """A stopped worker is silent, also if its process lives on and a handler of it does."""
    shall_leave: list[bool] = []
    made: list[str] = []
    late: list[str] = []
    timeout_s = (20, 0, 1)[world.draw("timeout", 3)]
    worker = world.process("a", _lives_on(timeout_s, lambda: bool(shall_leave), made, late))
    await start(
        world, _three_sessions, "i", input=str(1 + 10 * world.draw("seconds an activity takes / 10", 5))
    )
    await start(world, _resists, "j")
    await world.until(lambda: len(starts(world)) == 4)
    await world.sleep(2 * world.draw("seconds before the shutdown / 2", 15))
    shall_leave.append(True)
    await world.until(lambda: bool(told(world, ShutdownReturned, "a")))
    returned_us = world.now_us
    await world.sleep(10 * D_MS / 1000)
    with world.oracle("29.6"):
        assert made and late == [], late
        assert all(one.time_us <= returned_us for one in told(world, RenewalSent)), returned_us
        assert worker.alive, "the process has ended, and so would say nothing whatever the runtime does"


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
    status = await world.finished("i", check=False)
    with world.oracle("29.8"):
        assert len(observations(status)) == 50, status
        history = await world.history("i")
        assert len(of_kind(history, ActivityCompleted)) == 50
        handed = deliveries(world.commits, "s")
        waits = [after.provider_ms - before.provider_ms for before, after in pairwise(handed)]
        assert max(waits) < 22_000, f"somebody waited for an expiry: {max(waits)} ms"
