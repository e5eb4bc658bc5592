"""Matrix section 30, crashes: at any call, of an owner under work, and of processes that come back."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from holdfast.core import OrchestrationContext, Runtime
from holdfast.core.client import Completed
from holdfast.core.contract.events import (
    ActivityCancelRequested,
    ActivityCompleted,
    ActivityFailed,
    ActivityScheduled,
)
from holdfast.core.contract.ids import Micros, Millis
from holdfast.core.contract.provider import TagFilter
from holdfast.properties.matrix.parts.closings import turn_ack
from holdfast.properties.matrix.parts.conversations import (
    D_MS,
    MINUTE,
    POLL_MS,
    encoded,
    of_kind,
    running,
    sources,
    start,
)
from holdfast.properties.matrix.parts.deliveries import (
    calls,
    deliveries,
    item_of,
    of_session,
    owner_of,
    work_of,
)
from holdfast.properties.matrix.parts.rows import item_lock, owner_and_expiry, second_of, until_second
from holdfast.properties.matrix.parts.takeovers import ONLY_ACTIVITIES, ONLY_TURNS, end_of
from holdfast.properties.matrix.section_30_faults.clocks import in_passing
from holdfast.sim import FaultBudget
from holdfast.sim.toolkit.bench import Bench
from holdfast.sim.toolkit.scenario import scenario
from holdfast.sim.toolkit.world import World

CALLS: Final = 72
"""Provider calls of the workers in `crash_between_any_two_calls`, and a few more."""


async def _a_bit_of_everything(ctx: OrchestrationContext, input: str) -> str | None:
    session = ctx.open_session_with_id("s")
    beside = ctx.schedule_activity("look", "beside")
    first = ctx.schedule_activity_on_session("work", "40", session)
    await ctx.join(beside, first)
    if input == "first":
        ctx.continue_as_new("second")
        return None
    losing = ctx.schedule_activity_on_session("work", "100", session)
    await ctx.select(ctx.schedule_timer(timedelta(seconds=5)), losing)
    last = await ctx.schedule_activity_on_session("look", "last", session)
    ctx.close_session(session)
    return encoded(last)


@scenario(
    covers=["30.6", "SS-24.9", "SS-9.1"],
    workers=2,
    situations=["owner.crashed_with_item", "session.taken_over_after_crash", "item.redelivered_after_crash"],
    level="fault",
    options=MINUTE,
)
async def crash_between_any_two_calls(world: World) -> None:
    """Crash points enumerated over a whole scenario."""
    number, before = world.draw("the call", CALLS), world.draw("after it, not before", 2) == 0
    strike = world.strike("crash", skip=number, before=before)
    workers = {name: world.worker(name, running(_a_bit_of_everything)) for name in ("a", "b")}
    await start(world, _a_bit_of_everything, "i", input="first")
    await world.until(lambda: strike.over or _has_ended(world) or world.now_us > 600_000_000)
    for fault in world.faults:
        await world.sleep((0, 1, 70)[world.draw("seconds until it is back", 3)])
        workers[str(fault.process)].restart()
    strike.end()
    status = await end_of(world, "i", within_s=600)
    history = await world.history("i")
    with world.oracle("30.6"):
        assert isinstance(status, Completed), status
        scheduled = of_kind(history, ActivityScheduled)
        done = sources(of_kind(history, ActivityCompleted))
        assert sorted({*done}) == sorted(done) and len(done) >= len(scheduled) - 1, history
        assert world.sessions() == [], world.sessions()
        assert [each for each in world.worker_rows() if each.session_id is not None] == []


def _has_ended(world: World) -> bool:
    ack = turn_ack(world.commits[-1]) if world.commits else None
    return ack is not None and ack.metadata.status == "Completed"


async def _w3(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    items = [ctx.schedule_activity_on_session("work", "5", session)]
    ctx.schedule_activity("work", "0.1", tag="b")
    await ctx.schedule_timer(timedelta(seconds=40))
    items.append(ctx.schedule_activity_on_session("work", "20", session))
    await ctx.schedule_timer(timedelta(seconds=10))
    items.append(ctx.schedule_activity_on_session("work", "20", session))
    return encoded(await ctx.join(*items))


@scenario(
    covers=["30.8", "SS-9.5", "SS-9.2", "SS-8.1"],
    workers=2,
    situations=["owner.crashed_with_item", "session.taken_over_after_crash", "item.redelivered_after_crash"],
    level="fault",
    options=MINUTE,
)
async def crashed_owner_blocks_until_expiry(world: World) -> None:
    """Nobody else gets the session before expiry: worked timeline W3."""
    world.worker("turns", running(_w3, in_passing), **ONLY_TURNS)
    owner = world.worker("a", running(_w3), **ONLY_ACTIVITIES)
    await start(world, _w3, "i")
    for name in ("x", "y", "z")[: 1 + world.draw("others", 3)]:
        await start(world, in_passing, name)
    seen: dict[float, object] = {}
    await until_second(world, 0.4)
    seen[0] = owner_and_expiry(world)
    other = world.worker(
        "b",
        running(_w3),
        worker_tag_filter=TagFilter.default_and("b"),
        dispatcher_long_poll_timeout=timedelta(0),
        dispatcher_min_poll_interval=timedelta(seconds=2),
        **ONLY_ACTIVITIES,
    )
    for second in (5.1, 30.1, 40.1):
        await until_second(world, second)
        seen[second] = owner_and_expiry(world)
    lock = item_lock(world, _latest(world))
    await until_second(world, 45)
    owner.crash()
    crashed = len(world.commits)
    for second in (50.1, 70.1, 99.9, 100.45, 100.55):
        await until_second(world, second)
        seen[second] = owner_and_expiry(world)
    status = await world.finished("i", check=False)
    with world.oracle("30.8"):
        a, b = owner.worker_id, other.worker_id
        assert seen == {
            0: (a, 60),
            5.1: (a, 60),
            30.1: (a, 90),
            40.1: (a, 100),
            **dict.fromkeys((50.1, 70.1, 99.9), (a, 100)),
            100.45: (b, 160.4),
            100.55: (b, 160.5),
        }, seen
        assert lock == 70, lock
        handed = [
            (one.process, second_of(one.provider_ms), item_of(one).id, work_of(one).attempt_count)
            for one in deliveries(world.commits, "s")
        ]
        q1, q2, q3 = sorted({id for _, _, id, _ in handed})
        assert handed == [("a", 0, q1, 1), ("a", 40, q2, 1), ("b", 100.4, q2, 2), ("b", 100.5, q3, 1)], handed
        polls = calls(world.commits[crashed:], "fetch_session_work_item", process="b")
        empty = [one for one in polls if (second_of(one.provider_ms) or 0) < 100]
        assert len(empty) >= 2 * 27 and all(one.result is None for one in empty), len(empty)
        assert isinstance(status, Completed), status


def _latest(world: World) -> int:
    return max(each.item.id for each in world.worker_rows() if each.item is not None)


async def _keeps_working(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    answers = [await ctx.schedule_activity_on_session("work", "20", session) for _ in range(3)]
    return encoded(answers)


@scenario(
    covers=["30.9", "SS-3.11"],
    workers=2,
    situations=["owner.crashed_with_item", "session.migrated"],
    level="fault",
    options=MINUTE,
)
async def restart_is_a_new_worker(world: World) -> None:
    """A restarted process does not inherit its leases."""
    workers = [world.worker(name, running(_keeps_working)) for name in ("a", "b")]
    await start(world, _keeps_working, "i")
    await world.commit(lambda one: of_session(one, "s"))
    owner = owner_of(world, workers, "i", "s")
    old = owner.worker_id
    await world.sleep(3 * world.draw("seconds before the crash / 3", 18) + 1)
    owner.crash()
    crashed, left = len(world.commits), world.session("i", "s")
    assert left is not None and left.locked_until is not None, left
    room_s = (left.locked_until - world.provider_now_ms) // 1000
    await world.sleep(world.draw("tenths of the time to the expiry", 9) * room_s / 10)
    owner.restart()
    await world.until(lambda: owner.worker_id is not None)
    new, rows = owner.worker_id, []
    while world.provider_now_ms < left.locked_until:
        rows.append(world.session("i", "s"))
        await world.sleep(min(10.0, (left.locked_until - world.provider_now_ms) / 1000))
    status = await world.finished("i", check=False)
    with world.oracle("30.9"):
        assert new is not None and new != old, (old, new)
        assert rows and all(each == left for each in rows), (left, rows)
        again = deliveries(world.commits[crashed:], "s")
        assert 0 <= again[0].provider_ms - left.locked_until <= POLL_MS, (left, again[0])
        asked = calls(world.commits[crashed:], "fetch_session_work_item", process=owner.name)
        assert asked and all(one.arguments["worker_id"] == new for one in asked), asked
        assert isinstance(status, Completed), status


class _Stopped:
    """A clock for runtimes that are made and never started."""

    def now_ms(self) -> Millis:
        return Millis(0)

    def monotonic_us(self) -> Micros:
        return Micros(0)

    async def sleep_until(self, due: Micros) -> None:
        raise AssertionError("nothing waits here")


@scenario(covers=["30.9", "SS-3.11"], level="provider")
async def identities_are_distinct(bench: Bench) -> None:
    """Ten thousand starts, ten thousand identities."""
    registry = running(_keeps_working)()
    identities = {
        Runtime(bench.provider, registry, clock=_Stopped(), ids=bench.ids).owner_identity
        for _ in range(10_000)
    }
    assert len(identities) == 10_000, f"{10_000 - len(identities)} of ten thousand are repeated"
    assert all(len(each) >= 16 for each in sorted(identities)), "64 random bits at least"


async def _many_activities(ctx: OrchestrationContext, input: str) -> str:
    first, second = ctx.open_session_with_id("s"), ctx.open_session_with_id("t")
    items = [ctx.schedule_activity_on_session("work", "20", name) for name in (first, second, first)]
    items.append(ctx.schedule_activity("look", ""))
    ctx.schedule_activity_on_session("insist", "15", second)
    losing = ctx.schedule_activity_on_session("insist", "50", first)
    await ctx.select(ctx.schedule_timer(timedelta(seconds=10)), losing)
    await ctx.join(*items)
    ctx.close_session(second)
    return str(await ctx.schedule_activity_on_session("work", "5", first))


@scenario(
    covers=["30.14", "SS-1.6", "SS-9.2"],
    workers=3,
    faults=FaultBudget(crash=2, stall=2),
    situations=[
        "owner.crashed_with_item",
        "process.stalled",
        "session.released_shutdown",
        "session.migrated",
    ],
    level="fault",
    options=MINUTE,
)
async def every_activity_ends(world: World) -> None:
    """Under fair scheduling nothing is left hanging."""
    workers = [world.worker(name, running(_many_activities)) for name in ("a", "b", "c")]
    await start(world, _many_activities, "i")
    await world.sleep(4 * world.draw("seconds before the clock jumps / 4", 8))
    world.jump_clock(D_MS * world.draw("it jumps", 2))
    await world.sleep(4 * world.draw("seconds before the shutdown / 4", 8))
    leaving = workers[world.draw("who leaves", 3)]
    await leaving.shutdown(20)
    status = await end_of(world, "i", within_s=1500)
    history = await world.history("i")
    last_us = world.now_us + 500_000_000
    await world.until(lambda: world.worker_rows() == [] or world.now_us >= last_us)
    with world.oracle("30.14"):
        assert isinstance(status, Completed), status
        ends = [
            each.source_event_id
            for kind in (ActivityCompleted, ActivityFailed, ActivityCancelRequested)
            for each in of_kind(history, kind)
        ]
        hanging = [one for one in of_kind(history, ActivityScheduled) if one.event_id not in ends]
        assert hanging == [], hanging
        assert world.sessions() == [] and world.worker_rows() == [], world.sessions()
