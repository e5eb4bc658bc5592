"""Matrix section 23, what a close does to work under way: and that it does nothing else."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

from holdfast.core import OrchestrationContext
from holdfast.core.client import Completed, Running
from holdfast.core.contract.events import ActivityCompleted, ActivityScheduled
from holdfast.core.contract.observe import HandlerSignalled, HandlerStarted, LeaseEnded, RenewalAnswered
from holdfast.core.contract.store import WorkerRow
from holdfast.properties.matrix.parts.closings import closes, concluded, requests
from holdfast.properties.matrix.parts.conversations import (
    MINUTE,
    completed,
    failure_text,
    of_kind,
    running,
    session_events,
    start,
)
from holdfast.properties.matrix.parts.deliveries import delivered, deliveries, item_of, refused
from holdfast.properties.matrix.parts.rows import NOTHING, leases_of, queued, stored
from holdfast.properties.matrix.parts.takeovers import R_US
from holdfast.properties.matrix.parts.told import session_starts
from holdfast.sim.toolkit.scenario import scenario
from holdfast.sim.toolkit.world import World
from holdfast.traces.record import Commit


async def _opens_and_closes_at_once(ctx: OrchestrationContext, input: str) -> str:
    beside = [ctx.schedule_activity("look", str(n)) for n in range(3)]
    if input == "later":
        await ctx.join(*beside)
    session = ctx.open_session_with_id("s")
    ctx.schedule_activity_on_session("look", "between", session)
    ctx.close_session(session)
    if input != "later":
        await ctx.join(*beside)
    await ctx.schedule_timer(timedelta(seconds=70))
    return "done"


@scenario(
    covers=["23.4", "SS-6.14", "SS-15.1", "SS-6.7"],
    situations=["session.opened_and_closed_same_turn"],
    options=MINUTE,
)
async def open_close_same_turn(world: World) -> None:
    """A session opened and closed in one turn leaves nothing."""
    world.worker("a", running(_opens_and_closes_at_once))
    when = ("at once", "later")[world.draw("in which turn", 2)]
    await start(world, _opens_and_closes_at_once, "i", input=when)
    closing = await world.commit(closes)
    left = stored(world)
    await start(world, _opens_and_closes_at_once, "j", input=when)
    status = await world.finished("i", check=False)
    history = await world.history("i")
    with world.oracle("23.4"):
        assert left == NOTHING, left
        said = concluded(closing)
        assert (said.opened, said.closed) == ([], ["s"]), said
        assert session_events(history) == [("SessionOpened", "s"), ("SessionClosed", "s")], history
        between = [event for event in of_kind(history, ActivityScheduled) if event.session_id == "s"]
        assert len(between) == 1, history
        assert requests(history) == [(between[0].event_id, "session_closed")], history
        assert [item for item in said.work if item.session_id is not None] == [], said
        assert session_starts(world) == [] and deliveries(world.commits, "s") == []
        assert world.sessions() == [] and isinstance(status, Completed), (world.sessions(), status)


DONE, EARLY, LATE, RUNS, QUEUED = "1", "500", "501", "502", "503"


async def _five_fates(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    done, early, late, runs = (
        ctx.schedule_activity_on_session("work", seconds, session) for seconds in (DONE, EARLY, LATE, RUNS)
    )
    queued = ctx.schedule_activity_on_session("work", QUEUED, session, tag="nobody's")
    await done
    await ctx.select(early, ctx.schedule_timer(timedelta(seconds=float(input))))
    await ctx.schedule_timer(timedelta(seconds=3))
    await ctx.select(late, ctx.schedule_timer(timedelta(seconds=float(input))))
    ctx.close_session(session)
    await ctx.schedule_timer(timedelta(seconds=40))
    del runs, queued  # they are kept till here: it is the close that ends them
    return "done"


@scenario(
    covers=["23.6", "SS-6.6", "SS-11.8", "SS-15.2"],
    situations=["session.closed_while_running", "session.closed_while_queued"],
    options={**MINUTE, "worker_concurrency": 4},
)
async def close_records_cancel_requests_once(world: World) -> None:
    """Each unfinished activity of the session gets one cancel request."""
    world.worker("a", running(_five_fates))
    await start(world, _five_fates, "i", "j", input=str(2 + 5 * world.draw("seconds of a select / 5", 5)))
    closing = await world.commit(closes)
    await world.finished("i", check=False)
    history = await world.history("i")
    with world.oracle("23.6"):
        ids = {event.input: event.event_id for event in of_kind(history, ActivityScheduled)}
        done = completed(history)
        assert done == [ids[DONE]], history
        in_the_turn = [
            (ids[LATE], "dropped_future"),
            (ids[RUNS], "session_closed"),
            (ids[QUEUED], "session_closed"),
        ]
        assert requests(concluded(closing).delta) == in_the_turn, closing
        assert requests(history) == [(ids[EARLY], "dropped_future"), *in_the_turn], history
        named = concluded(closing).cancelled
        assert len(set(named)) == len(named), named
        assert {ids[each] for each in (LATE, RUNS, QUEUED)} == set(named), (ids, named)


async def _schedules_then_closes(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    beside = [ctx.schedule_activity("look", str(n)) for n in range(3)]
    if input == "used before":
        await ctx.schedule_activity_on_session("look", "first", session)
    await ctx.join(*beside)
    ctx.schedule_activity_on_session("look", "never", session)
    ctx.schedule_activity_on_session("work", "5", session)
    ctx.close_session(session)
    await ctx.schedule_timer(timedelta(seconds=70))
    return "done"


@scenario(covers=["23.7", "SS-6.7", "SS-6.6"], situations=["session.closed"], options=MINUTE)
async def same_turn_schedule_then_close(world: World) -> None:
    """An activity scheduled just before the close never runs."""
    world.worker("a", running(_schedules_then_closes))
    how = ("used before", "unused")[world.draw("how the session was used", 2)]
    items: list[WorkerRow] = []

    def closing_ack(commit: Commit) -> bool:
        if closed := closes(commit):
            items.extend(queued(world, instance="i"))
        return closed

    # The first instance may close before the second is started: the watch begins before both.
    closing, _ = await asyncio.gather(
        world.commit(closing_ack), start(world, _schedules_then_closes, "i", "j", input=how)
    )
    status = await world.finished("i", check=False)
    history = await world.history("i")
    with world.oracle("23.7"):
        scheduled = [event for event in of_kind(history, ActivityScheduled) if event.session_id == "s"]
        last = [event.event_id for event in scheduled if event.input != "first"]
        assert len(last) == 2, history
        assert items == [] and not concluded(closing).work, (items, closing)
        begun = [event.activity_id for event in session_starts(world)]
        assert not set(begun) & set(last), begun
        handed = [item_of(one).id for one in deliveries(world.commits, "s", "i")]
        assert not set(handed) & set(last), handed
        assert requests(history) == [(id, "session_closed") for id in last], history
        assert not [event for event in of_kind(history, ActivityCompleted) if event.source_event_id in last]
        assert isinstance(status, Completed), status


async def _value_or_timer(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    alone, close_s, work_s = input.split()
    beside = [ctx.schedule_activity("look", str(n)) for n in range(3)]
    never = ctx.schedule_activity_on_session("insist", work_s, session)
    await ctx.join(*beside)
    await ctx.schedule_timer(timedelta(seconds=float(close_s)))
    ctx.close_session(session)
    if alone == "alone":
        return await never
    index, _ = await ctx.select(never, ctx.schedule_timer(timedelta(seconds=60)))
    return f"branch {index}"


@scenario(
    covers=["23.10", "SS-6.12"],
    situations=["session.closed_while_running", "instance.cancelled_with_open_session"],
    options={**MINUTE, "worker_concurrency": 4},
)
async def await_after_close_never_resolves(world: World) -> None:
    """Awaiting a cancelled activity does not return."""
    world.worker("a", running(_value_or_timer, _leaves_one_open))
    close_s = 3 + 6 * world.draw("seconds before the close / 6", 4)
    work_s = (close_s + 2, 300)[world.draw("how long the activity runs", 2)]
    await start(world, _value_or_timer, "i", input=f"select {close_s} {work_s}")
    await start(world, _value_or_timer, "j", input=f"alone {close_s} {work_s}")
    await start(world, _leaves_one_open, "k")
    chosen = await world.finished("i", check=False)
    await world.sleep(400)
    waits = await world.status("j")
    for instance in ("j", "k"):
        await world.client.cancel_instance(instance, "enough")
    ended = await world.finished("j", check=False)
    await world.finished("k", check=False)
    with world.oracle("23.10"):
        assert isinstance(chosen, Completed) and chosen.output == "branch 1", chosen
        assert isinstance(waits, Running), waits
        assert failure_text(ended) == "canceled: enough", ended
        for instance in ("i", "j"):
            history = await world.history(instance)
            of_the_session = [one.event_id for one in of_kind(history, ActivityScheduled) if one.session_id]
            done = completed(history)
            assert len(done) == 3 and not set(done) & set(of_the_session), history


async def _leaves_one_open(ctx: OrchestrationContext, input: str) -> str:
    ctx.open_session_with_id("s")
    await ctx.dequeue_event("never")
    return ""


async def _idle_then_closed(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    beside = [ctx.schedule_activity("look", str(n)) for n in range(3)]
    both = [ctx.schedule_activity_on_session("look", str(n), session) for n in range(2)]
    await ctx.join(*both, *beside)
    await ctx.schedule_timer(timedelta(seconds=float(input)))
    ctx.close_session(session)
    await ctx.schedule_timer(timedelta(seconds=130))
    return "done"


_WAITS: Final = ("fetch_session_work_item", "fetch_work_item")


@scenario(
    covers=["23.15", "SS-6.15", "SS-7.16"],
    workers=2,
    situations=["session.closed", "session.renewal_refused"],
    options=MINUTE,
)
async def close_runs_nothing_on_worker(world: World) -> None:
    """No activity or callback is run by a close: one failing renewal is all the worker does."""
    world.worker("a", running(_idle_then_closed), worker_concurrency=0)
    worker = world.worker("b", running(_idle_then_closed), orchestration_concurrency=0)
    seconds = 1 + 7 * world.draw("seconds before the close / 7", 12)
    await start(world, _idle_then_closed, "i", input=str(seconds))
    closing = await world.commit(closes)
    commits, locals = len(world.commits), len(world.locals)
    await world.finished("i", check=False)
    with world.oracle("23.15"):
        did = [one for one in world.commits[commits:] if one.process == "b" and one.operation not in _WAITS]
        assert [(one.operation, refused(one)) for one in did] == [("renew_session_lock", True)], did
        assert did[0].time_us <= closing.time_us + R_US, (closing, did)
        heard = [one.event for one in world.locals[locals:] if one.process == "b"]
        assert not [event for event in heard if isinstance(event, HandlerStarted | HandlerSignalled)], heard
        assert len([event for event in heard if isinstance(event, RenewalAnswered)]) == 1, heard
        ends = [(event.cause, event.in_flight) for event in heard if isinstance(event, LeaseEnded)]
        assert ends == [("lost", 0)], heard
        assert leases_of(worker) == ()
        assert not [one for one in world.commits[commits:] if delivered(one) is not None], "nothing is queued"
