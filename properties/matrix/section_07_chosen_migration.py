"""Matrix section 7: migration decided by the orchestration: close, and open again."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

from holdfast.core import OrchestrationContext
from holdfast.core.client import Completed
from holdfast.core.contract.events import ActivityScheduled, TimerFired
from holdfast.core.contract.observe import HandlerStarted
from holdfast.core.contract.store import SessionRecord
from holdfast.core.contract.work_items import ActivityCompletedMessage as CompletionMessage
from holdfast.properties.matrix.parts.closings import gets_turn, lists_closed, requests, turn_ack
from holdfast.properties.matrix.parts.conversations import (
    MINUTE,
    answer,
    answers_to,
    completed,
    encoded,
    observations,
    of_kind,
    running,
    session_events,
    sole,
    start,
    two_workers,
)
from holdfast.properties.matrix.parts.deliveries import calls, deliveries
from holdfast.properties.matrix.parts.rows import rows_of
from holdfast.properties.matrix.parts.session_log import fields_of
from holdfast.properties.matrix.parts.told import at, signals, starts, told
from holdfast.sim import FaultBudget, World, scenario
from holdfast.traces.record import Commit

R_S: Final = 30
"""Half of D, in seconds."""


async def _moves(ctx: OrchestrationContext, input: str) -> str:
    here = ctx.open_session_with_id("s")
    first = await ctx.schedule_activity_on_session("look", "", here)
    await ctx.dequeue_event("close")
    ctx.close_session(here)
    await ctx.dequeue_event("reopen")
    there = ctx.open_session_with_id(input)
    both = [ctx.schedule_activity_on_session("work", seconds, there) for seconds in ("1", "2")]
    return encoded([first, *await ctx.join(*both)])


async def _occupies(ctx: OrchestrationContext, input: str) -> None:
    session = ctx.open_session_with_id("busy")
    await ctx.schedule_activity_on_session("look", "", session)
    await ctx.dequeue_event("occupy")
    await ctx.join(*(ctx.schedule_activity_on_session("insist", "100", session) for _ in range(2)))


@scenario(
    covers=["7.1", "SS-9.6"],
    workers=2,
    options=MINUTE,
    situations=["session.closed", "session.reopened", "session.claimed"],
    level="multi-runtime",
)
async def close_reopen_different_worker(world: World) -> None:
    """After close and open no worker is preferred."""
    first = world.worker("a", running(_moves, _occupies))
    new_id = ("s", "t")[world.draw("a new id", 2)]
    blocked = world.draw("first worker has a free slot", 2) == 0
    await start(world, _moves, "i", input=new_id)
    await start(world, _occupies, "other")
    await world.until(
        lambda: bool(deliveries(world.commits, "s", "i") and deliveries(world.commits, "busy", "other"))
    )
    second = world.worker("b", running(_moves, _occupies))
    await world.client.enqueue_event("i", "close", "")
    closed = (await world.commit(lists_closed)).position
    if blocked:
        await world.client.enqueue_event("other", "occupy", "")
        await world.until(lambda: len(told(world, HandlerStarted, instance="other")) == 3)
    await world.client.enqueue_event("i", "reopen", "")
    await world.until(lambda: any(one.position > closed for one in deliveries(world.commits, new_id, "i")))
    row = world.session("i", new_id)
    status = await world.finished("i", check=False)
    with world.oracle("7.1"):
        before, *after = observations(status)
        assert before.owner == first.worker_id, before
        assert [one.session for one in after] == [new_id, new_id], after
        assert row is not None and {one.owner for one in after} == {row.worker_id}, (row, after)
        taker = second if row.worker_id == second.worker_id else first
        served = [one.process for one in deliveries(world.commits, new_id, "i") if one.position > closed]
        assert served == [taker.name] * 2, (served, row)
        assert taker is second or not blocked, "all slots of the former owner are busy"


async def _pauses(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    await ctx.schedule_activity_on_session("look", "use", session)
    await ctx.schedule_activity_on_session("work", "1", session)  # dehydrates
    ctx.close_session(session)
    await ctx.schedule_timer(timedelta(seconds=int(input)))
    again = ctx.open_session_with_id("s")
    return await ctx.schedule_activity_on_session("work", "2", again)  # hydrates


class _Gaps:
    """Rows of each instance that were there between its close ack and the ack that opened again."""

    def __init__(self, world: World) -> None:
        self.acks: dict[str, list[str]] = {}
        self.rows_in_gap: list[SessionRecord] = []
        self._world = world

    def __call__(self, commit: Commit) -> bool:
        """Whether every instance has closed and opened again."""
        ack = turn_ack(commit)
        if ack is not None:
            metadata = ack.metadata
            for kind, listed in (("open", metadata.opened_sessions), ("close", metadata.cancelled_sessions)):
                for one in listed:
                    self.acks.setdefault(one.instance, []).append(kind)
        self.rows_in_gap += [
            row for row in self._world.sessions() if self.acks.get(row.instance_id, [])[-1:] == ["close"]
        ]
        return len(self.acks) == 2 and all(
            acks[:3] == ["open", "close", "open"] for acks in self.acks.values()
        )


@scenario(
    covers=["7.2", "SS-9.7", "SS-6.15"],
    workers=2,
    options=MINUTE,
    situations=["session.closed", "session.reopened"],
    level="multi-runtime",
)
async def dehydrate_close_timer_open_hydrate(world: World) -> None:
    """The full pause pattern runs through."""
    two_workers(world, _pauses)
    gaps = _Gaps(world)
    pauses = [str(1 + 35 * world.draw("seconds of the pause / 35", 4)) for _ in range(2)]
    await asyncio.gather(
        world.commit(gaps),
        start(world, _pauses, "i", input=pauses[0]),
        start(world, _pauses, "j", input=pauses[1]),
    )
    statuses = {instance: await world.finished(instance, check=False) for instance in ("i", "j")}
    with world.oracle("7.2"):
        assert gaps.rows_in_gap == [], gaps.rows_in_gap
        for instance, status in statuses.items():
            assert isinstance(status, Completed), status
            history = await world.history(instance)
            inputs = {event.event_id: event.input for event in of_kind(history, ActivityScheduled)}
            started = [
                inputs[one.event.activity_id] for one in told(world, HandlerStarted, instance=instance)
            ]
            assert started == ["use", "1", "2"], f"dehydrate is 1, hydrate is 2: {started}"
            expected = [("SessionOpened", "s"), ("SessionClosed", "s"), ("SessionOpened", "s")]
            assert session_events(history) == expected, history
            (fired,) = of_kind(history, TimerFired)
            hydrate = next(event for event in of_kind(history, ActivityScheduled) if event.input == "2")
            assert fired.event_id < hydrate.event_id, history


async def _closes_in_flight(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    done = ctx.schedule_activity_on_session("work", "1", session)
    long = ctx.schedule_activity_on_session("work", "500", session)
    await done
    await ctx.schedule_timer(timedelta(seconds=int(input)))
    ctx.close_session(session)
    winner, _ = await ctx.select(long, ctx.schedule_timer(timedelta(seconds=5 * R_S)))
    return encoded([winner])


@scenario(
    covers=["7.3", "SS-6.8", "SS-6.5", "SS-6.6"],
    options=MINUTE,
    situations=["session.closed_while_running", "handler.signalled_lost"],
)
async def close_cancels_inflight_session_activities(world: World) -> None:
    """Closing cancels what is still running."""
    item_lock_s = (30, 100)[world.draw("renewals of the item come late", 2)]
    bound_s = min(item_lock_s - 5, R_S)
    world.worker("a", running(_closes_in_flight), worker_lock_timeout=timedelta(seconds=item_lock_s))
    beside = 2 + 9 * world.draw("seconds before the close / 9", 8)
    await start(world, _closes_in_flight, "i", "j", input=str(beside))
    closing = await world.commit(lists_closed)
    left = rows_of(world, "i"), [row for row in world.worker_rows() if row.item and row.item.instance == "i"]
    status = await world.finished("i", check=False)
    await world.finished("j", check=False)
    with world.oracle("7.3"):
        history = await world.history("i")
        scheduled = of_kind(history, ActivityScheduled)
        (long,) = (event.event_id for event in scheduled if event.input == "500")
        assert requests(history) == [(long, "session_closed")], requests(history)
        assert left == ([], []), left
        token = next(one.token for one in starts(world, instance="i") if one.activity_id == long)
        signal = sole([one for one in signals(world) if one.event.token == token])
        assert 0 <= at(signal) - at(closing) <= bound_s, (signal, closing)
        assert long not in completed(history) and answer(status) == [1], status


async def _closes_then_waits(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    late = ctx.schedule_activity_on_session("insist", "300", session)
    await ctx.schedule_activity_on_session("look", "", session)
    ctx.close_session(session)
    again = await ctx.schedule_activity("work", "20")
    if input == "reopen":
        await ctx.schedule_activity_on_session("look", "", ctx.open_session_with_id("s"))
    winner, value = await ctx.select(late, ctx.schedule_timer(timedelta(seconds=20)))
    return encoded([winner, value, again])


@scenario(
    covers=["7.4", "SS-6.9", "SS-6.10"],
    faults=FaultBudget(slow_call=1, slow_answer=1),
    options=MINUTE,
    situations=["session.late_completion_dropped"],
)
async def close_ignores_late_completions(world: World) -> None:
    """A completion arriving after the close has no effect."""
    world.worker("a", running(_closes_then_waits))
    await start(world, _closes_then_waits, "i", input=("", "reopen")[world.draw("opened again", 2)])
    await world.commit(lists_closed)
    (scheduled,) = (
        one for one in of_kind(await world.history("i"), ActivityScheduled) if one.name == "insist"
    )
    for _ in range(1 + world.draw("copies", 2)):
        await world.sleep(9 * world.draw("seconds later / 9", 5))
        await world.provider.enqueue_for_orchestrator(
            CompletionMessage(instance="i", execution_id=1, id=scheduled.event_id, result="late")
        )
    status = await world.finished("i", check=False)
    await world.sleep(125)  # a turn is logged when the answer of its ack is there, and that may be slow
    with world.oracle("7.4"):
        history = await world.history("i")
        assert answers_to(history, scheduled.event_id) == [], history
        winner, value, again = answer(status)
        assert (winner, value) == (1, None) and again, status
        dropped = [one["activity_id"] for one in fields_of(world, "session.late_completion_dropped")]
        late = next(
            one.position
            for one in calls(world.commits, "enqueue_for_orchestrator")
            if isinstance(one.arguments["item"], CompletionMessage)
        )
        ended = [one.position for one in world.commits if gets_turn(one)][-1] < late
        assert ended or scheduled.event_id in dropped, dropped
