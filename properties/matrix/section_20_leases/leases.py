"""Matrix section 20, the registry of leases: what shares a lease, what joins it, what leaves it alone."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta

import msgspec

from holdfast.core import ActivityContext, OrchestrationContext, Registry
from holdfast.core.client import Completed
from holdfast.core.contract.errors import ActivityError
from holdfast.core.contract.observe import LeaseTaken
from holdfast.core.contract.provider import TagFilter
from holdfast.core.hosting.options import UnregisteredBackoff
from holdfast.core.working.lease_records import LeaseView
from holdfast.properties.matrix.parts.closings import ends_instance
from holdfast.properties.matrix.parts.conversations import (
    MINUTE,
    answer,
    encoded,
    observations,
    owner_part,
    running,
    seen,
    sole,
    start,
)
from holdfast.properties.matrix.parts.deliveries import (
    calls,
    deliveries,
    final_calls,
    of_session,
    until_delivered,
)
from holdfast.properties.matrix.parts.idling import SECOND_US, beside, fails
from holdfast.properties.matrix.parts.rows import leases_of, until_second
from holdfast.properties.matrix.parts.takeovers import ONLY_ACTIVITIES
from holdfast.properties.matrix.parts.told import at, lease_ends, session_starts, signals, told
from holdfast.sim.toolkit.scenario import scenario
from holdfast.sim.toolkit.world import World


async def _many_at_once(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    items = [ctx.schedule_activity_on_session("insist", each, session) for each in input.split()]
    answers = await ctx.join(*items)
    await ctx.dequeue_event("end")
    return encoded(answers)


@scenario(
    covers=["20.9", "SS-7.1", "SS-14.8", "SS-4.10"],
    situations=["session.shared_by_slots", "session.served_again"],
    options={**MINUTE, "worker_concurrency": 8},
)
async def one_lease_many_activities(world: World) -> None:
    """Many activities of a session share one lease."""
    owner = world.worker("a", running(_many_at_once))
    seconds = [3 + world.draw("further seconds of work", 2) for _ in range(8)]
    await start(world, _many_at_once, "i", input=" ".join(map(str, seconds)))
    noted: list[tuple[int, tuple[LeaseView, ...]]] = []

    def all_started() -> bool:
        noted.append((len(session_starts(world)), leases_of(owner) if owner.runtime else ()))
        return noted[-1][0] == 8

    await world.until(all_started)
    await world.until(lambda: len(final_calls(world.commits)) == 8)
    await world.sleep(1)
    after = leases_of(owner)
    await world.client.enqueue_event("i", "end", "")
    status = await world.finished("i", check=False)
    with world.oracle("20.9"):
        started, leases = noted[-1]
        assert world.now_us >= 3 * SECOND_US and started == 8, noted[-1]
        assert [(one.session_id, one.phase, one.in_flight) for one in leases] == [("s", "busy", 8)], leases
        for started, leases in noted:
            assert sum(one.in_flight for one in leases) >= started and len(leases) <= 1, (started, leases)
        assert [(one.session_id, one.phase, one.in_flight) for one in after] == [("s", "idle", 0)], after
        assert len(told(world, LeaseTaken)) == 1 and len(deliveries(world.commits, "s", "i")) == 8
        assert [entry.owner for entry in observations(status)] == [owner.worker_id] * 8, status


async def _two_meet(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    looks = beside(ctx, 2)
    both = [ctx.schedule_activity_on_session("meet", "", session) for _ in range(2)]
    answers = await ctx.join(*both)
    await ctx.join(*looks)
    ctx.close_session(session)
    return encoded(answers)


def _with_meeting() -> Registry:
    """The usual registry, and an activity that waits for another one of its session, for a minute."""
    registry = running(_two_meet)()
    there: Counter[str] = Counter()
    met: dict[str, asyncio.Event] = {}

    @registry.activity("meet")
    async def meet(ctx: ActivityContext, input: str) -> str:
        event = met.setdefault(ctx.instance_id, asyncio.Event())
        there[ctx.instance_id] += 1
        if there[ctx.instance_id] == 2:
            event.set()
        waiting = asyncio.ensure_future(event.wait())
        await asyncio.wait([waiting], timeout=60)
        waiting.cancel()
        return encoded([ctx.worker_id, event.is_set()])

    return registry


@scenario(
    covers=["20.10", "SS-4.10", "SS-3.10", "SS-1.3"],
    situations=["session.shared_by_slots"],
    options={**MINUTE, "worker_concurrency": 4},
)
async def slots_of_one_worker_share_session(world: World) -> None:
    """Two slots of one worker work on one session at the same time."""
    worker = world.worker("a", _with_meeting)
    instances = ("i", "j")[: 1 + world.draw("another session", 2)]
    await start(world, _two_meet, *instances)
    statuses = {name: await world.finished(name, check=False) for name in instances}
    with world.oracle("20.10"):
        for name, status in statuses.items():
            found = [_slot_and_met(text) for text in answer(status)]
            assert [met for _, met in found] == [True, True], found
            slots = [slot for slot, _ in found]
            assert slots[0] != slots[1], f"one slot twice: {slots}"
            assert {owner_part(slot) for slot in slots} == {worker.worker_id}, slots
            assert len(told(world, LeaseTaken, instance=name)) == 1, told(world, LeaseTaken)
            assert [one.process for one in deliveries(world.commits, "s", name)] == ["a", "a"]


def _slot_and_met(text: str) -> tuple[str, bool]:
    return msgspec.json.decode(text, type=tuple[str, bool])


async def _asks_one(ctx: OrchestrationContext, input: str) -> str:
    """Ask for what is never handed to a handler, and wait for a while."""
    session = ctx.open_session_with_id("s")
    looks = beside(ctx, 2)
    name, tag = input.split()
    asked = ctx.schedule_activity_on_session(name, "", session, tag=tag)
    await ctx.select(asked, ctx.schedule_timer(timedelta(seconds=100)))
    await ctx.join(*looks)
    return "done"


@scenario(
    covers=["20.11", "SS-14.7", "SS-14.9", "SS-14.10"],
    workers=3,
    situations=["item.poisoned", "item.abandoned_backoff", "session.renewed_between"],
    options={
        **MINUTE,
        "unregistered_backoff": UnregisteredBackoff(
            base_delay=timedelta(minutes=5), max_delay=timedelta(minutes=5)
        ),
    },
)
async def poison_and_unregistered_items_join_lease(world: World) -> None:
    """Even items never handed to a handler are covered by a lease, from delivery to their final call."""
    turns = world.worker("turns", running(_asks_one))
    kinds = {"poison": "look", "unregistered": "missing"}
    # No attempt is one too many for the first of them, so that all it gets is poison.
    workers = {
        "poison": world.worker(
            "poison", running(), worker_tag_filter=TagFilter.only("poison"), max_attempts=0, **ONLY_ACTIVITIES
        ),
        "unregistered": world.worker(
            "unregistered", running(), worker_tag_filter=TagFilter.only("unregistered"), **ONLY_ACTIVITIES
        ),
    }
    slow_s = {}
    for kind, operation in (("poison", "ack_work_item"), ("unregistered", "abandon_work_item")):
        slow_s[kind] = 2 + world.draw("seconds of the final call", 8)
        world.strike("slow_call", kind, operation, seconds=slow_s[kind])
        await start(world, _asks_one, kind, input=f"{kinds[kind]} {kind}")
    for kind in kinds:
        await until_delivered(world, instance=kind)
    turns.stall(90)  # the turn that reads of the poison ends the instance (RT-4.15)
    at_work: dict[str, tuple[LeaseView, ...]] = {}
    afterwards: dict[str, tuple[LeaseView, ...]] = {}
    for found, second in ((at_work, 1.5), (afterwards, 15)):
        await until_second(world, second)
        found.update({kind: leases_of(worker) for kind, worker in workers.items()})
    for kind in kinds:
        await world.finished(kind, check=False)
    with world.oracle("20.11"):
        for kind in kinds:
            delivery = sole(deliveries(world.commits, "s", kind))
            final = sole(final_calls(world.commits, kind))
            assert at(final) - at(delivery) == slow_s[kind] and final.took_effect, final
            taken = sole(told(world, LeaseTaken, instance=kind))
            assert (taken.time_us, taken.process) == (delivery.time_us, kind), taken
            for views, phase, in_flight in ((at_work, "busy", 1), (afterwards, "idle", 0)):
                assert len(views[kind]) == 1, (kind, phase, views[kind])
                lease = views[kind][0]
                assert (lease.instance_id, lease.session_id) == (kind, "s"), lease
                assert (lease.phase, lease.in_flight) == (phase, in_flight), (kind, lease)
            sent = calls(world.commits, "renew_session_lock", process=kind)[:2]
            assert [(at(one), one.took_effect) for one in sent] == [(30, True), (60, True)], (kind, sent)
            assert not session_starts(world, kind), "a handler started"


async def _fails_and_goes_on(ctx: OrchestrationContext, input: str) -> str:
    """Failing activities one after the other, beside one that goes on; then another activity."""
    session = ctx.open_session_with_id("s")
    looks = beside(ctx, 2)
    beside_them = ctx.schedule_activity_on_session("work", "8", session)
    errors = 0
    for each in input.split():
        try:
            await ctx.schedule_activity_on_session("fail", each, session)
        except ActivityError:
            errors += 1
    after = await ctx.schedule_activity_on_session("look", "after", session)
    await ctx.join(*looks)
    return encoded([errors, after, await beside_them])


@scenario(
    covers=["20.12", "SS-14.11"],
    workers=2,
    situations=["session.shared_by_slots", "session.used_across_turns"],
    level="multi-runtime",
    options={**MINUTE, "worker_concurrency": 2},
)
async def handler_exception_keeps_lease(world: World) -> None:
    """A failing handler does not lose the session."""
    workers = {name: world.worker(name, running(_fails_and_goes_on, fail=fails)) for name in ("a", "b")}
    seconds = [world.draw("seconds before the exception", 3) for _ in range(1 + world.draw("more", 2))]
    await start(world, _fails_and_goes_on, "i", input=" ".join(map(str, seconds)))
    await world.commit(lambda commit: of_session(commit, "s", "i"))
    ended = await world.commit(ends_instance)
    until_then = [end for end in lease_ends(world, instance="i") if end[0] < at(ended)]
    status = await world.finished("i", check=False)
    with world.oracle("20.12"):
        errors, *answers = answer(status)
        assert isinstance(status, Completed) and errors == len(seconds), status
        owners = [one.process for one in deliveries(world.commits, "s", "i")]
        assert owners == owners[:1] * (len(seconds) + 2), owners
        told_by = [seen(text).owner for text in answers]
        assert told_by == [workers[owners[0]].worker_id] * 2, told_by
        assert signals(world) == [], signals(world)
        assert [one.process for one in told(world, LeaseTaken)] == owners[:1], told(world, LeaseTaken)
        assert until_then == [], until_then
        assert at(ended) == 8, "the activity beside ran to its end"
