"""Matrix section 15, the edge cases: many cycles, poison, and ids at their limits."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from holdfast.core import OrchestrationContext
from holdfast.core.contract.errors import SessionIdError
from holdfast.core.contract.events import Event, SessionClosed, SessionOpened
from holdfast.core.contract.store import SessionRecord
from holdfast.core.contract.work_items import ActivityFailedMessage
from holdfast.core.engine.turn import TurnInput, TurnResult, run_turn
from holdfast.core.engine.turn_values import ExecutionCompleted as TurnCompleted
from holdfast.core.engine.turn_values import ExecutionFailed as TurnFailed
from holdfast.core.program.registry import OrchestrationHandler
from holdfast.properties.matrix.parts.closings import concluded, lists_closed
from holdfast.properties.matrix.parts.conversations import (
    MINUTE,
    answer,
    encoded,
    failure_text,
    observations,
    running,
    seen,
    session_events,
    start,
)
from holdfast.properties.matrix.parts.deliveries import acked, calls, deliveries, first_delivery, item_of
from holdfast.properties.matrix.parts.rows import assert_held, leases_of, look, queued
from holdfast.properties.matrix.parts.told import starts
from holdfast.properties.matrix.parts.turns_by_hand import started
from holdfast.sim.toolkit.scenario import scenario
from holdfast.sim.toolkit.world import World
from holdfast.traces.record import Commit

R_S: Final = 30


async def _closes_and_reopens(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    beside = [ctx.schedule_activity("look", str(n)) for n in range(2)]
    first = await ctx.schedule_activity_on_session("look", "before", session)
    for _ in range(3):  # one more than there are slots
        ctx.schedule_activity_on_session("work", "500", session)
    await ctx.join(*beside)
    await ctx.schedule_timer(timedelta(seconds=float(input)))
    ctx.close_session(session)
    ctx.open_session_with_id(session)
    second = await ctx.schedule_activity_on_session("look", "after", session)
    ctx.close_session(session)
    return encoded([first, second])


@scenario(
    covers=["15.3", "SS-6.13", "SS-15.1", "SS-25.16", "SS-5.3"],
    situations=[
        "session.reopened_same_turn",
        "session.closed_while_running",
        "session.closed_while_queued",
        "session.claimed",
    ],
    options=MINUTE,
)
async def open_session_with_id_after_close_in_same_turn(world: World) -> None:
    """Close then open of one id in one turn leaves a fresh session."""
    owner = world.worker("a", running(_closes_and_reopens))
    seconds = 7 * (1 + world.draw("seconds before the close / 7", 9))
    await start(world, _closes_and_reopens, "i", input=str(seconds))
    await first_delivery(world)
    owned = world.session("i", "s")
    said = concluded(await world.commit(lists_closed))
    fresh, items = world.session("i", "s"), queued(world, "s")
    status = await world.finished("i", check=False)
    with world.oracle("15.3"):
        assert owned is not None and owned.worker_id == owner.worker_id, owned
        assert (said.closed, said.opened) == (["s"], ["s"]), said
        assert fresh == SessionRecord("i", "s", None, None), fresh
        assert [row.item.input for row in items if row.item is not None] == ["after"], items
        assert [entry.input for entry in observations(status)] == ["before", "after"], status


CAPACITY: Final = 5


async def _cycles(ctx: OrchestrationContext, input: str) -> str:
    """Five times: twenty sessions opened, one of them used, all closed."""
    for batch in range(5):
        for n in range(1, 20):
            ctx.open_session_with_id(f"{batch}-{n}")
            ctx.close_session(f"{batch}-{n}")
        used = ctx.open_session_with_id(f"{batch}-0")
        await ctx.schedule_activity_on_session("look", used, used)
        ctx.close_session(used)
    await ctx.dequeue_event("end")
    return "done"


async def _holds_as_many(ctx: OrchestrationContext, input: str) -> str:
    names = [ctx.open_session_with_id(f"new-{n}") for n in range(CAPACITY)]
    await ctx.join(*(ctx.schedule_activity_on_session("look", name, name) for name in names))
    await ctx.dequeue_event("end")
    return "done"


@scenario(
    covers=["15.7", "SS-21.3"],
    situations=["session.opened_and_closed_same_turn", "session.renewal_refused", "worker.at_capacity"],
    options={**MINUTE, "max_sessions_per_worker": CAPACITY},
)
async def rapid_open_close_cycles(world: World) -> None:
    """A hundred quick open and close cycles leave nothing behind."""
    worker = world.worker("a", running(_cycles, _holds_as_many))
    await start(world, _cycles, "i")
    await world.commit(lambda commit: lists_closed(commit) and "4-0" in concluded(commit).closed)
    left = world.sessions(), queued(world)
    await world.sleep(R_S + 0.001)
    leases = leases_of(worker)
    cycles = session_events(await world.history("i"))
    await start(world, _holds_as_many, "j")
    await world.until(lambda: sum(row.worker_id is not None for row in world.sessions()) == CAPACITY)
    owners = {row.worker_id for row in world.sessions()}
    for instance in ("i", "j"):
        await world.client.enqueue_event(instance, "end", "")
    for instance in ("i", "j"):
        await world.finished(instance, check=False)
    with world.oracle("15.7"):
        assert [kind for kind, _ in cycles].count("SessionOpened") == 100, cycles
        assert [kind for kind, _ in cycles].count("SessionClosed") == 100, cycles
        assert left == ([], []), left
        assert leases == (), leases
        assert owners == {worker.worker_id}, owners


async def _asks_for_the_missing(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    beside = [ctx.schedule_activity("look", str(n)) for n in range(3)]
    await ctx.schedule_activity_on_session("missing", "", session)
    await ctx.join(*beside)
    return "never"


def _poison(commit: Commit) -> bool:
    completion = commit.arguments.get("completion")
    return (
        commit.operation == "ack_work_item"
        and commit.took_effect
        and isinstance(completion, ActivityFailedMessage)
        and completion.details.poison is not None
    )


@scenario(
    covers=["15.8", "SS-14.9"],
    situations=["item.abandoned_backoff", "item.poisoned", "session.renewed_between"],
    options={**MINUTE, "max_attempts": 8},
)
async def session_activity_on_worker_with_no_registry(world: World) -> None:
    """A worker without the handler backs off until poison handling applies."""
    worker = world.worker("a", running(_asks_for_the_missing))
    await start(world, _asks_for_the_missing, "i")
    poisoned = await world.commit(_poison)
    then = look(world)
    status = await world.finished("i", check=False)
    with world.oracle("15.8"):
        abandoned = calls(world.commits, "abandon_work_item")
        delays = [commit.arguments.get("delay") for commit in abandoned]
        assert delays == [1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000], delays
        assert not [commit for commit in abandoned if commit.arguments.get("ignore_attempt")], abandoned
        assert poisoned.position > abandoned[-1].position
        assert_held([then._replace(now_ms=poisoned.provider_ms)], worker)
        assert failure_text(status) == "poison: activity missing#6 exceeded 9 attempts (max 8)", status


async def _one_is_poison(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    beside = [ctx.schedule_activity("look", str(n)) for n in range(2)]
    bad = ctx.schedule_activity_on_session("missing", "", session)
    good = ctx.schedule_activity_on_session("work", input, session)
    await ctx.join(*beside)
    await ctx.join(bad, good)
    return "never"


@scenario(
    covers=["15.9", "SS-14.10"],
    workers=2,
    situations=["item.poisoned", "process.stalled"],
    options={**MINUTE, "max_attempts": 2},
)
async def poison_message_in_session(world: World) -> None:
    """A poisoned activity does not harm its session."""
    worker = world.worker("a", running(_one_is_poison), orchestration_concurrency=0)
    other = world.worker(
        "b", running(_one_is_poison), worker_concurrency=0, orchestration_concurrency=1, max_attempts=10
    )
    await start(world, _one_is_poison, "i", input=str(5 + 3 * world.draw("seconds of work / 3", 5)))
    for _ in range(2):
        await world.commit(lambda commit: commit.operation == "abandon_work_item")
    other.stall(25)  # poison ends the instance with its next turn (RT-4.15): let the session be used before
    poisoned = await world.commit(_poison)
    row = world.session("i", "s")
    good = next(one for one in deliveries(world.commits, "s") if item_of(one).name == "work")
    await world.until(lambda: acked(world.commits, good))
    after, used = world.session("i", "s"), world.commits[-1]
    status = await world.finished("i", check=False)
    with world.oracle("15.9"):
        assert failure_text(status) == "poison: activity missing#5 exceeded 3 attempts (max 2)", status
        assert row is not None and row.worker_id == worker.worker_id, row
        assert used.position > poisoned.position and used.process == worker.name, (poisoned, used)
        assert after is not None and after.worker_id == worker.worker_id, after
        assert len(starts(world, session="s")) == 1, starts(world)


def _first_turn(handler: OrchestrationHandler) -> TurnResult:
    return run_turn(
        TurnInput(
            instance="i",
            execution_id=1,
            history=[started()],
            persisted_length=0,
            messages=[],
            handler=handler,
            now_ms=0,
            duroxide_version="0.1.32",
        )
    )


def _session_traces(events: tuple[Event, ...]) -> list[Event]:
    return [event for event in events if isinstance(event, SessionOpened | SessionClosed)]


@scenario(covers=["15.11", "SS-3.7", "SS-3.9"], level="unit")
async def empty_session_id_string_rejected() -> None:
    """The empty id is refused."""

    async def uncaught(ctx: OrchestrationContext, input: str) -> str:
        return ctx.open_session_with_id("")

    async def caught(ctx: OrchestrationContext, input: str) -> str:
        try:
            return ctx.open_session_with_id("")
        except ValueError as error:
            return f"{type(error).__name__}: {error}"

    result = _first_turn(uncaught)
    assert isinstance(result.outcome, TurnFailed), result
    details = result.outcome.details
    assert details.application is not None, details
    assert details.application.kind == "OrchestrationFailed" and not details.application.retryable, details
    assert details.application.message == "session_id must not be empty", details
    assert not _session_traces(result.delta) and not result.actions, result

    result = _first_turn(caught)
    assert isinstance(result.outcome, TurnCompleted), result
    assert result.outcome.output == "SessionIdError: session_id must not be empty", result
    assert not _session_traces(result.delta) and not result.actions, result


async def _long_ids(ctx: OrchestrationContext, input: str) -> str:
    usable = [ctx.open_session_with_id(id) for id in ("k" * 1000, "m" * 1024, "\u00e9" * 512)]
    refused = []
    for id in ("n" * 1025, "\u00e9" * 600):
        try:
            ctx.open_session_with_id(id)
        except SessionIdError as error:
            refused.append(str(error))
    answers = await ctx.join(*(ctx.schedule_activity_on_session("look", "", id) for id in usable))
    again = [await ctx.schedule_activity_on_session("look", "", id) for id in usable]
    for id in usable:
        ctx.close_session(id)
    return encoded([[*answers, *again], refused])


@scenario(covers=["15.12", "SS-3.8"], situations=["session.claimed", "session.served_again"], options=MINUTE)
async def very_long_session_id_handled(world: World) -> None:
    """Long ids work up to a clear limit."""
    world.worker("a", running(_long_ids))
    await start(world, _long_ids, "i")
    status = await world.finished("i", check=False)
    with world.oracle("15.12"):
        answers, refused = answer(status)
        assert refused == [
            "session_id exceeds maximum length of 1024 (got 1025)",
            "session_id exceeds maximum length of 1024 (got 1200)",
        ], refused
        ids = ["k" * 1000, "m" * 1024, "\u00e9" * 512]
        assert [seen(text).session for text in answers] == [*ids, *ids], answers
        assert [seen(text).warm for text in answers] == [False] * 3 + [True] * 3, answers
        assert not world.sessions(), world.sessions()
