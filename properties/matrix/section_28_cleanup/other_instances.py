"""Matrix section 28, what an end leaves alone, what comes after it, and ends that are none."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from holdfast.core import OrchestrationContext
from holdfast.core.client import Completed
from holdfast.core.contract.ids import Millis
from holdfast.core.contract.observe import LeaseEnded
from holdfast.core.contract.work_items import (
    ActivityCompletedMessage,
    ExternalRaised,
    Message,
    QueueMessage,
    StartOrchestration,
)
from holdfast.properties.matrix.parts.closings import ACK, concluded, ended, gets_turn
from holdfast.properties.matrix.parts.conversations import (
    MINUTE,
    failure_text,
    running,
    seen,
    session_events,
    sole,
    start,
)
from holdfast.properties.matrix.parts.deliveries import calls
from holdfast.properties.matrix.parts.rows import NOTHING, leases_of, stored
from holdfast.properties.matrix.parts.takeovers import end_of
from holdfast.properties.matrix.parts.told import events, session_starts, signals, since
from holdfast.sim.stage.faults import FaultBudget
from holdfast.sim.toolkit.scenario import scenario
from holdfast.sim.toolkit.world import World

R_S: Final = 30


async def _leaves_sessions_open(ctx: OrchestrationContext, input: str) -> str:
    how, seconds = input.split()
    for name in ("s", "t"):
        ctx.open_session_with_id(name)
    beside = [ctx.schedule_activity("look", str(n)) for n in range(2)]
    await ctx.schedule_activity_on_session("look", "", "t")
    ctx.schedule_activity_on_session("work", "300", "s")
    await ctx.join(*beside)
    if how == "cancelled":
        await ctx.dequeue_event("never")
    await ctx.schedule_timer(timedelta(seconds=float(seconds)))
    if how == "raised":
        raise RuntimeError("given up")
    return "done"


@scenario(
    covers=["28.7", "SS-18.6"],
    situations=["instance.completed_with_open_session", "instance.cancelled_with_open_session"],
    options=MINUTE,
)
async def no_session_closed_events_at_terminal(world: World) -> None:
    """Automatic cleanup is not written to history, however the instance ends."""
    world.worker("a", running(_leaves_sessions_open))
    seconds = 2 + 6 * world.draw("seconds before the end / 6", 6)
    for instance, how in (("i", "completed"), ("j", "raised"), ("k", "cancelled")):
        await start(world, _leaves_sessions_open, instance, input=f"{how} {seconds}")
    await world.sleep(seconds)
    await world.client.cancel_instance("k", "enough")
    statuses = [await world.finished(instance, check=False) for instance in ("i", "j", "k")]
    with world.oracle("28.7"):
        assert isinstance(statuses[0], Completed), statuses
        assert [failure_text(status) for status in statuses[1:]] == [
            "RuntimeError: given up",
            "canceled: enough",
        ]
        for instance in ("i", "j", "k"):
            history = await world.history(instance)
            assert session_events(history) == [("SessionOpened", "s"), ("SessionOpened", "t")], history
            ack = concluded(await ended(world, instance))
            assert session_events(ack.delta) == [] and sorted(ack.closed) == ["s", "t"], ack


def _late_messages(activity_id: int) -> list[Message]:
    return [
        StartOrchestration(
            instance="i", orchestration=_leaves_sessions_open.__name__, input="completed 1", execution_id=1
        ),
        ActivityCompletedMessage(instance="i", execution_id=1, id=activity_id, result='"late"'),
        ExternalRaised(instance="i", name="go", data=""),
        QueueMessage(instance="i", name="never", data=""),
    ]


@scenario(
    covers=["28.8", "SS-18.9"],
    faults=FaultBudget(duplicate=2),
    situations=["instance.completed_with_open_session"],
    options=MINUTE,
)
async def late_messages_do_not_resurrect(world: World) -> None:
    """Messages after the end create nothing: duplicates, a late completion, events, at once or delayed."""
    world.worker("a", running(_leaves_sessions_open))
    how = ("completed", "raised")[world.draw("how it ends", 2)]
    await start(world, _leaves_sessions_open, "i", input=f"{how} 3")
    end = (await ended(world)).position + 1
    before, status = await world.history("i"), await world.finished("i", check=False)
    messages = _late_messages(session_starts(world)[-1].activity_id)
    first = world.draw("which message comes first", len(messages))
    for message in (*messages[first:], *messages[:first]):
        delay = Millis(1_000 * world.draw("seconds it is late", 3))
        await world.provider.enqueue_for_orchestrator(message, delay=delay)
    await world.sleep(R_S + 5)
    rows, items = world.sessions(), world.worker_rows()
    depths = await world.client.get_queue_depths()
    with world.oracle("28.8"):
        assert (rows, items) == ([], []), (rows, items)
        assert depths.orchestrator_queue == 0, depths
        assert await world.history("i") == before and await world.status("i") == status
        assert any(gets_turn(one) for one in world.commits[end:]), "somebody has read the messages"
        for said in map(concluded, calls(world.commits[end:], ACK)):
            assert (said.delta, said.work, said.opened, said.status) == ([], [], [], None), said


async def _parent(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    beside = [ctx.schedule_activity("look", str(n)) for n in range(2)]
    await ctx.schedule_activity_on_session("look", "parent", session)
    await ctx.join(*beside)
    await ctx.schedule_sub_orchestration("_child", input, instance_id="first")
    return await ctx.schedule_sub_orchestration("_child", "forever", instance_id="second")


async def _child(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    await ctx.schedule_activity_on_session("look", "child", session)
    if input == "forever":
        return await ctx.schedule_activity_on_session("work", "300", session)
    await ctx.schedule_timer(timedelta(seconds=float(input)))
    return "done"


@scenario(
    covers=["28.9", "SS-18.10"],
    situations=["instance.completed_with_open_session", "instance.cancelled_with_open_session"],
    options=MINUTE,
)
async def parent_and_child_sessions_separate_at_end(world: World) -> None:
    """Ends of parent and child affect their own sessions."""
    world.worker("a", running(_parent, _child))
    await start(world, _parent, "i", input=str(1 + 3 * world.draw("seconds of the first child / 3", 6)))
    await world.until(lambda: world.session("first", "s") is not None)
    await world.until(lambda: len(session_starts(world, "first")) == 1)
    parents = stored(world, "i")
    await ended(world, "first")
    at_childs_end = stored(world, "first"), stored(world, "i")
    await world.until(lambda: len(session_starts(world, "second")) == 2)
    await world.sleep(world.draw("seconds before the cancellation", 5))
    childs = stored(world, "second")
    await world.client.cancel_instance("i", "enough")
    await ended(world, "i")
    at_parents_end = stored(world, "i"), stored(world, "second")
    await ended(world, "second")
    at_the_end = stored(world, "i"), stored(world, "second")
    statuses = [await world.finished(instance, check=False) for instance in ("first", "i", "second")]
    with world.oracle("28.9"):
        assert len(parents.rows) == 1 and parents.rows[0].worker_id is not None, parents
        assert at_childs_end == (NOTHING, parents), (at_childs_end, parents)
        assert len(childs.rows) == len(childs.items) == 1, childs
        assert at_parents_end == (NOTHING, childs), (at_parents_end, childs)
        assert at_the_end == (NOTHING, NOTHING), at_the_end
        assert isinstance(statuses[0], Completed), statuses
        texts = [failure_text(status) for status in statuses[1:]]
        assert texts == ["canceled: enough", "canceled: parent canceled"], texts


async def _one_activity(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    beside = [ctx.schedule_activity("look", str(n)) for n in range(2)]
    await ctx.join(*beside)
    return await ctx.schedule_activity_on_session("work", input, session)


@scenario(
    covers=["28.12", "SS-19.6"],
    workers=2,
    situations=["instance.cancelled_with_open_session", "handler.signalled_lost"],
    options=MINUTE,
)
async def cancel_one_instance_keeps_others(world: World) -> None:
    """Cancelling one instance leaves other instances' sessions alone."""
    for name in ("a", "b"):
        world.worker(name, running(_one_activity))
    await start(world, _one_activity, "i", "j", input="50")
    for instance in ("i", "j"):
        await world.until(lambda: bool(session_starts(world, instance)))  # noqa: B023 - awaited at once
    await world.sleep(4 * world.draw("seconds before the cancellation / 4", 6))
    await world.client.cancel_instance("i", "enough")
    before = stored(world, "j")
    await ended(world)
    after, gone = stored(world, "j"), stored(world)
    statuses = [await end_of(world, instance, within_s=90) for instance in ("i", "j")]
    with world.oracle("28.12"):
        assert gone == NOTHING, gone
        assert before == after and len(before.rows) == len(before.items) == 1, (before, after)
        assert failure_text(statuses[0]) == "canceled: enough", statuses
        assert isinstance(statuses[1], Completed), statuses
        assert len(session_starts(world, "j")) == 1, session_starts(world, "j")
        value = seen(statuses[1].output)
        assert (value.owner, value.session, value.input) == (before.rows[0].worker_id, "s", "50"), value
        signalled = [one.event.token for one in signals(world)]
        assert signalled == [session_starts(world, "i")[0].token], signalled


SLOW_ITEMS: Final = {"worker_lock_timeout": timedelta(seconds=100)}
"""Item locks are renewed every 95 s: it is the session's renewal that finds out."""


@scenario(
    covers=["28.13", "SS-18.7", "SS-7.14"],
    situations=["handler.signalled_lost", "lease.dropped_after_end"],
    options=MINUTE,
)
async def inflight_signal_after_terminal(world: World) -> None:
    """Handlers of ended instances are signalled and the lease is dropped."""
    slow = world.draw("what finds out first", 2) == 1
    worker = world.worker("a", running(_leaves_sessions_open), **(SLOW_ITEMS if slow else {}))
    how = ("completed", "raised", "cancelled")[world.draw("how it ends", 3)]
    seconds = 2 + 5 * world.draw("seconds before the end / 5", 12)
    await start(world, _leaves_sessions_open, "i", input=f"{how} {seconds}")
    await world.until(lambda: any(event.activity_id for event in session_starts(world)))
    if how == "cancelled":
        await world.sleep(seconds)
        await world.client.cancel_instance("i", "enough")
    end = await ended(world)
    await world.sleep(R_S)
    await world.quiet()  # what is due at this very moment is done
    leases = leases_of(worker)
    with world.oracle("28.13"):
        assert leases == (), leases
        signalled, handler = sole(signals(world)), sole(session_starts(world))
        assert signalled.event.token == handler.token, signalled
        assert 0 <= since(end, signalled) <= (R_S if slow else 25), (end, signalled)
        leases_ended = sorted((one.session_id, one.cause) for one in events(world, LeaseEnded))
        assert leases_ended == [("s", "lost"), ("t", "lost")], leases_ended
        assert sum(one.in_flight for one in events(world, LeaseEnded)) == (1 if slow else 0)
