"""Matrix section 29: what a graceful shutdown does with a fetch and with handlers that are under way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from holdfast.core import ActivityContext, OrchestrationContext, Registry
from holdfast.core.client import Completed
from holdfast.core.contract.observe import HandlerStarted, HandlerStopped
from holdfast.core.contract.provider import TagFilter
from holdfast.properties.matrix.parts.capacities import at_once
from holdfast.properties.matrix.parts.conversations import MINUTE, encoded, observations, running, sole, start
from holdfast.properties.matrix.parts.deliveries import calls, deliveries, given_back, item_of, work_of
from holdfast.properties.matrix.parts.rows import by_session, owner_and_expiry, second_of, until_second
from holdfast.properties.matrix.parts.takeovers import ONLY_ACTIVITIES, ONLY_TURNS
from holdfast.properties.matrix.parts.told import at, signals, starts, told
from holdfast.sim.stage.process import Process
from holdfast.sim.toolkit.scenario import scenario
from holdfast.sim.toolkit.world import World
from holdfast.traces.record import Commit

NAMES: Final = ("s", "t", "u")
_FETCH: Final = "fetch_session_work_item"
_RELEASE: Final = "release_session_lock"


async def _one_on_each(ctx: OrchestrationContext, input: str) -> str:
    """A short activity on each of three sessions."""
    names = [ctx.open_session_with_id(name) for name in NAMES]
    return encoded(await ctx.join(*(ctx.schedule_activity_on_session("work", "1", name) for name in names)))


@scenario(
    covers=["29.1", "SS-9.8"],
    workers=2,
    situations=["item.abandoned_uncharged", "session.released_shutdown", "session.claimed_after_release"],
    level="fault",
    options={**MINUTE, "worker_concurrency": 3},
)
async def shutdown_stops_fetching_first(world: World) -> None:
    """After shutdown begins nothing new is taken."""
    world.worker("turns", running(_one_on_each), **ONLY_TURNS)
    leaving = world.worker("a", running(_one_on_each), **ONLY_ACTIVITIES)
    await world.until(lambda: leaving.runtime is not None)
    for slot in range(3):  # each slot has a claim committed whose answer is still on its way
        delay_ms = 20 + 5 * world.draw(f"ms that answer {slot} takes / 5", 6)
        world.strike("slow_answer", "a", "fetch_session_work_item", seconds=delay_ms / 1000)
    await start(world, _one_on_each, "i")
    taken = 1 + world.draw("fetches under way that have brought something", 3)
    await world.until(lambda: len(_handed(world, "a")) == taken)
    await world.sleep(world.draw("ms before the shutdown / 5", 4) * 5 / 1000)
    began = len(world.commits)
    await leaving.shutdown(20)
    returned_us, left = world.now_us, by_session(world)
    other = world.worker("b", running(_one_on_each), **ONLY_ACTIVITIES)
    status = await world.finished("i", check=False)
    with world.oracle("29.1"):
        assert starts(world, "a") == [], "a handler started after the shutdown had begun"
        under_way = _handed(world, "a")
        assert len(under_way) >= taken, under_way
        fetched = calls(world.commits[began:], _FETCH, process="a")
        assert len(fetched) <= 3, f"three slots, and {len(fetched)} fetches after the shutdown began"
        for handed in under_way:
            back = given_back(world.commits, handed)
            session = item_of(handed).session_id
            freed = sole(calls(world.commits, _RELEASE, process="a", session=session))
            assert freed.took_effect and freed.position > back.position > handed.position, (handed, freed)
        assert left == dict.fromkeys(NAMES, (None, None)), left
        assert {entry.owner for entry in observations(status)} == {other.worker_id}, status
        assert all(at_once(one, returned_us) for one in _handed(world, "b")), returned_us
        assert [start.attempt for start in starts(world, "b")] == [1, 1, 1], starts(world, "b")


def _handed(world: World, process: str) -> list[Commit]:
    return [one for name in NAMES for one in deliveries(world.commits, name, process=process)]


def _released(world: World) -> list[str]:
    """The sessions that A asked to release, in order."""
    return [str(one.arguments["session_id"]) for one in calls(world.commits, _RELEASE, process="a")]


def _blocking_on_s(block_ms: int) -> Callable[[Process], Registry]:
    """A registry whose activity `block` is a plain function, which nothing can stop."""

    def make(process: Process) -> Registry:
        registry = running(_two_idle_one_blocked)()
        process.blocking_ms = block_ms

        @registry.activity("block")
        def block(ctx: ActivityContext, input: str) -> str:
            return process.name

        return registry

    return make


async def _two_idle_one_blocked(ctx: OrchestrationContext, input: str) -> str:
    """Two sessions that are used and then idle, and one whose activity blocks."""
    names = [ctx.open_session_with_id(name) for name in NAMES]
    await ctx.join(*(ctx.schedule_activity_on_session("look", "", name) for name in names[1:]))
    blocked = ctx.schedule_activity_on_session("block", "", names[0])
    await ctx.dequeue_event("more")
    await ctx.join(*(ctx.schedule_activity_on_session("look", "", name) for name in names[1:]))
    return await blocked


@scenario(
    covers=["29.3", "SS-9.12", "SS-9.9"],
    workers=2,
    situations=["session.released_shutdown", "session.migrated", "handler.signalled_shutdown"],
    level="fault",
    options={**MINUTE, "worker_concurrency": 3},
)
async def unstoppable_handler_leaves_session_to_expire(world: World) -> None:
    """If a handler cannot be stopped its session is not released."""
    # it blocks for a while that is longer than all before the shutdown, and the allowance
    block_ms = 40_000 + 5_000 * world.draw("seconds beyond 40 that it blocks / 5", 6)
    world.worker("turns", _blocking_on_s(block_ms), **ONLY_TURNS)
    stuck = world.worker("a", _blocking_on_s(block_ms), **ONLY_ACTIVITIES)
    await start(world, _two_idle_one_blocked, "i")
    await world.until(lambda: bool(starts(world, "a", session="s")))
    await world.sleep(3 * world.draw("seconds before the shutdown / 3", 7))
    owner, began_us = stuck.worker_id, world.now_us
    allowance_s = (20, 10, 5, 1)[world.draw("allowance", 4)]
    stall_s = world.draw("seconds that it stalls meanwhile", 2)
    if stall_s:
        stuck.stall(stall_s)
    await stuck.shutdown(allowance_s)
    returned_us, returned_ms, left = world.now_us, world.provider_now_ms, by_session(world)
    world.worker("b", _blocking_on_s(0), **ONLY_ACTIVITIES)
    await world.client.enqueue_event("i", "more", "")
    status = await world.finished("i", check=False)
    with world.oracle("29.3"):
        # the grace period is 10 s; before the releases, fetches under way are awaited for 50 ms
        in_time_ms = 1000 * (min(allowance_s, 10) + stall_s) + 50
        assert returned_us - began_us <= in_time_ms * 1000, (began_us, returned_us)
        assert {name: left[name] for name in NAMES[1:]} == dict.fromkeys(NAMES[1:], (None, None)), left
        named, expiry = left["s"]
        assert named == owner and expiry is not None and expiry > returned_ms, left
        assert sorted(_released(world)) == list(NAMES[1:]), _released(world)
        again = sole(deliveries(world.commits, "s", process="b"))
        assert again.provider_ms == expiry, (again, expiry)
        others = [one for one in _handed(world, "b") if one is not again]
        assert others and all(at_once(one, returned_us) for one in others), (returned_us, others)
        attempts = [one.attempt for one in starts(world, "b", session="s")]
        assert attempts == [1], f"attempts at the item of the blocked session: {attempts}"
        assert isinstance(status, Completed) and status.output == "b", status


def _stops_after_a_while(process: Process) -> Registry:
    """On `a` the seventh question is answered 1.2 s after the worker is told to stop."""
    registry = running(_one_busy_one_idle)()

    @registry.activity("q7")
    async def q7(ctx: ActivityContext, input: str) -> str:
        if process.name == "a":
            await ctx.cancelled()
            await asyncio.sleep(1.2)
        return process.name

    return registry


async def _one_busy_one_idle(ctx: OrchestrationContext, input: str) -> str:
    """S' is used once; at the word "q7" it is S that has an item in flight. A few plain ones beside them."""
    busy, idle = ctx.open_session_with_id("s"), ctx.open_session_with_id("t")
    await ctx.schedule_activity_on_session("look", "", idle)
    await ctx.dequeue_event("q7")
    asked = ctx.schedule_activity_on_session("q7", "", busy)
    await ctx.join(*(ctx.schedule_activity("look", str(n), tag="beside") for n in range(4)))
    return await asked


@scenario(
    covers=["29.7", "SS-9.9", "SS-9.10", "SS-9.11"],
    workers=2,
    situations=["session.released_shutdown", "handler.signalled_shutdown", "item.same_attempt_again"],
    level="multi-runtime",
    options={**MINUTE, "worker_concurrency": 1, "session_idle_timeout": timedelta(seconds=300)},
)
async def timeline_graceful_shutdown(world: World) -> None:
    """Worked timeline W8."""
    world.worker(
        "c",
        _stops_after_a_while,
        worker_concurrency=1 + world.draw("slots for what is beside", 2),
        worker_tag_filter=TagFilter.only("beside"),
    )
    leaving = world.worker("a", _stops_after_a_while, **ONLY_ACTIVITIES)
    await start(world, _one_busy_one_idle, "i")
    await until_second(world, 85 + 2 * world.draw("when q7 is asked / 2", 7))
    await world.client.enqueue_event("i", "q7", "")
    await until_second(world, 100)
    before, owner = _rows(world), leaving.worker_id
    world.strike("slow_answer", "a", "abandon_work_item", seconds=0.1)
    ending = asyncio.ensure_future(leaving.shutdown(5))
    await until_second(world, 101.25)
    meanwhile = _rows(world)
    await ending
    returned, released = world.now_us / 1_000_000, _rows(world)
    await until_second(world, 101.4)
    taking = world.worker("b", _stops_after_a_while, **ONLY_ACTIVITIES)
    await world.until(lambda: bool(starts(world, "b")))
    taken = _rows(world)
    status = await world.finished("i", check=False)
    with world.oracle("29.7"):
        assert [row and row[0] for row in before] == [owner, owner], before
        assert [meanwhile, released, taken] == [
            before,
            [(None, None), (None, None)],
            [(taking.worker_id, 161.4), (None, None)],
        ], (before, meanwhile, released, taken)
        handed = deliveries(world.commits, "s")
        assert len(handed) == 2, handed
        first, second = handed
        assert [(at(one), one.event.cause) for one in signals(world)] == [(100, "shutdown")], signals(world)
        stops = [(at(one), one.event) for one in told(world, HandlerStopped, "a")]
        assert stops[-1:] == [(101.2, _discarded(first))], stops
        assert at(given_back(world.commits, first)) == 101.2, first
        assert len(calls(world.commits, "abandon_work_item", process="a")) == 1
        freed = calls(world.commits, _RELEASE, process="a")
        assert [(at(one), one.took_effect) for one in freed] == [(101.3, True)] * 2, freed
        assert returned == 101.3, returned
        assert sorted(_released(world)) == ["s", "t"], freed
        fetches = calls(world.commits, _FETCH, process="a")
        assert all(at(one) < 100 for one in fetches), fetches
        assert len(calls(world.commits, "ack_work_item", process="a")) == 1, "the answer of q7 is discarded"
        assert (second.process, second_of(second.provider_ms)) == ("b", 101.4), second
        attempts = [(one.process, one.event.attempt) for one in told(world, HandlerStarted, session="s")]
        assert attempts == [("a", 1), ("b", 1)], attempts
        assert isinstance(status, Completed) and status.output == "b", status


def _rows(world: World) -> list[tuple[str | None, float | None] | None]:
    """The rows of S and S'."""
    return [owner_and_expiry(world, "s"), owner_and_expiry(world, "t")]


def _discarded(handed: Commit) -> HandlerStopped:
    return HandlerStopped(f"work-0-{handed.arguments['worker_id']}", work_of(handed).token, "discarded")
