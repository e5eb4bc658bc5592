"""Matrix section 24: sessions given up that keep their unit, and items for whose session there is none."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

from holdfast.core import OrchestrationContext
from holdfast.core.client import Completed
from holdfast.core.contract.observe import CapacityChanged, LeaseEnded
from holdfast.properties.matrix.parts.capacities import ONE, LiveRowCount, at_once, one_look
from holdfast.properties.matrix.parts.conversations import D_MS, running, sole, start
from holdfast.properties.matrix.parts.deliveries import (
    deliveries,
    given_back,
    of_session,
    releases,
    renewals,
    work_of,
)
from holdfast.properties.matrix.parts.idling import SECOND_US, beside, is_release
from holdfast.properties.matrix.parts.rows import leases_of
from holdfast.properties.matrix.parts.takeovers import ONLY_ACTIVITIES, ONLY_TURNS, end_of
from holdfast.properties.matrix.parts.told import at, events, lease_ends, starts, told
from holdfast.sim.stage.script import ScriptedFault
from holdfast.sim.toolkit.handle import Handle
from holdfast.sim.toolkit.scenario import scenario
from holdfast.sim.toolkit.world import World
from holdfast.traces.record import Commit

D_US: Final = 1000 * D_MS


# --- a unit that is kept ----------------------------------------------------------------------------------


async def _used_again_at_a_word(ctx: OrchestrationContext, input: str) -> str:
    """A session that is used for a second, and once more when told; it is never closed."""
    session = ctx.open_session_with_id("s")
    await ctx.schedule_activity_on_session("insist", "1", session)
    await ctx.dequeue_event("word")
    await ctx.schedule_activity_on_session("insist", "1", session)
    await ctx.schedule_timer(timedelta(seconds=600))
    return "done"


def _answered_us(world: World, call: Commit) -> int:
    """When a worker had the answer of a call, or gave it up."""
    late_ms = [
        fault.amount_ms
        for fault in world.faults
        if (fault.time_us, fault.process) == (call.time_us, call.process)
        and fault.kind in ("lost_answer", "unsent")
    ]
    return call.time_us + 1000 * max(late_ms, default=0)


def _kept_until_us(world: World, failed: Commit) -> int:
    """D after the answer of the last call before that release that may have extended i's session."""
    calls = [*deliveries(world.commits, "s", "i"), *renewals(world.commits, "s")]
    return D_US + max(_answered_us(world, one) for one in calls if one.position < failed.position)


@scenario(
    covers=["24.13", "SS-14.15", "SS-8.10"],
    workers=2,
    situations=["worker.at_capacity", "worker.served_owned_at_capacity", "answer.lost", "call.unsent"],
    level="fault",
    options=ONE,
)
async def unconfirmed_give_up_keeps_unit(world: World) -> None:
    """A session given up without confirmation still takes a unit until its row has surely expired."""
    idle_s = (4, 40)[world.draw("a renewal before the release", 2)]  # 40 s is beyond R
    both = running(_used_again_at_a_word, one_look)
    world.worker("turns", both, **ONLY_TURNS)
    owner = world.worker("a", both, **ONLY_ACTIVITIES, session_idle_timeout=timedelta(seconds=idle_s))
    watch = LiveRowCount(world, owner)
    watching = asyncio.ensure_future(world.commit(watch))
    if idle_s == 40:  # the renewal at 30 takes effect, and its answer is still out at 41
        world.strike("lost_answer", "a", "renew_session_lock", seconds=12 + world.draw("s of no renewal", 9))
    kinds: tuple[ScriptedFault, ...] = ("refused", "unsent", "lost_answer")
    how = kinds[world.draw("how the release fails", 3)]
    world.strike(how, "a", "release_session_lock", seconds=world.draw("seconds of no answer", 3))
    await start(world, _used_again_at_a_word, "i")
    await world.commit(lambda one: of_session(one, "s", "i"))
    await start(world, one_look, "j")
    failed = await world.commit(is_release)
    await world.sleep(4 + 3 * world.draw("seconds until the first is asked for again / 3", 5))
    live = world.session("i", "s")
    asked_us = world.now_us if world.draw("the first is asked for again", 2) else None
    if asked_us is not None:
        await world.client.enqueue_event("i", "word", "")
    await end_of(world, "j", within_s=200)
    watching.cancel()
    with world.oracle("24.13"):
        assert watch.most == 1, f"{watch.most} live rows named the worker"
        assert failed.time_us == (1 + idle_s) * SECOND_US, failed
        assert lease_ends(world, instance="i")[0] == (at(failed), "idle"), lease_ends(world, instance="i")
        assert live is not None and live.worker_id == (None if how == "lost_answer" else owner.worker_id)
        due_us = _kept_until_us(world, failed)
        if asked_us is not None and how != "lost_answer":  # the row is live: it is served, and given up again
            served = sole(deliveries(world.commits, "s", "i")[1:])
            assert served.arguments["claim_new"] is False and at_once(served, asked_us), (asked_us, served)
            freed = sole([one for one in releases(world) if one.position > failed.position])
            due_us = served.time_us + failed.time_us
            assert freed.took_effect and freed.time_us == due_us, freed
        second = sole(deliveries(world.commits, "s", "j"))
        assert at_once(second, due_us), (due_us, second)
        assert max(one.leases + one.reserved + one.kept for one in events(world, CapacityChanged, "a")) == 1


# --- a session for which there is no unit -----------------------------------------------------------------


async def _busy(ctx: OrchestrationContext, input: str) -> str:
    """A session with one activity of so many seconds."""
    looks = beside(ctx, 1)
    said = await ctx.schedule_activity_on_session("insist", input, ctx.open_session_with_id("s"))
    await ctx.join(*looks)
    return said


async def _claim_lost(world: World, owner: Handle) -> None:
    """A claim of i's session takes effect and its answer is lost; then j's is claimed."""
    seconds = 3 * world.draw("seconds until the fetch fails / 3", 8)
    world.strike("lost_answer", owner.name, "fetch_session_work_item", seconds=seconds)
    await start(world, _one_answer, "i")
    await world.commit(lambda one: of_session(one, "s", "i"))
    await start(world, _busy, "j", input=str(130 + world.draw("seconds j takes", 5)))
    await world.commit(lambda one: of_session(one, "s", "j"))


async def _one_answer(ctx: OrchestrationContext, input: str) -> str:
    """A session that is used once."""
    return await ctx.schedule_activity_on_session("look", "", ctx.open_session_with_id("s"))


async def _release_failed(world: World, live: bool) -> None:
    """The idle release of i's session fails, j's is claimed once that must have expired, i is asked again.

    Before that the store's clock is set back: to before the expiry, or not that far.
    """
    world.strike("refused", "a", "release_session_lock")
    await start(world, _used_again_at_a_word, "i")
    await world.commit(lambda one: of_session(one, "s", "i"))
    await start(world, _busy, "j", input=str(40 + world.draw("seconds j takes", 5)))
    await world.commit(lambda one: of_session(one, "s", "j"))
    beyond_s = 4 + 2 * world.draw("seconds beyond the expiry / 2", 8)
    await world.sleep(beyond_s)
    world.jump_clock(-1000 * (beyond_s + 10) if live else -1000 * (beyond_s - 2))
    await world.client.enqueue_event("i", "word", "")


@scenario(
    covers=["24.15", "SS-14.16"],
    workers=2,
    situations=["session.given_back", "worker.at_capacity"],
    level="fault",
    options=ONE,
)
async def item_without_free_unit_is_given_back(world: World) -> None:
    """An item of a session the worker had given up is returned when no unit is free."""
    by_clock = bool(world.draw("by the clock", 2))
    live = not world.draw("the row has expired", 2)
    options: dict[str, object] = {"session_idle_timeout": timedelta(seconds=4)} if by_clock else {}
    if not by_clock and not live:  # the item is locked until the row has long expired
        options["worker_lock_timeout"] = timedelta(seconds=100)
    registry = running(_used_again_at_a_word, _busy, _one_answer)
    world.worker("turns", registry, **ONLY_TURNS)
    owner = world.worker("a", registry, **ONLY_ACTIVITIES, **options)
    if by_clock:
        await _release_failed(world, live)
    else:
        await _claim_lost(world, owner)
    claimed = deliveries(world.commits, "s", "j")[0]
    asked_us = world.now_us if by_clock else (30_000_000 if live else 100_000_000)
    before = len(deliveries(world.commits, "s", "i"))
    await world.until(lambda: world.now_us >= asked_us)
    await world.sleep(2)
    leases = [one.instance_id for one in leases_of(owner)]
    row = world.session("i", "s")
    status = await end_of(world, "j", within_s=200)
    last_us = world.now_us + 4 * D_US
    await world.until(
        lambda: len(deliveries(world.commits, "s", "i")) > before + live or world.now_us >= last_us
    )
    with world.oracle("24.15"):
        assert isinstance(status, Completed) and claimed.process == "a", status
        again = deliveries(world.commits, "s", "i")[before:]
        assert leases == ["j"], leases
        assert max(one.leases for one in events(world, CapacityChanged, "a")) == 1
        if live:
            _given_back(world, again[0], asked_us)
            assert row is not None and (row.worker_id, row.locked_until) == (None, None), row
        ends = [one.time_us for one in told(world, LeaseEnded, instance="j")]
        assert again[-1].arguments["claim_new"] is True and again[-1].time_us >= ends[0], (ends, again)
        assert [one.arguments["claim_new"] for one in again] == [False, True][not live :], again


def _given_back(world: World, handed: Commit, asked_us: int) -> None:
    """Assert that an item was handed out at once, and given back uncharged after a release of its session."""
    assert at_once(handed, asked_us), (asked_us, handed)
    work = work_of(handed)
    freed = [one for one in releases(world) if one.position > handed.position]
    back = given_back(world.commits, handed)
    assert [(one.time_us, one.took_effect) for one in freed] == [(handed.time_us, True)], freed
    assert back.time_us == handed.time_us and freed[0].position < back.position, (freed, back)
    assert work.token not in [one.token for one in starts(world)], "a handler was started"
    after = deliveries(world.commits[handed.position + 1 :], "s", "i")
    assert [work_of(one).attempt_count for one in after] == [work.attempt_count], after
