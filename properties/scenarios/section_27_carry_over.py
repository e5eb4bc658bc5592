"""Matrix section 27: carrying sessions over, turn by turn and execution by execution."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final, NamedTuple

from holdfast.core import OrchestrationContext, Registry
from holdfast.core.client import Completed
from holdfast.core.events import (
    ActivityCancelRequested,
    ActivityCompleted,
    ActivityFailed,
    ActivityScheduled,
    OrchestrationStarted,
    SessionOpened,
)
from holdfast.core.observe import HandlerSignalled, HandlerStarted, LeaseEnded, LeaseTaken, Logged, TurnEnded
from holdfast.core.provider import SessionRecord
from holdfast.core.work_items import ActivityCompleted as CompletionMessage
from holdfast.properties.scenarios.conversations import (
    MINUTE,
    answer,
    deliveries,
    encoded,
    failure,
    handlers_started,
    observations,
    of_kind,
    running,
    seen,
    session_events,
    start,
)
from holdfast.properties.scenarios.deliveries import turn_acks
from holdfast.properties.scenarios.section_10_continue_as_new import continuing_ack
from holdfast.sim import FaultBudget, World, scenario
from holdfast.traces.record import Commit


class Step(NamedTuple):
    """One commit, and the session rows before and after it."""

    commit: Commit
    before: list[SessionRecord]
    after: list[SessionRecord]


class RowWatch:
    """Notes the session rows around every commit, up to one that `last` is true of."""

    def __init__(self, world: World, last: Callable[[Commit], bool]) -> None:
        self.steps: list[Step] = []
        self._world = world
        self._last = last
        self._before = world.sessions()

    def __call__(self, commit: Commit) -> bool:
        after = self._world.sessions()
        self.steps.append(Step(commit, self._before, after))
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
    status = await world.finished("i")
    with world.oracle("27.1"):
        (here,) = observations(status)
        assert (here.session, here.owner) == ("S", cold.worker_id), here
        assert of_kind(await world.history("i", 2), SessionOpened) == []
        turns_of_b = [
            local.event.open_sessions
            for local in world.locals
            if local.process == cold.name and isinstance(local.event, TurnEnded)
        ]
        assert turns_of_b and set(turns_of_b) == {("S",)}, turns_of_b


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


def ends(commit: Commit) -> bool:
    """Whether a commit is an ack that ended an instance."""
    status = getattr(commit.arguments.get("metadata"), "status", None)
    return commit.took_effect and status in ("Completed", "Failed")


class Ends:
    """True once so many instances have ended."""

    def __init__(self, count: int) -> None:
        self._left = count

    def __call__(self, commit: Commit) -> bool:
        self._left -= ends(commit)
        return self._left == 0


@scenario(
    covers=["27.5", "SS-17.9", "SS-5.2"],
    options=MINUTE,
    situations=["session.carried_over", "session.used_after_carry"],
)
async def open_with_id_on_carried_is_noop(world: World) -> None:
    """Reopening a carried id does nothing."""
    worker = world.worker("a", running(_opens_what_it_has))
    watch = RowWatch(world, Ends(2))
    await asyncio.gather(world.commit(watch), start(world, _opens_what_it_has, "i", "j"))
    statuses = [await world.status(instance) for instance in ("i", "j")]
    with world.oracle("27.5"):
        for instance, status in zip(("i", "j"), statuses, strict=True):
            assert session_events(await world.history(instance, 2)) == []
            assert {(one.session, one.owner) for one in observations(status)} == {("S", worker.worker_id)}
            in_second = {
                ack.position
                for ack in turn_acks(world.commits, instance)
                if ack.arguments["execution_id"] == 2 and not ends(ack)
            }
            steps = [step for step in watch.steps if step.commit.position in in_second]
            assert len(steps) >= 2, steps
            for step in steps:
                metadata: Any = step.commit.arguments["metadata"]
                assert list(metadata.opened_sessions) == [] and step.after == step.before, step
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
    watch = RowWatch(world, Ends(2))
    await asyncio.gather(world.commit(watch), start(world, _opens_and_closes_last, "old", "brief"))
    with world.oracle("27.6"):
        continuing = [step for step in watch.steps if continuing_ack(step.commit)]
        assert len(continuing) == 2, continuing
        for step in continuing:
            metadata: Any = step.commit.arguments["metadata"]
            (instance,) = {each.instance for each in metadata.opened_sessions}
            rows = {row.session_id: row for row in step.after if row.instance_id == instance}
            before = {row.session_id: row for row in step.before if row.instance_id == instance}
            assert sorted(rows) == ["kept", "new", "renewed"], rows
            assert rows["kept"] == before["kept"] and rows["kept"].worker_id == worker.worker_id, rows
            for name in ("new", "renewed"):
                assert (rows[name].worker_id, rows[name].locked_until) == (None, None), rows
            assert [each.session_id for each in metadata.opened_sessions] == ["new", "renewed"], metadata
        for instance in ("old", "brief"):
            (started,) = of_kind(await world.history(instance, 2), OrchestrationStarted)
            assert started.open_sessions == ("kept", "new", "renewed"), started
            used = of_kind(await world.history(instance, 2), ActivityCompleted)
            assert [seen(each.result).session for each in used] != [], used
            assert sorted(str(seen(each.result).session) for each in used) == ["kept", "new", "renewed"], used
            not_open = f"schedule_activity_on_session called for session '{instance}' which is not open"
            assert not_open in failure(await world.status(instance))


async def _schedules_and_continues(ctx: OrchestrationContext, input: str) -> str:
    if input == "again":
        return await ctx.schedule_activity_on_session("look", "next", "S")
    session = ctx.open_session_with_id("S")
    earlier = [
        ctx.schedule_activity_on_session("work", "90", session),
        ctx.schedule_activity_on_session("work", "91", session),
        ctx.schedule_activity_on_session("work", "92", session),
    ]
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
    acks: list[Commit] = []

    def both_continued(commit: Commit) -> bool:
        if continuing_ack(commit):
            acks.append(commit)
            named: Any = commit.arguments["orchestrator_items"]
            (instance,) = (message.instance for message in named)
            rows = [row.item for row in world.worker_rows() if row.item and row.item.instance == instance]
            left.extend(item.id for item in rows if item.execution_id == 1)
        return len(acks) == 2

    await asyncio.gather(
        world.commit(both_continued),
        start(world, _schedules_and_continues, "i", input=seconds[0]),
        start(world, _schedules_and_continues, "j", input=seconds[1]),
    )
    statuses = {instance: await world.finished(instance) for instance in ("i", "j")}
    with world.oracle("27.7"):
        assert left == [], "items of the old execution in the worker queue"
        assert [list(ack.arguments["worker_items"]) for ack in acks] == [[], []], acks  # type: ignore[call-overload]
        for instance, status in statuses.items():
            assert isinstance(status, Completed) and seen(status.output).input == "next", status
            old = await world.history(instance, 1)
            scheduled = {event.event_id: event.input for event in of_kind(old, ActivityScheduled)}
            assert list(scheduled.values()).count("late") == 2, scheduled
            given_up = [event.source_event_id for event in of_kind(old, ActivityCancelRequested)]
            assert sorted(given_up) == sorted(scheduled), "each of them was given up, once"
            started = [local.event for local in handlers_started(world, instance)]
            late = [
                event
                for event in started
                if isinstance(event, HandlerStarted) and event.execution_id == 1
                if scheduled[event.activity_id] == "late"
            ]
            assert late == [], late


_EXECUTIONS: Final = 5


async def _chain(ctx: OrchestrationContext, input: str) -> str:
    owners = input.split()
    if not owners:
        ctx.open_session_with_id("S")
    here = seen(await ctx.schedule_activity_on_session("look", ctx.orchestration_version, "S"))
    owners.append(f"{here.input}/{here.owner}")
    if len(owners) < _EXECUTIONS:
        version = "1.0.0" if len(owners) == 1 else "2.0.0"
        ctx.continue_as_new_versioned(version, " ".join(owners))
        return ""
    return encoded(owners)


async def _chain_2(ctx: OrchestrationContext, input: str) -> str:
    """The later version: it waits a little before it goes on."""
    await ctx.schedule_timer(timedelta(seconds=20))
    return await _chain(ctx, input)


def _two_versions() -> Registry:
    registry = running(_chain)()
    registry.add_orchestration("_chain", _chain_2, version="2.0.0")
    return registry


@scenario(
    covers=["27.8", "SS-17.12", "SS-3.3"],
    workers=2,
    options=MINUTE,
    situations=["session.owned_across_continue", "session.used_after_carry"],
)
async def chain_of_executions_and_version_change(world: World) -> None:
    """Carry-over repeats and works across versions."""
    workers = [world.worker(name, _two_versions) for name in ("a", "b")]
    watch = RowWatch(world, ends)
    await asyncio.gather(
        world.commit(watch), world.client.start_orchestration_versioned("i", "_chain", "1.0.0")
    )
    with world.oracle("27.8"):
        used = [one.split("/") for one in answer(await world.status("i"))]
        versions = ["1.0.0"] * 2 + ["2.0.0"] * 3
        assert [version for version, _ in used] == versions, used
        opened = []
        for number, version in enumerate(versions, start=1):
            history = await world.history("i", number)
            opened += of_kind(history, SessionOpened)
            (started,) = of_kind(history, OrchestrationStarted)
            assert (started.version, started.open_sessions) == (version, () if number == 1 else ("S",))
        assert [one.session_id for one in opened] == ["S"], opened
        owners = {owner for _, owner in used}
        assert len(owners) == 1 and owners <= {worker.worker_id for worker in workers}, used
        rows = [step.after for step in watch.steps[:-1]]
        there = [bool(each) for each in rows]
        first = there.index(True)
        assert all(there[first:]), "one row from the first opening to the end"
        named = [each[0].worker_id for each in rows[first:] if each[0].worker_id is not None]
        assert set(named) == owners and rows[-1][0].worker_id in owners, named


async def _answers_twice(ctx: OrchestrationContext, input: str) -> str:
    if input != "again":
        ctx.open_session_with_id("S")
        long = ctx.schedule_activity_on_session("insist", "70", "S")
        await ctx.schedule_activity_on_session("look", "first", "S")
        await ctx.schedule_timer(timedelta(seconds=int(input)))
        ctx.continue_as_new("again")
        await long
        return ""
    beside = ctx.schedule_activity("look", "beside")
    same_id = ctx.schedule_activity_on_session("work", "20", "S")  # the id that `long` had
    same, _ = await ctx.join(same_id, beside)
    return encoded([same, await ctx.schedule_activity_on_session("look", "second", "S")])


@scenario(
    covers=["27.9", "SS-17.6", "SS-19.5"],
    faults=FaultBudget(duplicate=1, slow_answer=1),
    options={**MINUTE, "worker_concurrency": 4},
    situations=["session.used_after_carry", "instance.continued_while_running"],
)
async def late_completion_from_old_execution(world: World) -> None:
    """A completion of the previous execution is ignored."""
    world.worker("a", running(_answers_twice))
    before = str(1 + 9 * world.draw("seconds before continuing / 9", 4))
    await asyncio.gather(world.commit(continuing_ack), start(world, _answers_twice, "i", input=before))
    old = of_kind(await world.history("i", 1), ActivityScheduled)
    (long,) = (event.event_id for event in old if event.name == "insist")
    await world.until(lambda: len(deliveries(world, "S")) >= 3)
    for _ in range(1 + world.draw("copies", 2)):
        await world.sleep(4 * world.draw("seconds later / 4", 3))
        await world.provider.enqueue_for_orchestrator(
            CompletionMessage(instance="i", execution_id=1, id=long, result="late")
        )
    status = await world.finished("i")
    with world.oracle("27.9"):
        first, second = await world.history("i", 1), await world.history("i", 2)
        assert of_kind(first, ActivityFailed) == of_kind(second, ActivityFailed) == []
        done = of_kind(second, ActivityCompleted)
        scheduled = [event.event_id for event in of_kind(second, ActivityScheduled)]
        assert long in scheduled, "the new execution uses that id too"
        assert sorted(event.source_event_id for event in done) == sorted(scheduled), done
        assert "late" not in [event.result for event in (*of_kind(first, ActivityCompleted), *done)], done
        assert [seen(event.result).input for event in of_kind(first, ActivityCompleted)] == ["first"], first
        same, other = observations(status)
        assert [(one.session, one.input) for one in (same, other)] == [("S", "20"), ("S", "second")], status


async def _continues_at_once(ctx: OrchestrationContext, input: str) -> str:
    if not input.startswith("again"):
        ctx.open_session_with_id("S")
        first = await ctx.schedule_activity_on_session("look", "first", "S")
        if input == "busy":
            ctx.schedule_activity_on_session("work", "500", "S")
            await ctx.schedule_timer(timedelta(seconds=3))
        ctx.continue_as_new(f"again {first}")
        return ""
    second = await ctx.schedule_activity_on_session("work", "100", "S")
    return encoded([input.removeprefix("again "), second])


@scenario(
    covers=["27.10", "SS-17.5"],
    options=MINUTE,
    situations=["session.owned_across_continue", "session.used_after_carry", "session.renewed_by_item"],
)
async def lease_not_disturbed_by_can(world: World) -> None:
    """No signal and no new lease because of continue-as-new."""
    worker = world.worker("a", running(_continues_at_once))
    busy = world.draw("work of the old execution in flight", 2) == 1
    await start(world, _continues_at_once, "i", input="busy" if busy else "")
    await world.commit(continuing_ack)
    leases = []
    for _ in range(4):
        await world.sleep(20)
        leases.append([] if worker.runtime is None else list(worker.runtime.leases()))
        with world.oracle("27.10"):
            row = world.session("i", "S")
            assert row is not None and row.worker_id == worker.worker_id, row
            assert row.locked_until is not None and row.locked_until > world.provider_now_ms, row
    told = list(world.locals)
    status = await world.finished("i")
    with world.oracle("27.10"):
        assert [[one.session_id for one in held] for held in leases] == [["S"]] * 4, leases
        assert [local for local in told if isinstance(local.event, LeaseEnded)] == []
        assert len([local for local in world.locals if isinstance(local.event, LeaseTaken)]) == 1, "one lease"
        assert not [
            one for one in told if isinstance(one.event, Logged) and one.event.event == "session.lost"
        ]
        signals = [local.event.cause for local in world.locals if isinstance(local.event, HandlerSignalled)]
        assert signals == (["item_lost"] if busy else []), "the item of the old execution, and it alone"
        first, second = observations(status)
        assert (first.owner, second.owner, second.warm) == (worker.worker_id, worker.worker_id, True)
