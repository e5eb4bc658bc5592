"""Worked timelines of sessions.md section 26 that no row of the matrix is about: W2, W4, W6, W11, W12."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final, NamedTuple

from holdfast.core import OrchestrationContext
from holdfast.core.client import Completed
from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.events import OrchestrationStarted, SessionClosed
from holdfast.core.contract.observe import HandlerSignalled, LeaseEnded, LeaseTaken
from holdfast.core.contract.provider import TagFilter
from holdfast.core.contract.store import SessionRecord
from holdfast.properties.matrix.parts.closings import closes, concluded, requests, session_items
from holdfast.properties.matrix.parts.conversations import MINUTE, observations, of_kind, running, start
from holdfast.properties.matrix.parts.conversations import encoded as as_json
from holdfast.properties.matrix.parts.deliveries import delivered, renewals
from holdfast.properties.matrix.parts.told import session_starts
from holdfast.properties.matrix.parts.turns_by_hand import begin, fetch, item, items, row_of, sessions_named
from holdfast.sim.loop.virtual_time import EPOCH_MS
from holdfast.sim.toolkit.bench import Bench
from holdfast.sim.toolkit.handle import Handle
from holdfast.sim.toolkit.scenario import scenario
from holdfast.sim.toolkit.world import World
from holdfast.traces.record import Commit

ONLY_TURNS: Final = {"worker_concurrency": 0}
ONLY_WORK: Final = {"orchestration_concurrency": 0}


class Line(NamedTuple):
    """A line of a table: when, until when the item is locked, whose the session is, and until when."""

    t: float
    item_lock: float | None
    owner: str | None
    expiry: float | None


def _seconds(ms: int | None) -> float | None:
    return None if ms is None else (ms - EPOCH_MS) / 1000


def _line(world: World, instance: str = "i", id: int = 0) -> Line:
    """What is stored at this moment; the owner by its process's name, the item by its activity."""
    row = world.session(instance, "s")
    locks = [one.locked_until for one in session_items(world, instance) if one.item and one.item.id == id]
    owner = None if row is None or row.worker_id is None else row.worker_id
    return Line(
        world.now_us / 1_000_000,
        _seconds(locks[0]) if locks else None,
        owner,
        None if row is None else _seconds(row.locked_until),
    )


async def _at(world: World, matches: Callable[[Commit], bool], instance: str = "i", id: int = 0) -> Line:
    """The line right after the next such commit."""
    await world.commit(matches)
    return _line(world, instance, id)


def _called(operation: str) -> Callable[[Commit], bool]:
    return lambda commit: commit.operation == operation and commit.took_effect


def _fetched(instance: str) -> Callable[[Commit], bool]:
    def matches(commit: Commit) -> bool:
        work = delivered(commit)
        return work is not None and (work.item.instance, work.item.session_id) == (instance, "s")

    return matches


async def _beside(ctx: OrchestrationContext) -> None:
    """A few plain activities, so that there are many schedules."""
    await ctx.join(*(ctx.schedule_activity("look", str(n)) for n in range(4)))


async def _long_activity(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    asked = ctx.schedule_activity_on_session("insist", "70", session)
    await _beside(ctx)
    await asked
    await ctx.schedule_timer(timedelta(seconds=45))
    return "done"


@scenario(
    covers=["SS-7.4", "SS-7.6", "SS-7.8"],
    workers=2,
    situations=["session.renewed_by_item", "session.renewed_between"],
    options=MINUTE,
)
async def timeline_long_activity(world: World) -> None:
    """Worked timeline W2: the renewal of a long activity carries the session along."""
    world.worker("c", running(_long_activity), **ONLY_TURNS)
    owner = world.worker("a", running(_long_activity), worker_concurrency=3, **ONLY_WORK)
    await start(world, _long_activity, "i")
    await world.until(lambda: bool(session_starts(world)))
    id = session_starts(world)[0].activity_id
    lines = [_line(world, id=id)]
    for _ in range(2):
        lines.append(await _at(world, _called("renew_work_item_lock"), id=id))
    lines.append(await _at(world, _called("ack_work_item"), id=id))
    for _ in range(2):
        lines.append(await _at(world, _called("renew_session_lock"), id=id))
    status = await world.finished("i")
    with world.oracle("SS-7.4", "SS-7.6", "SS-7.8"):
        a = owner.worker_id
        assert lines == [
            Line(0, 30, a, 60),
            Line(25, 55, a, 85),
            Line(50, 80, a, 110),
            Line(70, None, a, 110),
            Line(80, None, a, 140),
            Line(110, None, a, 170),
        ], lines
        sent = [one.time_us / 1_000_000 for one in renewals(world.commits, "s")]
        assert sent[:2] == [80, 110], f"stand-alone calls at {sent}"
        assert isinstance(status, Completed), status


async def _idle(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    asked = ctx.schedule_activity_on_session("insist", "10", session)
    await _beside(ctx)
    answers = [await asked]
    if input == "used again":
        await ctx.schedule_timer(timedelta(seconds=5))
        answers.append(await ctx.schedule_activity_on_session("insist", "3", session))
    await ctx.schedule_timer(timedelta(seconds=13))
    answers.append(await ctx.schedule_activity_on_session("look", "", session, tag="b's"))
    return as_json(answers)


@scenario(
    covers=["SS-8.2", "SS-8.3", "SS-8.4"],
    workers=3,
    situations=["session.released_idle", "session.claimed_after_release"],
    level="multi-runtime",
    options={**MINUTE, "session_idle_timeout": timedelta(seconds=12)},
)
async def timeline_idle_release(world: World) -> None:
    """Worked timeline W4: a session that is idle for T is released, and taken by another at once."""
    world.worker("c", running(_idle), **ONLY_TURNS)
    first = world.worker("a", running(_idle), worker_concurrency=3, **ONLY_WORK)
    second = world.worker("b", running(_idle), worker_tag_filter=TagFilter.only("b's"), **ONLY_WORK)
    used_again = world.draw("whether it is used again", 2) == 1
    await start(world, _idle, "i", input="used again" if used_again else "")
    await world.until(lambda: bool(session_starts(world)))
    lines = [_line(world)]
    for _ in range(2 if used_again else 1):
        if len(lines) > 1:
            lines.append(await _at(world, _fetched("i")))
        lines.append(await _at(world, _done_on_session(world)))
    lines.append(await _at(world, _called("release_session_lock")))
    lines.append(await _at(world, _fetched("i")))
    status = await world.finished("i")
    with world.oracle("SS-8.2", "SS-8.3", "SS-8.4"):
        a, b = first.worker_id, second.worker_id
        begins = [Line(0, None, a, 60), Line(10, None, a, 60)]
        if used_again:
            again = [Line(15, None, a, 75), Line(18, None, a, 75)]
            assert lines == [*begins, *again, Line(30, None, None, None), Line(31, None, b, 91)], lines
        else:
            assert lines == [*begins, Line(22, None, None, None), Line(23, None, b, 83)], lines
        owners = [entry.owner for entry in observations(status)]
        assert owners == [a] * (len(owners) - 1) + [b], owners


def _done_on_session(world: World) -> Callable[[Commit], bool]:
    def matches(commit: Commit) -> bool:
        tokens = [event.token for event in session_starts(world)]
        return _called("ack_work_item")(commit) and commit.arguments["token"] in tokens

    return matches


@scenario(covers=["SS-4.4", "SS-12.5", "SS-25.3", "SS-25.7"], workers=2, level="provider")
async def timeline_claim_race(bench: Bench) -> None:
    """Worked timeline W6: of two that fetch at once, the second gets the next item or nothing."""
    first, second = bench.provider, bench.open()
    for instance, with_plain in (("i", True), ("j", False)):
        work = [item(1, "s", instance), *([item(2, None, instance)] if with_plain else [])]
        await begin(first, instance, opened=sessions_named(f"{instance}/s"), work=work)
        now = bench.clock.now_ms()
        got = [await fetch(first, "A"), await fetch(second, "B")]
        assert got[0] is not None and got[0].item == work[0], got
        assert row_of(bench, "s", instance) == SessionRecord(instance, "s", "A", now + 60_000)
        if with_plain:
            assert got[1] is not None and got[1].item == work[1], got
        else:
            assert got[1] is None, got
        queued = [row for row in items(bench) if row.item is not None and row.item.instance == instance]
        assert queued[0].claimed_by == "A" and all(row.token for row in queued), queued


async def _continues_at_sixty(ctx: OrchestrationContext, input: str) -> str:
    if ctx.execution_id > 1:
        await ctx.schedule_timer(timedelta(seconds=2))
        return as_json([await ctx.schedule_activity_on_session("look", "q5", "s")])
    session = ctx.open_session_with_id("s")
    asked = ctx.schedule_activity_on_session("insist", "5", session)
    await _beside(ctx)
    await asked
    await ctx.schedule_timer(timedelta(seconds=35))
    await ctx.schedule_activity_on_session("look", "q2", session)
    await ctx.schedule_timer(timedelta(seconds=20))
    await ctx.continue_as_new("")
    raise AssertionError("continue_as_new never resolves")


@scenario(
    covers=["SS-17.3", "SS-17.4", "SS-17.5", "SS-25.18"],
    workers=2,
    situations=["session.owned_across_continue", "session.used_after_carry"],
    options=MINUTE,
)
async def timeline_continue_as_new(world: World) -> None:
    """Worked timeline W11: the row of a carried session is as it was, and its owner goes on."""
    world.worker("c", running(_continues_at_sixty), **ONLY_TURNS)
    owner = world.worker("a", running(_continues_at_sixty), worker_concurrency=3, **ONLY_WORK)
    await start(world, _continues_at_sixty, "i")
    lines = []
    for _ in range(2):
        lines.append(await _at(world, _fetched("i")))
    await world.until(lambda: world.now_us >= 59_000_000)
    before = _line(world)
    lines.append(await _at(world, _continues))
    lines.append(await _at(world, _fetched("i")))
    status = await world.finished("i")
    started = of_kind(await world.history("i", 2), OrchestrationStarted)
    with world.oracle("SS-17.3", "SS-17.4", "SS-17.5", "SS-25.18"):
        a = owner.worker_id
        assert before == Line(before.t, None, a, 100), before
        assert lines == [
            Line(0, None, a, 60),
            Line(40, None, a, 100),
            Line(60, None, a, 100),
            Line(62, None, a, 122),
        ], lines
        assert [list(event.open_sessions) for event in started] == [["s"]], started
        assert not [one for one in world.locals if isinstance(one.event, HandlerSignalled)]
        taken = [one for one in world.locals if isinstance(one.event, LeaseTaken)]
        assert len(taken) == 1, "the lease goes on"
        assert [entry.owner for entry in observations(status)] == [a], status


def _continues(commit: Commit) -> bool:
    return commit.operation == "ack_orchestration_item" and concluded(commit).status == "ContinuedAsNew"


async def _reopens_at_ten(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    of_a, of_b = input.split()
    old = ctx.schedule_activity_on_session("work", "300", session, tag="a")
    ctx.schedule_activity("insist", of_a, tag="a")
    ctx.schedule_activity("insist", of_b, tag="b")
    await ctx.schedule_timer(timedelta(seconds=10))
    ctx.close_session(session)
    ctx.open_session_with_id("s")
    answer = await ctx.schedule_activity_on_session("work", "40", session)
    await ctx.schedule_timer(timedelta(seconds=10))
    ctx.close_session(session)
    await ctx.schedule_timer(timedelta(seconds=60))
    del old  # it is kept till here: it is the close that ends it
    return as_json([answer])


@scenario(
    covers=["SS-6.13", "SS-6.8", "SS-25.16", "SS-7.13"],
    workers=3,
    situations=["session.reopened_same_turn", "session.closed_while_running", "handler.signalled_lost"],
    level="multi-runtime",
    options=MINUTE,
)
async def timeline_close_and_reopen(world: World) -> None:
    """Worked timeline W12: a session is closed and reopened in one turn; its owner or another has it."""
    world.worker("c", running(_reopens_at_ten), **ONLY_TURNS)
    by_a = world.draw("who takes it", 2) == 0
    workers = {
        name: world.worker(
            name,
            running(_reopens_at_ten),
            worker_concurrency=slots,
            worker_tag_filter=TagFilter.default_and(name),
            **ONLY_WORK,
        )
        for name, slots in (("a", 2), ("b", 1))
    }
    await start(world, _reopens_at_ten, "i", input="10.1 70" if by_a else "70 10.1")
    lines = [await _at(world, _fetched("i"))]
    closing = await world.commit(closes)
    lines.append(_line(world))
    queued = [(row.item.id, row.token) for row in session_items(world) if row.item is not None]
    lines.append(await _at(world, _fetched("i")))
    status = await world.finished("i")
    with world.oracle("SS-6.13", "SS-6.8", "SS-25.16", "SS-7.13"):
        a, taker = workers["a"], workers["a" if by_a else "b"]
        assert lines == [
            Line(0, None, a.worker_id, 60),
            Line(10, None, None, None),
            Line(10.1, None, taker.worker_id, 70.1),
        ], lines
        old, new = session_starts(world)
        assert queued == [(new.activity_id, None)], queued
        delta = concluded(closing).delta
        assert [type(event) for event in delta].count(SessionClosed) == 1, delta
        assert requests(delta) == [(old.activity_id, "session_closed")], delta
        signals = [one for one in world.locals if isinstance(one.event, HandlerSignalled)]
        told = [(one.time_us, one.event.token) for one in signals if isinstance(one.event, HandlerSignalled)]
        assert told == [(25_000_000, old.token)], told
        assert [entry.owner for entry in observations(status)] == [taker.worker_id], status
        _lease_of_a(world, a, by_a)


def _lease_of_a(world: World, a: Handle, by_a: bool) -> None:
    """q2 joins the lease that A has; or A finds out at 30 that its lease is lost."""
    ends = [
        (one.time_us / 1_000_000, one.event.cause)
        for one in world.locals
        if isinstance(one.event, LeaseEnded) and one.process == a.name
    ]
    taken = [one for one in world.locals if isinstance(one.event, LeaseTaken) and one.process == a.name]
    assert len(taken) == 1, taken
    refused = [
        one
        for one in world.commits
        if one.operation == "renew_work_item_lock" and isinstance(one.error, ProviderError)
    ]
    assert [one.time_us for one in refused] == [25_000_000], refused
    if by_a:
        assert ends == [(65.1, "lost")], "after the last close, with nothing in flight"
    else:
        assert ends == [(30, "lost")], ends
