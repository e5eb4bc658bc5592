"""Worked timelines of sessions.md section 26 that no row of the matrix is about: W2, W4, W6, W11, W12."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from holdfast.core import OrchestrationContext
from holdfast.core.client import Completed
from holdfast.core.contract.events import OrchestrationStarted, SessionClosed
from holdfast.core.contract.observe import LeaseTaken
from holdfast.core.contract.provider import TagFilter
from holdfast.properties.matrix.parts.closings import closes, concluded, requests
from holdfast.properties.matrix.parts.conversations import (
    MINUTE,
    encoded,
    observations,
    of_kind,
    running,
    start,
)
from holdfast.properties.matrix.parts.deliveries import calls, of_session, refused, renewals, tokens_of
from holdfast.properties.matrix.parts.rows import Line, line, line_after, queued
from holdfast.properties.matrix.parts.takeovers import ONLY_ACTIVITIES, ONLY_TURNS
from holdfast.properties.matrix.parts.told import at, lease_ends, session_starts, signals, told
from holdfast.properties.matrix.parts.turns_by_hand import (
    begin,
    fetch,
    held_now,
    item,
    items,
    row_of,
    sessions_named,
)
from holdfast.sim.toolkit.bench import Bench
from holdfast.sim.toolkit.scenario import scenario
from holdfast.sim.toolkit.world import World
from holdfast.traces.record import Commit


def _called(operation: str) -> Callable[[Commit], bool]:
    return lambda commit: commit.operation == operation and commit.took_effect


def _fetched(commit: Commit) -> bool:
    return of_session(commit, "s", "i")


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
    owner = world.worker("a", running(_long_activity), worker_concurrency=3, **ONLY_ACTIVITIES)
    await start(world, _long_activity, "i")
    await world.until(lambda: bool(session_starts(world)))
    id = session_starts(world)[0].activity_id
    renewed, renewed_alone = _called("renew_work_item_lock"), _called("renew_session_lock")
    changes = (renewed, renewed, _called("ack_work_item"), renewed_alone, renewed_alone)
    lines = [line(world, id=id), *[await line_after(world, change, id=id) for change in changes]]
    status = await world.finished("i", check=False)
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
        sent = [at(one) for one in renewals(world.commits, "s")]
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
    return encoded(answers)


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
    first = world.worker("a", running(_idle), worker_concurrency=3, **ONLY_ACTIVITIES)
    second = world.worker("b", running(_idle), worker_tag_filter=TagFilter.only("b's"), **ONLY_ACTIVITIES)
    used_again = world.draw("whether it is used again", 2)
    await start(world, _idle, "i", input="used again" if used_again else "")
    await world.until(lambda: bool(session_starts(world)))
    changes = [_fetched, _done_on_session(world)] * (1 + used_again) + [
        _called("release_session_lock"),
        _fetched,
    ]
    lines = [line(world), *[await line_after(world, change) for change in changes[1:]]]
    status = await world.finished("i", check=False)
    with world.oracle("SS-8.2", "SS-8.3", "SS-8.4"):
        a, b = first.worker_id, second.worker_id
        used_once = [Line(0, None, a, 60), Line(10, None, a, 60)]
        again = [Line(15, None, a, 75), Line(18, None, a, 75)]
        ends = (
            [*used_once, Line(22, None, None, None), Line(23, None, b, 83)],
            [*used_once, *again, Line(30, None, None, None), Line(31, None, b, 91)],
        )
        assert lines == ends[used_again], lines
        owners = [entry.owner for entry in observations(status)]
        assert owners == [a] * (len(owners) - 1) + [b], owners


def _done_on_session(world: World) -> Callable[[Commit], bool]:
    def matches(commit: Commit) -> bool:
        return _called("ack_work_item")(commit) and commit.arguments["token"] in tokens_of(world.commits)

    return matches


@scenario(covers=["SS-4.4", "SS-12.5", "SS-25.3", "SS-25.7"], workers=2, level="provider")
async def timeline_claim_race(bench: Bench) -> None:
    """Worked timeline W6: of two that fetch at once, the second gets the next item or nothing."""
    first, second = bench.provider, bench.open()
    for instance, with_plain in (("i", True), ("j", False)):
        work = [item(1, "s", instance), *([item(2, None, instance)] if with_plain else [])]
        await begin(first, instance, opened=sessions_named(f"{instance}/s"), work=work)
        got = [await fetch(first, "A"), await fetch(second, "B")]
        assert row_of(bench, "s", instance) == held_now(bench, "A", "s", instance)
        assert [one and one.item for one in got] == [work[0], work[1] if with_plain else None], got
        queued = [row for row in items(bench) if row.item is not None and row.item.instance == instance]
        assert queued[0].claimed_by == "A" and all(row.token for row in queued), queued


async def _continues_at_sixty(ctx: OrchestrationContext, input: str) -> str:
    if ctx.execution_id > 1:
        await ctx.schedule_timer(timedelta(seconds=2))
        return encoded([await ctx.schedule_activity_on_session("look", "q5", "s")])
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
    owner = world.worker("a", running(_continues_at_sixty), worker_concurrency=3, **ONLY_ACTIVITIES)
    await start(world, _continues_at_sixty, "i")
    lines = [await line_after(world, _fetched) for _ in range(2)]
    await world.until(lambda: world.now_us >= 59_000_000)
    before = line(world)
    lines += [await line_after(world, change) for change in (_continues, _fetched)]
    status = await world.finished("i", check=False)
    started = of_kind(await world.history("i", 2), OrchestrationStarted)
    with world.oracle("SS-17.3", "SS-17.4", "SS-17.5", "SS-25.18"):
        a = owner.worker_id
        assert lines == [
            Line(0, None, a, 60),
            Line(40, None, a, 100),
            Line(60, None, a, 100),
            Line(62, None, a, 122),
        ], lines
        assert before[1:] == (None, a, 100), before
        assert [list(event.open_sessions) for event in started] == [["s"]], started
        assert not signals(world) and len(told(world, LeaseTaken)) == 1, "the lease goes on"
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
    return encoded([answer])


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
            **ONLY_ACTIVITIES,
        )
        for name, slots in (("a", 2), ("b", 1))
    }
    await start(world, _reopens_at_ten, "i", input="10.1 70" if by_a else "70 10.1")
    lines = [await line_after(world, _fetched)]
    closing = await world.commit(closes)
    lines.append(line(world))
    waiting = [(row.item and row.item.id, row.token) for row in queued(world)]
    lines.append(await line_after(world, _fetched))
    status = await world.finished("i", check=False)
    with world.oracle("SS-6.13", "SS-6.8", "SS-25.16", "SS-7.13"):
        a, taker = workers["a"], workers["a" if by_a else "b"]
        assert lines == [
            Line(0, None, a.worker_id, 60),
            Line(10, None, None, None),
            Line(10.1, None, taker.worker_id, 70.1),
        ], lines
        old, new = session_starts(world)
        assert waiting == [(new.activity_id, None)], waiting
        delta = concluded(closing).delta
        assert [type(event) for event in delta].count(SessionClosed) == 1, delta
        assert requests(delta) == [(old.activity_id, "session_closed")], delta
        assert [(at(one), one.event.token) for one in signals(world)] == [(25, old.token)], signals(world)
        lost = [one for one in calls(world.commits, "renew_work_item_lock") if refused(one)]
        assert [at(one) for one in lost] == [25], lost
        # q2 joins the lease that A has, until the last close; or A finds out at 30 that its lease is lost
        assert lease_ends(world, "a") == [(65.1 if by_a else 30, "lost")], lease_ends(world)
        assert len(told(world, LeaseTaken, "a")) == 1, told(world, LeaseTaken)
        assert [entry.owner for entry in observations(status)] == [taker.worker_id], status
