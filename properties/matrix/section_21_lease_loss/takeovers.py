"""Matrix section 21, takeovers: worked timelines W5 and W13, and a session that is lost again and again."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial
from typing import Final

from holdfast.core import ActivityContext, OrchestrationContext
from holdfast.core.client import Completed
from holdfast.core.contract.events import ActivityCompleted, SessionClosed, SessionOpened
from holdfast.core.contract.ids import LockToken
from holdfast.core.contract.work_items import ActivityCompletedMessage as CompletionMessage
from holdfast.properties.matrix.parts.conversations import (
    D_MS,
    MINUTE,
    encoded,
    of_kind,
    running,
    sole,
    start,
)
from holdfast.properties.matrix.parts.deliveries import (
    FINAL,
    calls,
    deliveries,
    effective,
    tokens_of,
)
from holdfast.properties.matrix.parts.rows import (
    Handed,
    Line,
    handed,
    line,
    owner_and_expiry,
    second_of,
    until_second,
)
from holdfast.properties.matrix.parts.takeovers import ONLY_ACTIVITIES, ONLY_TURNS, end_of, refusal_of
from holdfast.properties.matrix.parts.told import at, lease_ends, signals
from holdfast.sim.toolkit.scenario import scenario
from holdfast.sim.toolkit.world import World
from holdfast.traces.calls import FetchSessionWorkItemCall

TAKEOVERS: Final = 20


async def _part(ctx: ActivityContext, input: str) -> str:
    """An activity that takes a second to stop."""
    stop = asyncio.ensure_future(ctx.cancelled())
    await asyncio.wait([stop], timeout=float(input))
    if stop.done():
        await asyncio.sleep(1)
    stop.cancel()
    return ctx.worker_id


async def _in_passing(ctx: OrchestrationContext, input: str) -> str:
    """No activities: timers that anybody's turns are busy with."""
    for _ in range(2):
        await ctx.join(*(ctx.schedule_timer(timedelta(seconds=n)) for n in range(2)))
    return "done"


async def _w5(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    first = ctx.schedule_activity_on_session("work", input, session)
    await ctx.schedule_timer(timedelta(seconds=5))
    beside = ctx.schedule_activity("work", "0.1")
    await ctx.schedule_timer(timedelta(seconds=5))
    second = ctx.schedule_activity_on_session("work", "300", session)
    return encoded(await ctx.join(first, beside, second))


@scenario(
    covers=["21.11", "SS-24.10", "SS-7.12"],
    workers=2,
    situations=["process.stalled", "session.deadline_passed", "item.redelivered", "session.migrated"],
    level="fault",
    options=MINUTE,
)
async def resume_after_long_pause(world: World) -> None:
    """A process that slept past its deadline does not act as owner."""
    resumes_s = (130, 2 + 3 * D_MS // 1000)[world.draw("frozen for three D, not as in W5", 2)]
    make = running(_w5, _w13, _in_passing, part=_part)
    world.worker("turns", make, **ONLY_TURNS)
    frozen = world.worker("a", make, worker_concurrency=1, **ONLY_ACTIVITIES)
    await start(world, _in_passing, "x", "y")
    await start(world, _w5, "i", input=("300", "40")[world.draw("it has a result when it resumes", 2)])
    await until_second(world, 2)
    table = [(2.0, owner_and_expiry(world))]
    old = tokens_of(world.commits, "a")
    frozen.stall(resumes_s - 2)
    await until_second(world, 60.4)
    table.append((60.4, owner_and_expiry(world)))
    await until_second(world, 60.5)
    other = world.worker("b", make, **ONLY_ACTIVITIES)
    for second in (60.55, 60.65, 85.55):
        await until_second(world, second)
        table.append((second, owner_and_expiry(world)))
    await until_second(world, resumes_s - 0.05)
    before = world.sessions(), world.worker_rows(), len(world.commits)
    await until_second(world, resumes_s)
    await world.until(lambda: bool(lease_ends(world, "a")))
    await world.until(lambda: bool(calls(world.commits[before[2] :], "abandon_work_item", process="a")))
    completion = CompletionMessage(instance="i", execution_id=1, id=3, result="late")
    refusals = [
        await refusal_of(world.provider.ack_work_item(LockToken(old[0]), completion)),
        await refusal_of(world.provider.abandon_work_item(LockToken(old[0]))),
    ]
    after = world.sessions(), world.worker_rows()
    status = await world.finished("i", check=False)
    with world.oracle("21.11"):
        a, b = frozen.worker_id, other.worker_id
        assert table == [
            (2, (a, 60)),
            (60.4, (a, 60)),
            (60.55, (b, 120.5)),
            (60.65, (b, 120.6)),
            (85.55, (b, 145.5)),
        ], table
        assert handed(world) == [Handed(0, "a", 1), Handed(60.5, "b", 2), Handed(60.6, "b", 1)], handed(world)
        signalled = [(one.event.token, one.event.cause, at(one)) for one in signals(world, "a")]
        assert signalled == [(old[0], "deadline", resumes_s)], signalled
        since = world.commits[before[2] :]
        relying = sole(calls(since, "renew_session_lock", "renew_work_item_lock", *FINAL, process="a"))
        assert relying.operation == "abandon_work_item" and relying.error is not None, relying
        assert deliveries(since, "s", process="a") == []
        assert all(refusal is not None and "token" in refusal.message for refusal in refusals), refusals
        assert before[:2] == after, (before, after)
        assert signals(world, "b") == [], signals(world)
        assert isinstance(status, Completed), status


async def _w13(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    items = [ctx.schedule_activity_on_session("part", "150", session)]
    await ctx.schedule_timer(timedelta(seconds=3))
    if input == "another":
        items.append(ctx.schedule_activity_on_session("part", "150", session))
    await ctx.schedule_timer(timedelta(seconds=1))
    items.append(ctx.schedule_activity("work", "6"))  # for B, which has come by then
    items.append(ctx.schedule_activity_on_session("work", "150", session))
    return encoded(await ctx.join(*items))


@scenario(
    covers=["21.16", "SS-7.7", "SS-7.20", "SS-7.23"],
    workers=2,
    situations=["item.renewal_refused", "item.abandoned_uncharged", "item.same_attempt_again"],
    level="fault",
    options={
        **MINUTE,
        "worker_lock_timeout": timedelta(seconds=100),
        "worker_lock_renewal_buffer": timedelta(seconds=90),
    },
)
async def refused_item_renewal_is_loss_for_that_item(world: World) -> None:
    """Worked timeline W13: a worker whose item renewal is refused because the session has moved gives up."""
    variant = ("as told", "another", "busy")[world.draw("variant", 3)]
    make = running(_w5, _w13, _in_passing, part=_part)
    world.worker("turns", make, **ONLY_TURNS)
    slots = 2 if variant == "another" else 1
    loser = world.worker("a", make, worker_concurrency=slots, **ONLY_ACTIVITIES)
    await start(world, _in_passing, "x", "y")
    await start(world, _w13, "i", input=variant)
    await until_second(world, 2)
    table = [line(world, id=3)]
    if variant == "busy":
        world.strike("refused", "a", "renew_work_item_lock")
    await until_second(world, 5)
    world.jump_clock(60_000)
    await until_second(world, 5.1)
    taker = world.worker("b", make, **ONLY_ACTIVITIES)
    for second in (5.5, 10.5):
        await until_second(world, second)
        table.append(line(world, id=3))
    await until_second(world, 15.5)
    status = await world.finished("i", check=False)
    with world.oracle("21.16"):
        a, b = loser.worker_id, taker.worker_id
        assert table == [Line(2, 100, a, 60), Line(5.5, 100, b, 125.1), Line(10.5, 100, b, 125.1)], table
        losses = {"as told": [10.0], "another": [10.0, 13.0], "busy": [10.1]}[variant]
        lost = tokens_of(world.commits, "a")[: len(losses)]
        assert len(lost) == len(losses), lost
        expected = list(zip(lost, losses, strict=True))
        refusals = [one for one in calls(world.commits, "renew_work_item_lock", process="a") if one.error]
        assert [(one.arguments["token"], at(one)) for one in refusals] == expected, refusals
        stops = [(one.event.token, at(one), one.event.cause) for one in signals(world)]
        assert stops == [(*each, "item_lost") for each in expected], stops
        given_back = calls(world.commits, "abandon_work_item", process="a")[: len(expected)]
        assert [(one.arguments["token"], at(one) - 1) for one in given_back] == expected, given_back
        assert all(one.arguments["ignore_attempt"] is True and one.took_effect for one in given_back)
        of_b = [one for one in handed(world) if one.process == "b"]
        assert of_b[:2] == [Handed(65.1, "b", 1), Handed(71.1, "b", 1)], of_b
        assert _row_after(world, 71.1) == (b, 131.1)
        assert isinstance(status, Completed), status


def _row_after(world: World, second: float) -> object:
    """The row that the delivery at this second left behind, as its fetch is bound to leave it."""
    one = next(each for each in deliveries(world.commits, "s") if second_of(each.provider_ms) == second)
    asked = one.call
    assert isinstance(asked, FetchSessionWorkItemCall), one
    return asked.worker_id, round(second + asked.session_lock_duration / 1000, 3)


async def _uses_one_session(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    answers = [await ctx.schedule_activity_on_session("look", "", session) for _ in range(TAKEOVERS + 1)]
    return encoded(answers)


@scenario(
    covers=["21.14", "SS-4.11", "SS-1.6"],
    workers=3,
    situations=["session.taken_over_after_crash", "session.migrated", "clock.jumped_forward"],
    level="fault",
    options={**MINUTE, "orchestration_concurrency": 1},
)
async def lost_many_times_still_usable(world: World) -> None:
    """A session survives any number of takeovers."""
    world.worker("turns", running(_uses_one_session), **ONLY_TURNS)
    workers = {
        name: world.worker(name, running(_uses_one_session), worker_concurrency=1, **ONLY_ACTIVITIES)
        for name in ("a", "b", "c")
    }
    await start(world, _uses_one_session, "i")
    for _ in range(TAKEOVERS):
        finished = await world.commit(lambda one: one.operation == "ack_work_item")
        owner = workers[finished.process]
        if world.draw("crashes", 2):
            owner.crash()
            owner.restart()
            cut = None
        else:  # it lives, and its next fetch does not reach the store
            cut = world.strike("unsent", owner.name, "fetch_session_work_item", times=None)
        world.jump_clock(D_MS)
        since, limit_us = len(world.commits), world.now_us + 2 * D_MS * 1000
        await world.until(partial(_taken_or_late, world, since, limit_us))
        if cut is not None:
            cut.end()
        if world.now_us >= limit_us:
            break
    status = await end_of(world, "i", within_s=100)
    history = await world.history("i")
    with world.oracle("21.14"):
        assert isinstance(status, Completed), status
        owners = [str(one.arguments["worker_id"]) for one in deliveries(world.commits, "s")]
        assert len(owners) == TAKEOVERS + 1, owners
        assert not [n for n in range(TAKEOVERS) if owners[n] == owners[n + 1]], owners
        assert len(effective(calls(world.commits, "ack_work_item"))) == TAKEOVERS + 1
        assert len(of_kind(history, SessionOpened)) == 1 and not of_kind(history, SessionClosed), history
        assert len(of_kind(history, ActivityCompleted)) == TAKEOVERS + 1, history


def _taken_or_late(world: World, since: int, limit_us: int) -> bool:
    return world.now_us >= limit_us or bool(deliveries(world.commits[since:], "s"))
