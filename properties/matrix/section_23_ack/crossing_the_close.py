"""Matrix section 23, what crosses a close: completions on their way, a handler that runs (W7)."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

from holdfast.core import ActivityContext, OrchestrationContext, Registry
from holdfast.core.client import Completed
from holdfast.core.contract.events import ActivityCompleted, ActivityScheduled, QueueEvent, SessionClosed
from holdfast.core.contract.observe import HandlerStopped, LeaseEnded
from holdfast.core.contract.provider import FetchedTurn
from holdfast.core.contract.store import SessionRecord
from holdfast.core.contract.work_items import ActivityCompletedMessage as Completion
from holdfast.core.contract.work_items import QueueMessage
from holdfast.properties.matrix.parts.closings import ack_of, closes, concluded, gets_turn, requests
from holdfast.properties.matrix.parts.conversations import (
    D_MS,
    MINUTE,
    Orchestration,
    completed,
    of_kind,
    running,
    seen,
    session_events,
    start,
)
from holdfast.properties.matrix.parts.deliveries import deliveries, item_of, refused, renewals, work_of
from holdfast.properties.matrix.parts.session_log import only
from holdfast.properties.matrix.parts.told import session_starts, signals, since, told
from holdfast.sim.toolkit.handle import Handle
from holdfast.sim.toolkit.scenario import scenario
from holdfast.sim.toolkit.world import World
from holdfast.traces.record import Commit

SECOND_US: Final = 1_000_000


def _one_for_turns_one_for_work(world: World, *orchestrations: Orchestration) -> tuple[Handle, Handle]:
    """A process that only runs turns, one at a time, and one that only runs activities."""
    turns = world.worker("a", running(*orchestrations), worker_concurrency=0, orchestration_concurrency=1)
    return turns, world.worker("b", running(*orchestrations), orchestration_concurrency=0)


def _turns(world: World) -> list[Commit]:
    """The batches that were handed out for instance i."""
    return [commit for commit in world.commits if gets_turn(commit)]


def _acks_work(commit: Commit) -> bool:
    return commit.operation == "ack_work_item" and commit.took_effect


async def _closes_when_told(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    beside = [ctx.schedule_activity("look", str(n)) for n in range(3)]
    await ctx.join(*beside)
    ctx.schedule_activity_on_session("insist", input, session)
    await ctx.dequeue_event("go")
    ctx.close_session(session)
    await ctx.schedule_timer(timedelta(seconds=60))
    return "done"


@scenario(
    covers=["23.8", "SS-6.10", "SS-15.6", "SS-22.8"],
    workers=2,
    situations=["session.late_completion_dropped", "process.stalled"],
    options=MINUTE,
)
async def completion_queued_before_close_is_dropped(world: World) -> None:
    """A completion waiting in the queue when the close commits is ignored later."""
    turns, worker = _one_for_turns_one_for_work(world, _closes_when_told)
    work_s = 1 + world.draw("seconds of work", 3)
    await start(world, _closes_when_told, "i", input=str(work_s))
    await world.until(lambda: bool(session_starts(world)))
    await world.quiet()  # the fetch of a waits at the store; what it gets, a hears when it goes on
    turns.stall(work_s + 0.5 * (1 + world.draw("half seconds beyond", 3)))
    before = len(_turns(world))
    await world.client.enqueue_event("i", "go", "")
    await world.until(lambda: len(_turns(world)) > before)
    fetched = _turns(world)[-1]
    acked = await world.commit(_acks_work)
    closing = await world.commit(closes)
    late = await world.commit(gets_turn)
    status = await world.finished("i", check=False)
    history = await world.history("i")
    with world.oracle("23.8"):
        id = session_starts(world)[0].activity_id
        assert fetched.process == turns.name and acked.process == worker.name, (fetched, acked)
        assert fetched.position < acked.position < closing.position < late.position
        assert isinstance(done := acked.arguments["completion"], Completion) and done.id == id, acked
        assert isinstance(fetched.result, FetchedTurn) and isinstance(late.result, FetchedTurn)
        assert closing.arguments["token"] == fetched.result.token, (fetched, closing)
        batch = late.result.item.messages
        assert [one.id for one in batch if isinstance(one, Completion)] == [id] and len(batch) == 1, batch
        dropped = concluded(ack_of(world.commits, late))
        assert dropped.delta == [] and dropped.status is None, dropped
        named = {"instance_id": "i", "execution_id": 1, "activity_id": id, "session_id": "s"}
        assert only(world, "session.late_completion_dropped").fields == named
        assert id not in completed(history), history
        assert requests(history) == [(id, "session_closed")], history
        assert isinstance(status, Completed), status


async def _awaits_what_it_closed(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    beside = [ctx.schedule_activity("look", str(n)) for n in range(3)]
    await ctx.join(*beside)
    asked = ctx.schedule_activity_on_session("insist", input, session)
    await ctx.dequeue_event("first")
    await ctx.dequeue_event("go")
    ctx.close_session(session)
    return await asked


@scenario(
    covers=["23.9", "SS-6.11"], workers=2, situations=["session.closed", "process.stalled"], options=MINUTE
)
async def completion_recorded_before_close_is_kept(world: World) -> None:
    """What was recorded before the close is delivered, in whichever order the batch has the two."""
    turns, worker = _one_for_turns_one_for_work(world, _awaits_what_it_closed)
    work_s = 1 + world.draw("seconds of work", 3)
    completion_first = world.draw("which comes first", 2) == 0
    await start(world, _awaits_what_it_closed, "i", input=str(work_s))
    await world.until(lambda: bool(session_starts(world)))
    await world.quiet()
    turns.stall(work_s + 0.5 * (1 + world.draw("half seconds beyond", 3)))
    before = len(_turns(world))
    await world.client.enqueue_event("i", "first", "")
    await world.until(lambda: len(_turns(world)) > before)
    if completion_first:
        await world.commit(_acks_work)
    await world.client.enqueue_event("i", "go", "")
    status = await world.finished("i", check=False)
    history = await world.history("i")
    with world.oracle("23.9"):
        id = session_starts(world)[0].activity_id
        both = _turns(world)[-1]
        assert isinstance(both.result, FetchedTurn), both
        kinds = [Completion, QueueMessage] if completion_first else [QueueMessage, Completion]
        assert [type(message) for message in both.result.item.messages] == kinds, both
        recorded = [
            event.event_id for event in of_kind(history, ActivityCompleted) if event.source_event_id == id
        ]
        closed = [event.event_id for event in of_kind(history, SessionClosed)]
        assert len(recorded) == len(closed) == 1 and recorded < closed, history
        assert max(event.event_id for event in of_kind(history, QueueEvent)) < closed[0], history
        assert requests(history) == [], history
        assert isinstance(status, Completed), status
        value = seen(status.output)
        assert (value.owner, value.session, value.input) == (worker.worker_id, "s", str(work_s)), value


async def _closes_at_twelve(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    ctx.schedule_activity_on_session(input, "20", session)
    beside = [ctx.schedule_activity("look", str(n)) for n in range(2)]
    await ctx.schedule_timer(timedelta(seconds=12))
    ctx.close_session(session)
    await ctx.join(*beside)
    await ctx.schedule_timer(timedelta(seconds=60))
    return "done"


def _with_one_that_stops_slowly() -> Registry:
    registry = running(_closes_at_twelve)()

    @registry.activity("stop slowly")
    async def stop_slowly(ctx: ActivityContext, input: str) -> None:
        await ctx.cancelled()
        await asyncio.sleep(0.3)

    return registry


@scenario(
    covers=["23.16", "SS-6.8", "SS-6.9", "SS-7.14", "SS-7.21"],
    situations=["session.closed_while_running", "handler.signalled_lost", "session.late_completion_refused"],
    options={**MINUTE, "worker_concurrency": 4},
)
async def timeline_close_with_inflight(world: World) -> None:
    """Worked timeline W7: an activity runs while its session is closed."""
    owner = world.worker("a", _with_one_that_stops_slowly)
    apart_s = world.draw("seconds between the two", 6)
    claims, rows = {}, {}
    for instance, activity in (("i", "stop slowly"), ("j", "insist")):
        await start(world, _closes_at_twelve, instance, input=activity)
        await world.until(lambda: bool(deliveries(world.commits, "s", instance)))  # noqa: B023 - at once
        claims[instance] = deliveries(world.commits, "s", instance)[0]
        rows[instance] = world.session(instance, "s")
        await world.sleep(apart_s)
    for instance in ("i", "j"):
        await world.finished(instance, check=False)
    with world.oracle("23.16"):
        for instance, claim in claims.items():
            until = claim.provider_ms + D_MS
            assert rows[instance] == SessionRecord(instance, "s", owner.worker_id, until), (claim, rows)
            await _closed_at_twelve(world, instance, claim)
        calls_of_q1, told_of_q1 = _life_of(world, claims["i"])  # lines 25 and 25.3: 13 s after the close
        assert calls_of_q1 == [(25, "renew_work_item_lock"), (25.3, "abandon_work_item")], calls_of_q1
        assert told_of_q1 == [(25, "item_lost"), (25.3, "discarded")], told_of_q1
        calls_of_q1, told_of_q1 = _life_of(
            world, claims["j"]
        )  # below the table: a handler that returns at 20
        assert calls_of_q1 == [(20, "ack_work_item"), (20, "abandon_work_item")], calls_of_q1
        assert told_of_q1 == [(20, "completed")], told_of_q1
        batches = [one.result.item.messages for one in world.commits if isinstance(one.result, FetchedTurn)]
        late = [one for batch in batches for one in batch if isinstance(one, Completion)]
        assert ("j", item_of(claims["j"]).id) not in [(one.instance, one.id) for one in late], late


async def _closed_at_twelve(world: World, instance: str, claim: Commit) -> None:
    """Lines 12 and 30 of the table: the close, and the lease that is dropped."""
    closing = next(one for one in world.commits if closes(one, instance))
    assert since(claim, closing) == 12, closing
    scheduled = [one for one in of_kind(await world.history(instance), ActivityScheduled) if one.session_id]
    delta = concluded(closing).delta
    assert session_events(delta) == [("SessionClosed", "s")], delta
    assert requests(delta) == [(scheduled[0].event_id, "session_closed")], delta
    renewed = renewals(world.commits, "s", instance)
    assert [(since(claim, one), refused(one)) for one in renewed] == [(30, True)], renewed
    ends = told(world, LeaseEnded, instance=instance)
    assert [(since(claim, one), one.event.cause, one.event.in_flight) for one in ends] == [(30, "lost", 0)]


def _life_of(world: World, claim: Commit) -> tuple[list[tuple[float, str]], list[tuple[float, str]]]:
    """By seconds since an item was handed out: the calls about it, all refused; its signal and its stop."""
    token = work_of(claim).token
    made = [one for one in world.commits if one.arguments.get("token") == token]
    assert all(refused(one) for one in made), made
    heard: list[tuple[float, str]]
    heard = [(since(claim, one), one.event.cause) for one in signals(world) if one.event.token == token]
    stops = [one for one in told(world, HandlerStopped) if one.event.token == token]
    heard += [(since(claim, one), one.event.outcome) for one in stops]
    return [(since(claim, one), one.operation) for one in made], heard
