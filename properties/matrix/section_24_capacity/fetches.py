"""Matrix section 24: fetches that fail, and fetches from a provider that has no sessions."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from holdfast.core import OrchestrationContext
from holdfast.core.client import Completed
from holdfast.core.contract.observe import LeaseEnded, LeaseTaken
from holdfast.core.contract.store import SessionRecord
from holdfast.properties.matrix.parts.capacities import POLL_US, at_once
from holdfast.properties.matrix.parts.closings import ACK, concluded
from holdfast.properties.matrix.parts.conversations import D_MS, MINUTE, answer, encoded, running, seen, start
from holdfast.properties.matrix.parts.deliveries import calls, deliveries
from holdfast.properties.matrix.parts.idling import beside
from holdfast.properties.matrix.parts.listening import Listened, runtime_on
from holdfast.properties.matrix.parts.rows import leases_of
from holdfast.properties.matrix.parts.takeovers import ONLY_ACTIVITIES, ONLY_TURNS, end_of, more
from holdfast.properties.matrix.parts.told import signals, starts, told
from holdfast.sim.stage.process import Process
from holdfast.sim.stage.script import ScriptedFault
from holdfast.sim.toolkit.scenario import scenario
from holdfast.sim.toolkit.world import World

_FETCH: Final = "fetch_session_work_item"
_SESSION_CALLS: Final = (_FETCH, "renew_session_lock", "release_session_lock")
_FAILING_S: Final = 5 * D_MS // 1000


# --- fetches that fail ------------------------------------------------------------------------------------


async def _one_busy_one_idle(ctx: OrchestrationContext, input: str) -> str:
    """Session t has one long activity; session s is used at once, and again at the word "more"."""
    busy, idle = ctx.open_session_with_id("t"), ctx.open_session_with_id("s")
    long = ctx.schedule_activity_on_session("insist", input, busy)
    said = [await ctx.schedule_activity_on_session("look", "first", idle)]
    await ctx.join(*beside(ctx, 2))
    await ctx.dequeue_event("more")
    said.append(await ctx.schedule_activity_on_session("look", "again", idle))
    return encoded([*said, await long])


@scenario(
    covers=["24.11", "SS-14.12"],
    workers=2,
    situations=["call.refused", "session.renewed_between", "session.renewed_by_item"],
    level="fault",
    options={**MINUTE, "worker_concurrency": 2},
)
async def fetch_errors_leave_leases_alone(world: World) -> None:
    """Failing fetches do not endanger sessions."""
    world.worker("turns", running(_one_busy_one_idle), **ONLY_TURNS)
    owner = world.worker("a", running(_one_busy_one_idle), **ONLY_ACTIVITIES)
    await start(world, _one_busy_one_idle, "i", input=str(400 + world.draw("seconds of work beyond 400", 5)))
    await world.until(lambda: len(deliveries(world.commits, "s", "i")) == 1)
    await world.sleep(3 + 5 * world.draw("seconds before the failures / 5", 10))
    kinds: tuple[ScriptedFault, ...] = ("refused", "unsent")
    kind = kinds[world.draw("how they fail", 2)]
    failing = world.strike(kind, "a", _FETCH, times=None, seconds=world.draw("seconds of no answer", 6))
    began_us = world.now_us
    await more(world)  # so that there is something to fetch all the time
    samples: list[tuple[int, SessionRecord | None]] = []
    for _ in range(_FAILING_S // 10):
        await world.sleep(10)
        samples += [(world.provider_now_ms, world.session("i", name)) for name in ("s", "t")]
    failed = [one for one in calls(world.commits, _FETCH, process="a") if one.outcome == kind]
    leases = leases_of(owner)
    failing.end()
    ended_us = world.now_us
    status = await end_of(world, "i", within_s=200)
    with world.oracle("24.11"):
        # the longest pause between failing fetches is 3 s, and an answer that never comes is awaited for 5
        assert len(failed) >= _FAILING_S // 8 and failed[0].time_us - began_us <= 100_000, len(failed)
        assert failed[-1].time_us >= ended_us - 8_000_000, failed[-1]
        for now_ms, record in samples:
            assert record is not None and record.worker_id == owner.worker_id, (now_ms, record)
            # both are renewed at most R apart, so never less than D - R is left
            assert record.locked_until is not None and record.locked_until - now_ms >= D_MS // 2, record
        assert sorted((one.session_id, one.in_flight) for one in leases) == [("s", 0), ("t", 1)], leases
        assert len(told(world, LeaseTaken)) == 2, told(world, LeaseTaken)  # the leases they were
        gone = told(world, LeaseEnded)
        assert not signals(world) and not [one for one in gone if one.time_us <= ended_us], gone
        again = deliveries(world.commits, "s", "i")
        assert len(again) == 2 and again[1].process == "a", again
        assert at_once(again[1], ended_us, within_us=8_000_000 + POLL_US), (ended_us, again)
        assert [one.attempt for one in starts(world, "a")] == [1] * 5, starts(world, "a")
        assert {seen(text).owner for text in answer(status)} == {owner.worker_id}, status


# --- a provider without sessions --------------------------------------------------------------------------


async def _without(ctx: OrchestrationContext, input: str) -> str:
    """Plain work: activities beside each other and a long one, a timer, an event, and a second execution."""
    if not input:
        ctx.continue_as_new("again")
        return ""
    said = await ctx.join(*(ctx.schedule_activity("look", str(n)) for n in range(3)))
    long = ctx.schedule_activity("insist", "30")
    await ctx.schedule_timer(timedelta(seconds=2))
    await ctx.dequeue_event("word")
    return encoded([*said, await long])


@scenario(covers=["24.9", "SS-14.1"], options=MINUTE)
async def provider_without_sessions_plain_fetch(world: World) -> None:
    """On a provider without sessions only plain fetch is used."""
    made: list[str] = []
    slot_count = 1 + world.draw("slots more", 3)

    async def boot(process: Process) -> None:
        provider = Listened(process.provider, made, has_sessions=False)
        await runtime_on(provider, process, running(_without)(), worker_concurrency=slot_count).run()

    world.process("a", boot)
    names = ["i", "j", "k"][: 1 + world.draw("instances more", 3)]
    await start(world, _without, *names)
    await world.sleep(1 + world.draw("seconds before the word", 8))
    for name in names:
        await world.client.enqueue_event(name, "word", "")
    statuses = [await end_of(world, name, within_s=200) for name in names]
    with world.oracle("24.9"):
        for status in statuses:
            assert isinstance(status, Completed), status
            assert [seen(text).input for text in answer(status)] == ["0", "1", "2", "30"], status
            assert {seen(text).session for text in answer(status)} == {None}, status
        assert "fetch_work_item" in made, made
        assert [operation for operation in made if operation in _SESSION_CALLS] == [], made
        assert calls(world.commits, *_SESSION_CALLS) == []
        renewed = calls(world.commits, "renew_work_item_lock", process="a")
        assert renewed and {one.arguments["extend_session_for"] for one in renewed} == {None}, renewed
        for ack in calls(world.commits, ACK):
            assert (concluded(ack).opened, concluded(ack).closed) == ([], []), ack
