"""Matrix section 27: carrying sessions over, turn by turn and execution by execution."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple

from holdfast.core import OrchestrationContext
from holdfast.core.client import Completed
from holdfast.core.contract.events import (
    ActivityCancelRequested,
    ActivityCompleted,
    ActivityScheduled,
    OrchestrationStarted,
    SessionOpened,
)
from holdfast.core.contract.observe import TurnEnded
from holdfast.core.contract.store import SessionRecord
from holdfast.core.contract.work_items import ContinueAsNewMessage
from holdfast.properties.matrix.parts.closings import concluded, continues, turn_ack
from holdfast.properties.matrix.parts.conversations import (
    MINUTE,
    encoded,
    failure_text,
    observations,
    of_kind,
    running,
    seen,
    session_events,
    sole,
    sources,
    start,
)
from holdfast.properties.matrix.parts.deliveries import turn_acks
from holdfast.properties.matrix.parts.engine_by_hand import NOT_OPEN
from holdfast.properties.matrix.parts.told import events, starts
from holdfast.sim import World, scenario
from holdfast.traces.calls import AckOrchestrationItemCall
from holdfast.traces.record import Commit


class RowsAround(NamedTuple):
    """One commit, and the session rows before and after it."""

    commit: Commit
    before: list[SessionRecord]
    after: list[SessionRecord]


class RowNotes:
    """Notes the session rows around every commit, up to one that `last` is true of."""

    def __init__(self, world: World, last: Callable[[Commit], bool]) -> None:
        self.steps: list[RowsAround] = []
        self._world = world
        self._last = last
        self._before = world.sessions()

    def __call__(self, commit: Commit) -> bool:
        after = self._world.sessions()
        self.steps.append(RowsAround(commit, self._before, after))
        self._before = after
        return self._last(commit)


async def _carries_then_talks(ctx: OrchestrationContext, input: str) -> str:
    if input != "again":
        ctx.open_session_with_id("S")
        await ctx.schedule_activity_on_session("look", "", "S")
        ctx.continue_as_new("again")
        return ""
    for number in range(3):
        await ctx.schedule_activity("work", str(1 + number))
    await ctx.dequeue_event("go")
    here = await ctx.schedule_activity_on_session("look", "", "S")
    return encoded([here])


@scenario(
    covers=["27.1", "SS-17.3", "SS-16.1"],
    workers=2,
    options=MINUTE,
    situations=["session.used_after_carry", "session.taken_over_after_crash"],
    level="fault",
)
async def carried_set_survives_later_turns_and_restart(world: World) -> None:
    """The carried sessions are known in every later turn, on any worker."""
    first = world.worker("a", running(_carries_then_talks))
    turns_left = 2 + world.draw("turns before the crash", 3)

    def enough_turns(commit: Commit) -> bool:
        nonlocal turns_left
        acked = commit.operation == "ack_orchestration_item" and commit.took_effect
        turns_left -= acked and commit.arguments["execution_id"] == 2
        return turns_left == 0

    await asyncio.gather(world.commit(enough_turns), start(world, _carries_then_talks, "i"))
    await world.sleep(10 * world.draw("seconds before the crash / 10", 3))
    first.crash()
    cold = world.worker("b", running(_carries_then_talks))
    await world.client.enqueue_event("i", "go", "")
    status = await world.finished("i", check=False)
    with world.oracle("27.1"):
        here = sole(observations(status))
        assert (here.session, here.owner) == ("S", cold.worker_id), here
        assert of_kind(await world.history("i", 2), SessionOpened) == []
        known = {one.open_sessions for one in events(world, TurnEnded, cold.name)}
        assert known == {("S",)}, known


async def _opens_what_it_has(ctx: OrchestrationContext, input: str) -> str:
    if not input:
        ctx.open_session_with_id("S")
        first = await ctx.schedule_activity_on_session("look", "", "S")
        ctx.continue_as_new(first)
        return ""
    again = ctx.open_session_with_id("S")
    answers = [input, await ctx.schedule_activity_on_session("look", "", again)]
    ctx.open_session_with_id("S")
    answers.append(await ctx.schedule_activity_on_session("work", "1", "S"))
    return encoded(answers)


def ends_any_instance(commit: Commit) -> bool:
    """Whether a commit is an ack that ended an instance."""
    status = getattr(commit.arguments.get("metadata"), "status", None)
    return commit.took_effect and status in ("Completed", "Failed")


class Ends:
    """True once so many instances have ended."""

    def __init__(self, count: int) -> None:
        self._left = count

    def __call__(self, commit: Commit) -> bool:
        self._left -= ends_any_instance(commit)
        return self._left == 0


@scenario(
    covers=["27.5", "SS-17.9", "SS-5.2"],
    options=MINUTE,
    situations=["session.carried_over", "session.used_after_carry"],
)
async def open_with_id_on_carried_is_noop(world: World) -> None:
    """Reopening a carried id does nothing."""
    worker = world.worker("a", running(_opens_what_it_has))
    watch = RowNotes(world, Ends(2))
    await asyncio.gather(world.commit(watch), start(world, _opens_what_it_has, "i", "j"))
    statuses = [await world.status(instance) for instance in ("i", "j")]
    with world.oracle("27.5"):
        for instance, status in zip(("i", "j"), statuses, strict=True):
            assert session_events(await world.history(instance, 2)) == []
            assert {(one.session, one.owner) for one in observations(status)} == {("S", worker.worker_id)}
            in_second = {
                ack.position
                for ack in turn_acks(world.commits, instance)
                if ack.arguments["execution_id"] == 2 and not ends_any_instance(ack)
            }
            steps = [step for step in watch.steps if step.commit.position in in_second]
            assert len(steps) >= 2, steps
            for step in steps:
                assert concluded(step.commit).opened == [] and step.after == step.before, step
                own = [row.worker_id for row in step.after if row.instance_id == instance]
                assert own == [worker.worker_id], step


async def _opens_and_closes_last(ctx: OrchestrationContext, input: str) -> str:
    if input != "again":
        for session in ("kept", "old", "renewed"):
            ctx.open_session_with_id(session)
        await ctx.schedule_activity_on_session("look", "", "old")
        await ctx.join(*(ctx.schedule_activity_on_session("look", "", name) for name in ("kept", "renewed")))
        ctx.open_session_with_id("brief")
        ctx.close_session("brief")
        ctx.close_session("old")
        ctx.open_session_with_id("new")
        ctx.close_session("renewed")
        ctx.open_session_with_id("renewed")
        ctx.continue_as_new("again")
        return ""
    names = ("kept", "new", "renewed")
    await ctx.join(*(ctx.schedule_activity_on_session("look", "", name) for name in names))
    return await ctx.schedule_activity_on_session("look", "", ctx.instance_id)


@scenario(
    covers=["27.6", "SS-17.10", "SS-15.7"],
    options=MINUTE,
    situations=[
        "session.several_carried_over",
        "session.opened_and_closed_same_turn",
        "session.reopened_same_turn",
        "session.refused",
    ],
)
async def open_and_close_in_continuing_turn(world: World) -> None:
    """Sessions opened or closed in the last turn are treated by their final state."""
    worker = world.worker("a", running(_opens_and_closes_last))
    watch = RowNotes(world, Ends(2))
    await asyncio.gather(world.commit(watch), start(world, _opens_and_closes_last, "old", "brief"))
    with world.oracle("27.6"):
        continuing = [step for step in watch.steps if continues(step.commit)]
        assert len(continuing) == 2, continuing
        for step in continuing:
            ack = turn_ack(step.commit)
            assert ack is not None, step
            (instance,) = {each.instance for each in ack.metadata.opened_sessions}
            rows = {row.session_id: row for row in step.after if row.instance_id == instance}
            before = {row.session_id: row for row in step.before if row.instance_id == instance}
            assert sorted(rows) == ["kept", "new", "renewed"], rows
            assert rows["kept"] == before["kept"] and rows["kept"].worker_id == worker.worker_id, rows
            for name in ("new", "renewed"):
                assert (rows[name].worker_id, rows[name].locked_until) == (None, None), rows
            assert concluded(step.commit).opened == ["new", "renewed"], ack
        for instance in ("old", "brief"):
            started = sole(of_kind(await world.history(instance, 2), OrchestrationStarted))
            assert started.open_sessions == ("kept", "new", "renewed"), started
            used = of_kind(await world.history(instance, 2), ActivityCompleted)
            assert sorted(str(seen(each.result).session) for each in used) == ["kept", "new", "renewed"], used
            assert NOT_OPEN.format(instance) in failure_text(await world.status(instance))


async def _schedules_and_continues(ctx: OrchestrationContext, input: str) -> str:
    if input == "again":
        return await ctx.schedule_activity_on_session("look", "next", "S")
    session = ctx.open_session_with_id("S")
    earlier = [ctx.schedule_activity_on_session("work", each, session) for each in ("90", "91", "92")]
    await ctx.schedule_timer(timedelta(seconds=int(input)))
    late = [
        ctx.schedule_activity_on_session("look", "late", session),
        ctx.schedule_activity("look", "late"),
    ]
    ctx.continue_as_new("again")
    await ctx.join(*earlier, *late)
    return ""


@scenario(
    covers=["27.7", "SS-17.11"],
    options=MINUTE,
    situations=["session.carried_over", "instance.continued_while_running", "session.used_after_carry"],
)
async def activities_of_continuing_turn_not_enqueued(world: World) -> None:
    """Work scheduled in the turn that continues is not started."""
    world.worker("a", running(_schedules_and_continues))
    seconds = [str(2 + 11 * world.draw("seconds before continuing / 11", 4)) for _ in ("i", "j")]
    left: list[int] = []
    acks: list[AckOrchestrationItemCall] = []

    def both_continued(commit: Commit) -> bool:
        ack = turn_ack(commit)
        if ack is not None and continues(commit):
            acks.append(ack)
            (sent,) = ack.orchestrator_items
            assert isinstance(sent, ContinueAsNewMessage), sent
            instance = sent.instance
            rows = [row.item for row in world.worker_rows() if row.item and row.item.instance == instance]
            left.extend(item.id for item in rows if item.execution_id == 1)
        return len(acks) == 2

    await asyncio.gather(
        world.commit(both_continued),
        start(world, _schedules_and_continues, "i", input=seconds[0]),
        start(world, _schedules_and_continues, "j", input=seconds[1]),
    )
    statuses = {instance: await world.finished(instance, check=False) for instance in ("i", "j")}
    with world.oracle("27.7"):
        assert left == [], "items of the old execution in the worker queue"
        assert [list(ack.worker_items) for ack in acks] == [[], []], acks
        for instance, status in statuses.items():
            assert isinstance(status, Completed) and seen(status.output).input == "next", status
            old = await world.history(instance, 1)
            scheduled = {event.event_id: event.input for event in of_kind(old, ActivityScheduled)}
            assert list(scheduled.values()).count("late") == 2, scheduled
            given_up = sources(of_kind(old, ActivityCancelRequested))
            assert sorted(given_up) == sorted(scheduled), "each of them was given up, once"
            begun = [one.activity_id for one in starts(world, instance=instance) if one.execution_id == 1]
            assert "late" not in [scheduled[id] for id in begun], begun
