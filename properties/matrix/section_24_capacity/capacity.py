"""Matrix section 24: capacity, and the modes of a fetch."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import NamedTuple

from holdfast.core import OrchestrationContext
from holdfast.core.client import Completed
from holdfast.core.contract.ids import Millis
from holdfast.core.contract.observe import CapacityChanged, HandlerStarted, LeaseEnded, LeaseTaken
from holdfast.properties.matrix.parts.capacities import ONE, POLL_US, LiveRowCount
from holdfast.properties.matrix.parts.conversations import MINUTE, encoded, observations, running, start
from holdfast.properties.matrix.parts.deliveries import calls, deliveries
from holdfast.properties.matrix.parts.idling import SECOND_US
from holdfast.properties.matrix.parts.rows import leases_of
from holdfast.properties.matrix.parts.takeovers import R_US, end_of
from holdfast.properties.matrix.parts.told import at, events, starts, told
from holdfast.properties.matrix.parts.turns_by_hand import (
    D,
    begin,
    fetch,
    fetched,
    item,
    records,
    row_of,
    sessions_named,
)
from holdfast.sim.toolkit.bench import Bench
from holdfast.sim.toolkit.scenario import scenario
from holdfast.sim.toolkit.world import World
from holdfast.traces.record import Commit


async def _talks(ctx: OrchestrationContext, input: str) -> str:
    """One session, two activities of so many seconds one after the other."""
    session = ctx.open_session_with_id("s")
    said = [await ctx.schedule_activity_on_session("insist", input, session) for _ in range(2)]
    ctx.close_session(session)
    return encoded(said)


async def _keeps(ctx: OrchestrationContext, input: str) -> str:
    """One session, one activity, and the session stays open for so many seconds."""
    session = ctx.open_session_with_id("s")
    said = [await ctx.schedule_activity_on_session("insist", "1", session)]
    await ctx.schedule_timer(timedelta(seconds=float(input)))
    return encoded(said)


@scenario(
    covers=["24.1", "SS-14.2", "SS-14.3", "SS-14.6"],
    situations=["worker.at_capacity", "session.claimed"],
    options=ONE,
)
async def at_capacity_switches_to_owned_only(world: World) -> None:
    """The dispatcher changes the fetch mode at the limit and back."""
    slots = 1 + world.draw("a second slot", 2)
    world.worker("a", running(_talks), worker_concurrency=slots)
    await start(world, _talks, "i", "j", input=str(5 + world.draw("seconds an activity takes", 20)))
    statuses = [await end_of(world, name, within_s=300) for name in ("i", "j")]
    await world.sleep(70)  # R until it is known that the second one is closed, and a fetch of 30 s
    with world.oracle("24.1"):
        assert all(isinstance(status, Completed) for status in statuses), statuses
        assert not calls(world.commits, "fetch_work_item", process="a"), "a plain fetch"
        taken = [one.time_us for one in told(world, LeaseTaken)]
        ended = [one.time_us for one in told(world, LeaseEnded)]
        assert len(taken) == len(ended) == 2 and taken[0] < ended[0] <= taken[1] < ended[1], (taken, ended)
        modes = [_mode(one) for one in calls(world.commits, "fetch_session_work_item", process="a")]
        at_limit = [_during(modes, since, until) for since, until in zip(taken, ended, strict=True)]
        below = _during(modes, ended[1] + 1, world.now_us)
        assert all(at_limit) and not any(claims for one in at_limit for claims in one), (taken, ended, modes)
        assert slots == 2 or modes[0].claim_new, modes[0]
        claimed = [one for one in modes if one.claim_new and one.until_us in taken and one.brought]
        assert len(claimed) == 2, (taken, modes)  # each session, the second one after the first had ended
        # of two slots that look for work one has the only unit reserved
        assert True in below and (slots == 2 or all(below)), below


class _Mode(NamedTuple):
    """A session-aware fetch: whether it may claim, and when it was under way."""

    claim_new: bool
    since_us: int
    until_us: int
    brought: bool


def _mode(fetch: Commit) -> _Mode:
    """One that brought nothing has waited for as long as it may; of another one that is the most."""
    since_us = max(fetch.time_us - 1000 * int(str(fetch.arguments["poll_timeout"])), 0)
    return _Mode(fetch.arguments["claim_new"] is True, since_us, fetch.time_us, fetch.result is not None)


def _during(modes: list[_Mode], since_us: int, until_us: int) -> list[bool]:
    """The modes of the fetches that were surely begun and ended in this time."""
    return [one.claim_new for one in modes if since_us <= one.since_us < one.until_us <= until_us]


@scenario(covers=["24.2", "SS-12.4", "SS-25.22"], workers=2, level="provider")
async def owned_only_fetch_never_claims(bench: Bench) -> None:
    """Owned-only mode ignores unclaimed, expired and foreign sessions."""
    provider = bench.provider
    for instance, worker, duration in (("j", "B", 10 * D), ("k", "A", 10 * D), ("i", "A", D)):
        await begin(provider, instance, opened=sessions_named(f"{instance}/s"), work=[item(2, "s", instance)])
        assert (await fetched(provider, worker, duration=duration)).item.instance == instance
    for instance in ("j", "k", "i"):
        await provider.enqueue_for_worker(item(3, "s", instance))
    bench.clock.advance(D)  # i's session and all item locks have run out
    await begin(provider, "m", opened=sessions_named("m/s"), work=[item(2, "s", "m"), item(3, None, "m")])
    others = [one for one in records(bench) if one.instance_id != "k"]
    assert len(others) == 3, others
    got = []
    while (work := await fetch(provider, "A", claim_new=False)) is not None:
        got.append((work.item.instance, work.item.id))
    assert got == [("k", 2), ("k", 3), ("m", 3)], got
    assert [one for one in records(bench) if one.instance_id != "k"] == others, others


@scenario(covers=["24.3", "SS-12.4", "SS-25.5", "SS-25.9", "SS-25.22"], level="provider")
async def owned_only_skips_own_expired(bench: Bench) -> None:
    """In owned-only mode the caller's own expired session is not served until it is renewed."""
    provider = bench.provider
    for instance, renewed in (("i", False), ("j", True)):
        await begin(
            provider,
            instance,
            opened=sessions_named(f"{instance}/s"),
            work=[item(2, "s", instance), item(3, "s", instance)],
        )
        assert (await fetched(provider, "A")).item.id == 2
        bench.clock.advance(D)
        before = row_of(bench, "s", instance)
        assert await fetch(provider, "A", claim_new=False) is None, "an expired session was served"
        assert row_of(bench, "s", instance) == before, before
        if renewed:
            await provider.renew_session_lock(instance, "s", "A", extend_for=Millis(D))
            served = await fetch(provider, "A", claim_new=False)
        else:
            served = await fetched(provider, "A")
        assert served is not None and served.item.session_id == "s", served
        await provider.ack_work_item(served.token)
        while (rest := await fetch(provider, "A", claim_new=False)) is not None:
            await provider.ack_work_item(rest.token)


@scenario(
    covers=["24.4", "SS-14.5"],
    situations=["worker.at_capacity"],
    options={**MINUTE, "max_sessions_per_worker": 3, "worker_concurrency": 16},
)
async def concurrent_slots_do_not_overshoot(world: World) -> None:
    """Many slots fetching at once stay within the limit."""
    names = [f"i{number}" for number in range(20)]
    await start(world, _talks, *names, input="2")
    worker = world.worker("a", running(_talks))
    watch = LiveRowCount(world, worker)
    watching = asyncio.ensure_future(world.commit(watch))
    statuses = [await end_of(world, name, within_s=200) for name in names]
    watching.cancel()
    with world.oracle("24.4"):
        assert all(isinstance(status, Completed) for status in statuses), statuses
        units = events(world, CapacityChanged)
        assert max(one.leases for one in units) == 3, units
        assert all(one.leases + one.reserved + one.kept <= 3 for one in units)
        assert watch.most == 3, watch.most


async def _ten_and_one(ctx: OrchestrationContext, input: str) -> str:
    first, second = ctx.open_session_with_id("S1"), ctx.open_session_with_id("S2")
    runs = [ctx.schedule_activity_on_session("insist", input, first) for _ in range(10)]
    runs.append(ctx.schedule_activity_on_session("insist", input, second))
    return encoded(await ctx.join(*runs))


@scenario(
    covers=["24.5", "SS-14.4"],
    situations=["session.shared_by_slots", "worker.at_capacity"],
    options={**MINUTE, "max_sessions_per_worker": 2, "worker_concurrency": 11},
)
async def capacity_counts_sessions_not_activities(world: World) -> None:
    """Several activities of one session use one unit."""
    world.worker("a", running(_ten_and_one))
    takes = 10 + world.draw("seconds an activity takes", 10)
    await start(world, _ten_and_one, "i", input=str(takes))
    status = await end_of(world, "i", within_s=200)
    with world.oracle("24.5"):
        assert len(observations(status)) == 11, status
        assert len(starts(world)) == 11, starts(world)
        units = events(world, CapacityChanged)
        assert max(one.leases for one in units) == 2, units
        assert at(told(world, HandlerStarted)[-1]) < takes, "they did not all run together"


@scenario(
    covers=["24.6", "SS-14.4"],
    situations=["worker.at_capacity"],
    options={**ONE, "session_idle_timeout": None},
)
async def idle_sessions_count(world: World) -> None:
    """An owned but unused session still takes a unit."""
    owner = world.worker("a", running(_keeps))
    keeps = 100 + 10 * world.draw("seconds a session is kept / 10", 6)
    await start(world, _keeps, "i", input=str(keeps))
    await world.commit(lambda one: bool(deliveries([one], "s")))
    await world.sleep(10)
    await start(world, _keeps, "j", input="1")
    await world.sleep(20)
    held = [(one.instance_id, one.in_flight) for one in leases_of(owner)]
    waiting = world.session("j", "s")
    statuses = [await end_of(world, name, within_s=300) for name in ("i", "j")]
    with world.oracle("24.6"):
        assert all(isinstance(status, Completed) for status in statuses), statuses
        assert held == [("i", 0)], held
        assert waiting is not None and waiting.worker_id is None, waiting
        begun = told(world, HandlerStarted)
        assert [one.event.instance_id for one in begun] == ["i", "j"], begun
        # the activity takes one second, and the end is known at most R later
        assert keeps + 1 <= at(begun[1]) and begun[1].time_us <= (keeps + 1) * SECOND_US + R_US + POLL_US, (
            begun
        )


async def _mixed(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    runs = [ctx.schedule_activity("insist", "1") for _ in range(3)]
    runs += [ctx.schedule_activity_on_session("insist", input, session) for _ in range(2)]
    return encoded(await ctx.join(*runs))


@scenario(
    covers=["24.8", "SS-14.1", "SS-20.2"],
    workers=2,
    situations=["session.claimed"],
    level="multi-runtime",
    options=MINUTE,
)
async def zero_capacity_means_none(world: World) -> None:
    """With limit 0 the worker never takes session work."""
    world.worker("a", running(_mixed), max_sessions_per_worker=0)
    await start(world, _mixed, "i", input=str(1 + world.draw("seconds an activity takes", 8)))
    await world.sleep(3)
    before = [(one.session_id, one.worker_id) for one in world.sessions()]
    other = world.worker("b", running(_mixed))
    status = await end_of(world, "i", within_s=200)
    with world.oracle("24.8"):
        assert before == [("s", None)], before
        assert not calls(world.commits, "fetch_session_work_item", process="a"), "a session-aware fetch"
        assert calls(world.commits, "fetch_work_item", process="a"), "no plain fetch"
        seen = observations(status)
        assert {one.owner for one in seen if one.session == "s"} == {other.worker_id}, seen
        assert all(one.owner != other.worker_id for one in seen if one.session is None), seen


async def _five(ctx: OrchestrationContext, input: str) -> str:
    """Five sessions, used for a second each, and kept until all of all instances have been."""
    sessions = [ctx.open_session_with_id(f"s{number}") for number in range(5)]
    runs = [ctx.schedule_activity_on_session("insist", "1", one) for one in sessions]
    said = await ctx.join(*runs)
    await ctx.schedule_timer(timedelta(seconds=float(input)))
    return encoded(said)


@scenario(covers=["24.12", "SS-21.4"], options={**MINUTE, "worker_concurrency": 1})
async def more_sessions_than_slots(world: World) -> None:
    """A worker with one slot can hold many sessions."""
    worker = world.worker("a", running(_five))
    watch = LiveRowCount(world, worker)
    names = [f"i{number}" for number in range(10)]
    for number, name in enumerate(names):
        await start(world, _five, name, input=str(50 - 5 * number))
    await world.sleep(49.5)  # the last of fifty runs
    live, leases = watch.count(), leases_of(worker)
    statuses = [await end_of(world, name, within_s=200) for name in names]
    with world.oracle("24.12"):
        seen = [one for status in statuses for one in observations(status)]
        assert len(seen) == 50 and {one.owner for one in seen} == {worker.worker_id}, len(seen)
        units = events(world, CapacityChanged)
        assert max(one.leases for one in units) == 50, units[-1]
        assert live == 50, live
        assert sorted(one.in_flight for one in leases) == [0] * 49 + [1], leases
