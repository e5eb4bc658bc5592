"""Matrix section 24: the units of capacity, when they come free and for whom."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from holdfast.core import OrchestrationContext
from holdfast.core.client import Completed
from holdfast.core.contract.observe import CapacityChanged, LeaseEnded, LeaseTaken
from holdfast.core.contract.provider import TagFilter
from holdfast.properties.matrix.parts.capacities import ONE, POLL_US, at_once, one_look
from holdfast.properties.matrix.parts.conversations import D_MS, running, sole, start
from holdfast.properties.matrix.parts.deliveries import calls, deliveries, of_session
from holdfast.properties.matrix.parts.idling import SECOND_US, beside, is_release
from holdfast.properties.matrix.parts.takeovers import ONLY_ACTIVITIES, ONLY_TURNS, R_US, end_of
from holdfast.properties.matrix.parts.told import events, told
from holdfast.sim.toolkit.handle import Handle
from holdfast.sim.toolkit.scenario import scenario
from holdfast.sim.toolkit.world import World

RECHECK_US: Final = 11 * POLL_US
"""P of a fetch that owns only because another slot has a unit reserved: it asks for new ones that often."""
_ENDINGS: Final = {"close": "lost", "idle": "idle", "refused": "lost", "deadline": "deadline"}
"""How a session ends, and the cause that its lease then ends for."""


# --- a unit that comes free -------------------------------------------------------------------------------


async def _until_told(ctx: OrchestrationContext, input: str) -> str:
    """A session that is used, and then at a word closed, or used by another worker; it ends much later."""
    session = ctx.open_session_with_id("s")
    looks = beside(ctx, 2)
    await ctx.schedule_activity_on_session("insist", "1", session)
    await ctx.join(*looks)
    word = await ctx.dequeue_event("word")
    if word == "close":
        ctx.close_session(session)
    elif word == "elsewhere":
        await ctx.schedule_activity_on_session("look", "", session, tag="b's")
    await ctx.schedule_timer(timedelta(seconds=400))
    return word


async def _end_first_session(world: World, owner: Handle, ending: str) -> int:
    """Let the only session of a worker end; from when on that could be known to it, in microseconds."""
    if ending == "idle":
        return (await world.commit(is_release)).time_us
    await world.sleep(2 + 3 * world.draw("seconds before the end / 3", 8))
    await world.client.enqueue_event("i", "word", "close" if ending == "close" else "elsewhere")
    if ending == "close":
        await world.until(lambda: world.session("i", "s") is None)
        return world.now_us
    if ending == "refused":
        world.jump_clock(D_MS + 1000 * world.draw("seconds beyond the expiry", 4))
        await world.until(lambda: any(one.process == "b" for one in deliveries(world.commits, "s", "i")))
        return world.now_us
    paused_s = 62 + 7 * world.draw("seconds of a pause beyond 62 / 7", 6)
    owner.stall(paused_s)
    await world.sleep(paused_s)
    return world.now_us


@scenario(
    covers=["24.7", "SS-14.6", "SS-7.15"],
    workers=3,
    situations=["worker.at_capacity"],
    level="fault",
    options=ONE,
)
async def capacity_freed_by_each_ending(world: World) -> None:
    """Close, idle release and loss each free a unit."""
    ending = tuple(_ENDINGS)[world.draw("how it ends", len(_ENDINGS))]
    idle = timedelta(seconds=5 + 3 * world.draw("seconds of the idle timeout / 3", 8))
    both = running(_until_told, one_look)
    world.worker("turns", both, **ONLY_TURNS)
    owner = world.worker(
        "a", both, **ONLY_ACTIVITIES, session_idle_timeout=idle if ending == "idle" else None
    )
    world.worker("b", both, **ONLY_ACTIVITIES, worker_tag_filter=TagFilter.only("b's"))
    await start(world, _until_told, "i")
    await world.commit(lambda one: of_session(one, "s", "i"))
    await start(world, one_look, "j")
    await world.until(lambda: world.session("j", "s") is not None)
    late_us = 50_000 * world.draw("20th of a second that a renewal takes", 6)
    late_us *= ending in ("close", "refused")
    if late_us:
        world.strike("slow_answer", "a", "renew_session_lock", seconds=late_us / SECOND_US)
    ended_us = await _end_first_session(world, owner, ending)
    await world.sleep((R_US + late_us + POLL_US) / SECOND_US)
    with world.oracle("24.7"):
        claim = sole(deliveries(world.commits, "s", "j"))
        assert (claim.process, claim.arguments["claim_new"]) == ("a", True), (ending, claim)
        freed = told(world, LeaseEnded, instance="i")
        assert freed and freed[0].event.cause == _ENDINGS[ending], (ending, freed)
        assert at_once(claim, freed[0].time_us), (ending, freed, claim)
        assert at_once(claim, ended_us, within_us=R_US + late_us + POLL_US), (ending, ended_us, claim)


# --- units for every slot ---------------------------------------------------------------------------------


async def _a_while(ctx: OrchestrationContext, input: str) -> str:
    """A session with activities of so many seconds each, all at once; after a pause it is closed."""
    session = ctx.open_session_with_id("s")
    pause, *times = input.split()
    runs = [ctx.schedule_activity_on_session("insist", each, session) for each in times]
    await ctx.join(*runs)
    await ctx.schedule_timer(timedelta(seconds=float(pause)))
    ctx.close_session(session)
    return "done"


async def _stays(ctx: OrchestrationContext, input: str) -> str:
    """A session that is used once, and kept."""
    await ctx.schedule_activity_on_session("look", "", ctx.open_session_with_id("s"))
    await ctx.schedule_timer(timedelta(seconds=600))
    return "done"


def _joined_by_claimers(world: World) -> list[int]:
    """When a claiming fetch brought an item of a session that the worker had: the unit came back unused."""
    taken = [one.time_us for one in told(world, LeaseTaken)]
    fetches = calls(world.commits, "fetch_session_work_item", process="a")
    brought = [one.time_us for one in fetches if one.arguments["claim_new"] and one.result is not None]
    return [when for when in brought if brought.count(when) > taken.count(when)]


@scenario(
    covers=["24.14", "SS-14.14", "SS-14.6"],
    workers=2,
    situations=["worker.at_capacity", "session.released_idle", "session.closed", "lease.dropped_after_end"],
    options={
        "session_lock_duration": timedelta(seconds=10),
        "max_sessions_per_worker": 2,
        "worker_concurrency": 4,
    },
)
async def freed_unit_usable_by_every_slot(world: World) -> None:
    """A unit freed anywhere is usable everywhere."""
    idle_s = (None, 1, 3)[world.draw("idle timeout", 3)]
    registry = running(_a_while, _stays)
    world.worker("turns", registry, **ONLY_TURNS)
    names = [f"i{number}" for number in range(4)]
    for name in names:
        count = 1 + world.draw("activities more", 2)
        pause = str(4 * world.draw("seconds before the close / 4", 2))
        seconds = [pause, *(str(1 + world.draw("seconds more", 4)) for _ in range(count))]
        await world.client.start_orchestration(name, "_a_while", " ".join(seconds))
    await world.until(lambda: len(world.sessions()) == len(names))
    idle = None if idle_s is None else timedelta(seconds=idle_s)
    owner = world.worker("a", registry, **ONLY_ACTIVITIES, session_idle_timeout=idle)
    statuses = [await end_of(world, name, within_s=120) for name in names]
    await world.sleep(5.5)  # R and a little: what has been closed is known, what is idle is released
    taken, ended = ([one.time_us for one in told(world, kind)] for kind in (LeaseTaken, LeaseEnded))
    kept_count = world.draw("sessions kept", 2) if idle_s is None else 0
    quiet: list[tuple[int, CapacityChanged]] = []
    for number in range(kept_count + 1):
        known = len(events(world, CapacityChanged, "a"))
        await world.sleep(3)
        assert owner.runtime is not None
        units = events(world, CapacityChanged, "a")
        most = max(units[known:] or units[-1:], key=lambda units: units.reserved)
        quiet.append((len(owner.runtime.leases()), most))
        if number < kept_count:
            await start(world, _stays, "kept")
            await world.until(lambda: len(deliveries(world.commits, "s", "kept")) == 1)
    asked_us = world.now_us
    await start(world, _stays, "x", "y", "z")
    await world.until(lambda: len(world.sessions()) == 3 + kept_count)
    await world.sleep(0.2)
    last = [one for name in ("x", "y", "z") for one in deliveries(world.commits, "s", name)]
    with world.oracle("24.14"):
        assert all(isinstance(status, Completed) for status in statuses), statuses
        assert len(taken) == len(ended) >= len(names), (taken, ended)
        joined = _joined_by_claimers(world)
        for end_us, next_us in zip([taken[0]] * 2 + ended, taken, strict=False):
            returned = any(end_us <= when <= next_us for when in joined)
            assert 0 <= next_us - end_us <= (RECHECK_US if returned else POLL_US), (end_us, next_us)
        for leases, free in quiet:
            # four slots look for work, so all units that are free are reserved by those that may claim
            assert free == CapacityChanged(str(owner.worker_id), leases, 2 - leases, 0, 2), (leases, free)
        assert [leases for leases, _ in quiet] == list(range(kept_count + 1)), quiet
        assert len(last) == 2 - kept_count, last
        assert all(one.time_us - asked_us <= POLL_US for one in last[:2]), (asked_us, last)
