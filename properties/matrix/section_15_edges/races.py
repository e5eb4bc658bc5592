"""Matrix section 15, the races: claims, closes and lock expiries that meet work under way."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from itertools import product
from typing import Final

from holdfast.core import OrchestrationContext
from holdfast.core.client import Completed
from holdfast.core.contract.events import ActivityCancelRequested, StoredEvent
from holdfast.core.contract.provider import FetchedTurn, FetchedWork, Provider
from holdfast.core.contract.store import SessionRecord
from holdfast.properties.matrix.parts.conversations import (
    MINUTE,
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
from holdfast.properties.matrix.parts.deliveries import calls, deliveries, first_delivery, owner_of, refused
from holdfast.properties.matrix.parts.rows import assert_held, look, looks_every
from holdfast.properties.matrix.parts.told import at, session_starts, signals
from holdfast.properties.matrix.parts.turns_by_hand import D, begin, fetch, item, records, sessions_named
from holdfast.sim.toolkit.bench import Bench
from holdfast.sim.toolkit.scenario import scenario
from holdfast.sim.toolkit.world import World
from holdfast.traces.record import Commit

ITEM_RENEWAL_S: Final = 25
"""I; the lock of an item is renewed at 25, 50, ... s after its delivery."""


async def _with_one_open_session(provider: Provider, instance: str, *, behind: str | None) -> None:
    """An instance with session s open and unclaimed, an item of it queued, and perhaps another one behind."""
    work = [item(3, "s", instance)]
    if behind is not None:
        work.append(item(4, "s" if behind == "session" else None, instance))
    await begin(provider, instance, opened=sessions_named(f"{instance}/s"), work=work)


async def _claim(provider: Provider, worker: str, turns_to_wait: int) -> FetchedWork | None:
    for _ in range(turns_to_wait):
        await asyncio.sleep(0)
    return await fetch(provider, worker)


@scenario(covers=["15.1", "SS-4.4", "SS-12.5"], workers=2, level="provider")
async def two_workers_race_to_claim_same_session(bench: Bench) -> None:
    """Simultaneous claims have one winner."""
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
            *(_claim(contenders[worker], worker, wait) for worker, wait in zip(order, waits, strict=True))
        )
        sessions = [work.item.session_id if work is not None else None for work in fetched]
        assert sessions.count("s") == 1, (order, fetched)
        winner = sessions.index("s")
        loser = fetched[1 - winner]
        if behind == "plain":
            assert loser is not None and loser.item.id == 4, (order, fetched)
        else:
            assert loser is None, (order, fetched)
        until = bench.clock.now_ms() + D
        assert records(bench, instance) == [SessionRecord(instance, "s", order[winner], until)], records(
            bench
        )
        if behind == "session":
            rest = await _claim(contenders[order[winner]], order[winner], 0)
            assert rest is not None and rest.item.id == 4, (order, rest)


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
    await world.until(lambda: len(session_starts(world)) == 2)
    await world.until(lambda: not world.sessions())
    closed = len(world.commits)
    assert isinstance(await world.finished("i", check=False), Completed)
    return closed


@scenario(
    covers=["15.2", "SS-6.5", "SS-6.8", "SS-6.9"],
    situations=["session.closed_while_running", "item.renewal_refused", "handler.signalled_lost"],
    options=MINUTE,
)
async def close_during_inflight_activity(world: World) -> None:
    """A close takes the running activity's item away."""
    close_s = (3, 11, 28, 36, 53)[world.draw("seconds before the close", 5)]
    closed = await _close_under_work(world, close_s, close_s + 4, "insist")
    long, short = (one.token for one in sorted(session_starts(world), key=lambda one: one.activity_id))
    with world.oracle("15.2"):
        latest = at(world.commits[closed - 1]) + ITEM_RENEWAL_S
        after = world.commits[closed:]
        renewed = sole(calls(after, "renew_work_item_lock", token=long))
        assert refused(renewed) and at(renewed) <= latest, renewed
        signal = sole(signals(world))
        assert signal.event.token == long and at(signal) <= latest, signal
        assert not calls(after, "ack_work_item", token=long), after
        assert refused(sole(calls(after, "ack_work_item", token=short))), after
        _no_completion_of_the_session(world, await world.history("i"))


def _no_completion_of_the_session(world: World, history: list[StoredEvent]) -> None:
    """Neither in a batch that a turn got, nor in history."""
    ids = {event.activity_id for event in session_starts(world)}
    batches = [one.result.item.messages for one in world.commits if isinstance(one.result, FetchedTurn)]
    told = [message for batch in batches for message in batch if getattr(message, "id", None) in ids]
    assert not told, told
    assert not answers_to(history, *ids), history


@scenario(
    covers=["15.4", "SS-6.9", "SS-12.13"],
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
        late = max(session_starts(world), key=lambda event: event.activity_id)
        ack = sole(calls(world.commits[closed:], "ack_work_item", token=late.token))
        assert ack.arguments["completion"] is not None and refused(ack), ack
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
    situations=["instance.continued_while_running", "session.carried_over", "session.used_after_carry"],
    options=MINUTE,
)
async def continue_as_new_during_inflight_session_activity(world: World) -> None:
    """Continue-as-new cancels the running activity and keeps the session."""
    owner = world.worker("a", running(_continues_under_work))
    seconds = 7 * (1 + world.draw("seconds before continuing / 7", 9))
    await start(world, _continues_under_work, "i", input=str(seconds))
    status = await world.finished("i", check=False)
    with world.oracle("15.5"):
        old, new = await world.history("i", 1), await world.history("i", 2)
        ran = session_starts(world)[0]
        assert [event.source_event_id for event in of_kind(old, ActivityCancelRequested)] == [ran.activity_id]
        assert [one.event.token for one in signals(world)] == [ran.token], signals(world)
        assert ran.activity_id not in completed(old) and len(completed(new)) == 1, (old, new)
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
    workers = two_workers(world, _long_then_short)
    second_s = 40 * world.draw("seconds before the second / 40", 12)
    await start(world, _long_then_short, "i", input=str(second_s))
    await first_delivery(world)
    owner = owner_of(world, workers)
    looks = [look(world), *await looks_every(world, 20, times=29)]
    status = await world.finished("i", check=False)
    with world.oracle("15.6"):
        assert_held(looks, owner)
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
    status = await world.finished("i", check=False)
    with world.oracle("15.10"):
        assert fetched is not None and isinstance(fetched.result, FetchedTurn), fetched
        assert rejected.arguments["token"] == fetched.result.token, (fetched, rejected)
        assert refused(rejected), rejected
        won = calls(world.commits[fetched.position + 1 :], "ack_orchestration_item")[0]
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
    acked = {one.arguments["token"] for one in calls(world.commits, "ack_orchestration_item")}
    for commit in reversed(world.commits):
        if commit.process == process and isinstance(commit.result, FetchedTurn):
            return None if commit.result.token in acked else commit
    return None
