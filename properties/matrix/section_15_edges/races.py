"""Matrix section 15, the races: claims, closes and lock expiries that meet work under way."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from itertools import product
from typing import Any, Final

from holdfast.core import OrchestrationContext
from holdfast.core.client import Completed
from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.events import (
    ActivityCancelRequested,
    ActivityCompleted,
    ActivityFailed,
    OrchestrationStarted,
)
from holdfast.core.contract.ids import Millis
from holdfast.core.contract.observe import HandlerSignalled, HandlerStarted
from holdfast.core.contract.provider import (
    ExecutionMetadata,
    FetchedTurn,
    FetchedWork,
    Provider,
    ScheduledSessionIdentifier,
    Version,
)
from holdfast.core.contract.store import inspectable
from holdfast.core.contract.work_items import ActivityExecute, StartOrchestration
from holdfast.properties.matrix.parts.conversations import (
    MINUTE,
    encoded,
    observations,
    of_kind,
    running,
    session_events,
    start,
)
from holdfast.properties.matrix.parts.deliveries import (
    delivered,
    deliveries,
    of_session,
    owner_of,
)
from holdfast.sim.toolkit.bench import Bench
from holdfast.sim.toolkit.scenario import scenario
from holdfast.sim.toolkit.world import World
from holdfast.traces.record import Commit

LOCK: Final = Millis(30_000)
D_MS: Final = Millis(60_000)
ITEM_RENEWAL_US: Final = 25_000_000
"""I; the lock of an item is renewed at 25, 50, ... s after its delivery."""


async def _with_one_open_session(provider: Provider, instance: str, *, behind: str | None) -> None:
    """An instance with session s open and unclaimed, an item of it queued, and perhaps another one behind."""
    await provider.enqueue_for_orchestrator(
        StartOrchestration(instance=instance, orchestration="flow", input="", version="1.0.0", execution_id=1)
    )
    turn = await provider.fetch_orchestration_item(Millis(5_000), Millis(0))
    assert turn is not None and turn.item.instance == instance, turn
    items = [ActivityExecute(instance=instance, execution_id=1, id=3, name="x", input="", session_id="s")]
    if behind is not None:
        session_id = "s" if behind == "session" else None
        items.append(
            ActivityExecute(
                instance=instance, execution_id=1, id=4, name="x", input="", session_id=session_id
            )
        )
    started = OrchestrationStarted(
        event_id=1,
        instance_id=instance,
        execution_id=1,
        timestamp_ms=0,
        duroxide_version="0.1.32",
        name="flow",
        version="1.0.0",
        input="",
    )
    await provider.ack_orchestration_item(
        turn.token,
        execution_id=1,
        history_delta=[started],
        worker_items=items,
        orchestrator_items=[],
        metadata=ExecutionMetadata(
            orchestration_name="flow",
            orchestration_version="1.0.0",
            pinned_duroxide_version=Version(0, 1, 32),
            opened_sessions=[ScheduledSessionIdentifier(instance, "s")],
        ),
        cancelled_activities=[],
    )


async def _claim(provider: Provider, worker: str, turns_to_wait: int, poll: Millis) -> FetchedWork | None:
    for _ in range(turns_to_wait):
        await asyncio.sleep(0)
    return await provider.fetch_session_work_item(LOCK, poll, worker_id=worker, session_lock_duration=D_MS)


@scenario(covers=["15.1", "SS-4.4", "SS-12.5"], workers=2, level="provider")
async def two_workers_race_to_claim_same_session(bench: Bench) -> None:
    """Simultaneous claims have one winner."""
    store = inspectable(bench.store, "session_records")
    contenders = {"A": bench.provider, "B": bench.open()}
    meetings = [
        (order, waits, behind)
        for order in (("A", "B"), ("B", "A"))
        for waits in product(range(4), range(4))
        for behind in (None, "plain", "session")
    ]
    for number, (order, waits, behind) in enumerate(meetings):
        instance = f"i{number}"
        await _with_one_open_session(bench.provider, instance, behind=behind)
        fetched = await asyncio.gather(
            *(
                _claim(contenders[worker], worker, wait, Millis(0))
                for worker, wait in zip(order, waits, strict=True)
            )
        )
        sessions = [work.item.session_id if work is not None else None for work in fetched]
        assert sessions.count("s") == 1, (order, fetched)
        winner = sessions.index("s")
        loser = fetched[1 - winner]
        if behind == "plain":
            assert loser is not None and loser.item.id == 4, (order, fetched)
        else:
            assert loser is None, (order, fetched)
        rows = [row for row in store.session_records() if row.instance_id == instance]
        assert len(rows) == 1, rows
        assert (rows[0].worker_id, rows[0].locked_until) == (order[winner], bench.clock.now_ms() + D_MS), rows
        if behind == "session":
            rest = await _claim(contenders[order[winner]], order[winner], 0, Millis(0))
            assert rest is not None and rest.item.id == 4, (order, rest)


def _after_the_close(world: World, closed: int, operation: str) -> list[Commit]:
    return [commit for commit in world.commits[closed:] if commit.operation == operation]


def _item_ids(world: World) -> dict[object, int]:
    """Activity id by the token of each delivery."""
    return {work.token: work.item.id for one in world.commits if (work := delivered(one)) is not None}


async def _closes_under_work(ctx: OrchestrationContext, input: str) -> str:
    close_s, short_s, kind = input.split()
    session = ctx.open_session_with_id("s")
    beside = [ctx.schedule_activity("look", str(n)) for n in range(3)]
    ctx.schedule_activity_on_session("work", "500", session)
    ctx.schedule_activity_on_session(kind, short_s, session)
    await ctx.schedule_timer(timedelta(seconds=float(close_s)))
    ctx.close_session(session)
    await ctx.join(*beside)
    await ctx.schedule_timer(timedelta(seconds=60))
    return "done"


async def _close_under_work(world: World, close_s: int, short_s: int, kind: str) -> int:
    """Run to the end; the position after the ack of the close. Both activities run from the beginning."""
    world.worker("a", running(_closes_under_work))
    await start(world, _closes_under_work, "i", input=f"{close_s} {short_s} {kind}")
    await world.until(lambda: len(_session_starts(world)) == 2)
    await world.until(lambda: not world.sessions())
    closed = len(world.commits)
    assert isinstance(await world.finished("i"), Completed)
    return closed


def _session_starts(world: World) -> list[HandlerStarted]:
    return [
        local.event
        for local in world.locals
        if isinstance(local.event, HandlerStarted) and local.event.session_id == "s"
    ]


def _signals(world: World) -> list[tuple[str, int]]:
    """Token and time of every signal to a handler."""
    return [
        (local.event.token, local.time_us)
        for local in world.locals
        if isinstance(local.event, HandlerSignalled)
    ]


@scenario(
    covers=["15.2", "SS-6.5", "SS-6.8", "SS-6.9"],
    workers=1,
    situations=["session.closed_while_running", "item.renewal_refused", "handler.signalled_lost"],
    options=MINUTE,
)
async def close_during_inflight_activity(world: World) -> None:
    """A close takes the running activity's item away."""
    close_s = (3, 11, 28, 36, 53)[world.draw("seconds before the close", 5)]
    closed = await _close_under_work(world, close_s, close_s + 4, "insist")
    long, short = (event.token for event in _session_starts(world))
    if _item_ids(world)[long] > _item_ids(world)[short]:
        long, short = short, long
    with world.oracle("15.2"):
        close_us = world.commits[closed - 1].time_us
        renewed = [
            one
            for one in _after_the_close(world, closed, "renew_work_item_lock")
            if one.arguments["token"] == long
        ]
        assert len(renewed) == 1 and isinstance(renewed[0].error, ProviderError), renewed
        assert not renewed[0].error.retryable and renewed[0].time_us <= close_us + ITEM_RENEWAL_US, renewed
        signals = _signals(world)
        assert [token for token, _ in signals] == [long], signals
        assert signals[0][1] <= close_us + ITEM_RENEWAL_US, signals
        acks = [
            one
            for one in _after_the_close(world, closed, "ack_work_item")
            if one.arguments["token"] in (long, short)
        ]
        assert [one.arguments["token"] for one in acks] == [short], acks
        assert acks[0].error is not None and not acks[0].error.retryable, acks
        _no_completion_of_the_session(world, await world.history("i"))


def _no_completion_of_the_session(world: World, history: list[Any]) -> None:
    """Neither in a batch that a turn got, nor in history."""
    ids = {event.activity_id for event in _session_starts(world)}
    batches = [one.result.item.messages for one in world.commits if isinstance(one.result, FetchedTurn)]
    told = [message for batch in batches for message in batch if getattr(message, "id", None) in ids]
    assert not told, told
    recorded = [
        event
        for event in history
        if isinstance(event, ActivityCompleted | ActivityFailed) and event.source_event_id in ids
    ]
    assert not recorded, recorded


@scenario(
    covers=["15.4", "SS-6.9", "SS-12.13"],
    workers=1,
    situations=["session.closed_while_running", "session.late_completion_refused"],
    options=MINUTE,
)
async def activity_completes_after_session_close(world: World) -> None:
    """A late item ack is refused and yields nothing."""
    close_s = (3, 11, 28, 36, 53)[world.draw("seconds before the close", 5)]
    late_s = close_s + 1 + world.draw("seconds after the close", 8)
    closed = await _close_under_work(world, close_s, late_s, "insist")
    depths = await world.client.get_queue_depths()
    with world.oracle("15.4"):
        late = max(_session_starts(world), key=lambda event: event.activity_id)
        acks = [
            one
            for one in _after_the_close(world, closed, "ack_work_item")
            if one.arguments["token"] == late.token
        ]
        assert len(acks) == 1 and acks[0].arguments["completion"] is not None, acks
        assert acks[0].error is not None and not acks[0].error.retryable, acks
        assert depths.orchestrator_queue == 0, depths
        _no_completion_of_the_session(world, await world.history("i"))


async def _continues_under_work(ctx: OrchestrationContext, input: str) -> str:
    if ctx.execution_id > 1:
        answer = await ctx.schedule_activity_on_session("look", "after", "s")
        await ctx.schedule_timer(timedelta(seconds=40))
        ctx.close_session("s")
        return encoded([answer])
    session = ctx.open_session_with_id("s")
    beside = [ctx.schedule_activity("look", str(n)) for n in range(3)]
    ctx.schedule_activity_on_session("work", "500", session)
    await ctx.join(*beside)
    await ctx.schedule_timer(timedelta(seconds=float(input)))
    await ctx.continue_as_new("")
    raise AssertionError("continue_as_new never resolves")


@scenario(
    covers=["15.5", "SS-17.6", "SS-17.4"],
    workers=1,
    situations=["instance.continued_while_running", "session.carried_over", "session.used_after_carry"],
    options=MINUTE,
)
async def continue_as_new_during_inflight_session_activity(world: World) -> None:
    """Continue-as-new cancels the running activity and keeps the session."""
    owner = world.worker("a", running(_continues_under_work))
    seconds = 7 * (1 + world.draw("seconds before continuing / 7", 9))
    await start(world, _continues_under_work, "i", input=str(seconds))
    status = await world.finished("i")
    with world.oracle("15.5"):
        old, new = await world.history("i", 1), await world.history("i", 2)
        running_id = _session_starts(world)[0].activity_id
        assert [event.source_event_id for event in of_kind(old, ActivityCancelRequested)] == [running_id], old
        signalled = [token for token, _ in _signals(world)]
        assert signalled == [_session_starts(world)[0].token], signalled
        done = [event.source_event_id for event in of_kind(old, ActivityCompleted)]
        assert running_id not in done, old
        assert len(of_kind(new, ActivityCompleted)) == 1, new
        assert [(entry.owner, entry.session) for entry in observations(status)] == [(owner.worker_id, "s")]


async def _long_then_short(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    beside = [ctx.schedule_activity("look", str(n)) for n in range(3)]
    long = ctx.schedule_activity_on_session("work", "600", session)
    await ctx.join(*beside)
    await ctx.schedule_timer(timedelta(seconds=float(input)))
    short = ctx.schedule_activity_on_session("look", "", session)
    answers = await ctx.join(long, short)
    ctx.close_session(session)
    return encoded(answers)


@scenario(
    covers=["15.6", "SS-8.6", "SS-7.6", "SS-7.8"],
    workers=2,
    situations=["session.renewed_by_item", "session.shared_by_slots"],
    level="multi-runtime",
    options={
        **MINUTE,
        "session_idle_timeout": timedelta(seconds=15),
        "dispatcher_long_poll_timeout": timedelta(minutes=5),
    },
)
async def session_lock_expires_during_activity(world: World) -> None:
    """A long activity keeps its session although the idle timeout is much shorter."""
    workers = [world.worker(name, running(_long_then_short)) for name in ("a", "b")]
    await start(
        world, _long_then_short, "i", input=str(40 * world.draw("seconds before the second / 40", 12))
    )
    await world.commit(lambda commit: of_session(commit, "s"))
    owner = owner_of(world, workers, "i", "s")
    samples = []
    for _ in range(29):
        samples.append((world.provider_now_ms, world.session("i", "s")))
        await world.sleep(20)
    status = await world.finished("i")
    with world.oracle("15.6"):
        for now_ms, row in samples:
            assert row is not None and row.worker_id == owner.worker_id, (now_ms, row)
            assert row.locked_until is not None and row.locked_until > now_ms, (now_ms, row)
        assert {one.process for one in deliveries(world.commits, "s")} == {owner.name}
        assert [entry.owner for entry in observations(status)] == [owner.worker_id] * 2, status


async def _opens_and_closes(ctx: OrchestrationContext, input: str) -> str:
    for name in ("s", "t"):
        ctx.open_session_with_id(name)
    answers = [await ctx.schedule_activity_on_session("look", "1", "s")]
    ctx.close_session("t")
    ctx.open_session_with_id("u")
    answers.append(await ctx.schedule_activity_on_session("look", "2", "u"))
    await ctx.dequeue_event("go")
    ctx.close_session("s")
    ctx.open_session_with_id("v")
    answers.append(await ctx.schedule_activity_on_session("look", "3", "v"))
    await ctx.dequeue_event("end")
    return encoded(answers)


@scenario(
    covers=["15.10", "SS-15.5", "SS-12.12"],
    workers=2,
    situations=["process.stalled", "turn.redone", "ack.rejected"],
    level="fault",
    options=MINUTE,
)
async def session_survives_orchestration_lock_timeout(world: World) -> None:
    """A turn redone after losing the instance lock ends the same."""
    paused = world.worker("a", running(_opens_and_closes), orchestration_concurrency=1)
    first_turn = world.draw("which turn loses its lock", 2) == 0
    if not first_turn:
        await start(world, _opens_and_closes, "i")
    await world.quiet()  # its fetch waits at the store; what it gets, the worker hears only when it goes on
    paused.stall(7 + 2 * world.draw("seconds beyond the lock / 2", 6))
    if first_turn:
        await start(world, _opens_and_closes, "i")
    await world.client.enqueue_event("i", "go", "")
    await world.until(lambda: _turn_taken_by(world, paused.name) is not None)
    fetched = _turn_taken_by(world, paused.name)
    world.worker("b", running(_opens_and_closes))
    rejected = await world.commit(
        lambda commit: commit.process == paused.name and commit.operation == "ack_orchestration_item"
    )
    await world.sleep(20)
    rows = sorted(row.session_id for row in world.sessions())
    await world.client.enqueue_event("i", "end", "")
    status = await world.finished("i")
    with world.oracle("15.10"):
        assert fetched is not None and isinstance(fetched.result, FetchedTurn), fetched
        assert rejected.arguments["token"] == fetched.result.token, (fetched, rejected)
        assert rejected.error is not None and not rejected.error.retryable, rejected
        committed = [one for one in world.commits if one.operation == "ack_orchestration_item"]
        won = next(one for one in committed if one.position > fetched.position)
        assert won.process == "b" and won.took_effect and won.position < rejected.position, (won, rejected)
        assert rows == ["u", "v"], rows
        assert session_events(await world.history("i")) == [
            ("SessionOpened", "s"),
            ("SessionOpened", "t"),
            ("SessionClosed", "t"),
            ("SessionOpened", "u"),
            ("SessionClosed", "s"),
            ("SessionOpened", "v"),
        ]
        assert [entry.session for entry in observations(status)] == ["s", "u", "v"], status


def _turn_taken_by(world: World, process: str) -> Commit | None:
    """The latest turn that was handed to a process, if it is still its to ack."""
    acked = {one.arguments["token"] for one in world.commits if one.operation == "ack_orchestration_item"}
    for commit in reversed(world.commits):
        if commit.process == process and isinstance(commit.result, FetchedTurn):
            return None if commit.result.token in acked else commit
    return None
