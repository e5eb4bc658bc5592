"""Sessions in the engine: checks in program order, replay, close, carry-over (SS-5, SS-6, SS-16, SS-17)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.core.bench import Bench

from holdfast.core.contract import events, work_items
from holdfast.core.contract.errors import SessionIdError
from holdfast.core.contract.provider import ScheduledSessionIdentifier
from holdfast.core.engine.context import OrchestrationContext
from holdfast.core.engine.open_sessions import OpenSessions
from holdfast.core.engine.turn_values import ExecutionContinues, ExecutionFailed
from holdfast.core.program.limits import TurnLimits
from holdfast.core.program.registry import OrchestrationHandler

SECOND = timedelta(seconds=1)


def ids(identifiers: object) -> list[str]:
    assert isinstance(identifiers, tuple)
    assert all(isinstance(each, ScheduledSessionIdentifier) for each in identifiers)
    return [each.session_id for each in identifiers]


async def opens_and_uses(ctx: OrchestrationContext, input: str) -> str:
    session_id = ctx.open_session()
    result = await ctx.schedule_activity_on_session("A", "1", session_id)
    ctx.close_session(session_id)
    return result


def test_open_use_close() -> None:
    """SS-2.1, SS-5.1, SS-5.8, SS-6.1, SS-15.1, SS-18.5, SS-22.1, SS-22.2."""
    bench = Bench(opens_and_uses)
    first = bench.start()
    assert bench.trace == "1:Started 2:SessionOpened 3:ActivityScheduled"
    assert ids(first.metadata.opened_sessions) == ["session-1-1"]
    assert first.metadata.cancelled_sessions == ()
    assert [item.session_id for item in first.worker_items] == ["session-1-1"]
    assert [record.event for record in first.log_committed] == ["session.opened"]
    last = bench.turn(bench.done(3, "r"))
    assert bench.trace.endswith("4:ActivityCompleted(3) 5:SessionClosed 6:Completed")
    assert last.metadata.opened_sessions == ()
    assert ids(last.metadata.cancelled_sessions) == ["session-1-1"]
    assert [record.event for record in last.log_committed] == ["session.closed", "Orchestration completed"]


def test_session_calls_return_at_once_and_a_second_open_does_nothing() -> None:
    """SS-2.2 to SS-2.4, SS-5.2: no action, no event, no id consumed."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        assert ctx.open_session_with_id("s") == "s"
        assert ctx.open_session_with_id("s") == "s"
        ctx.close_session("unknown")
        await ctx.schedule_timer(SECOND)
        return ""

    bench = Bench(code)
    commit = bench.start()
    assert bench.trace == "1:Started 2:SessionOpened 3:SessionClosed 4:TimerCreated"
    assert ids(commit.metadata.opened_sessions) == ["s"]
    assert commit.metadata.cancelled_sessions == ()


@pytest.mark.parametrize(
    ("session_id", "message"),
    [
        ("", "session_id must not be empty"),
        ("x" * 1_025, "session_id exceeds maximum length of 1024 (got 1025)"),
        ("é" * 513, "session_id exceeds maximum length of 1024 (got 1026)"),
    ],
)
def test_a_refused_id_raises_in_the_code_and_leaves_no_trace(session_id: str, message: str) -> None:
    """SS-3.7 to SS-3.9."""

    async def catches(ctx: OrchestrationContext, input: str) -> str:
        with pytest.raises(SessionIdError, match="session_id"):
            ctx.open_session_with_id(session_id)
        return "went on"

    async def lets_go(ctx: OrchestrationContext, input: str) -> str:
        return ctx.open_session_with_id(session_id)

    bench = Bench(catches)
    bench.start()
    assert (bench.trace, bench.output) == ("1:Started 2:Completed", "went on")
    bench = Bench(lets_go)
    commit = bench.start()
    assert (bench.trace, bench.output) == ("1:Started 2:Failed", message)
    assert commit.failure is not None and commit.failure.application is not None
    assert commit.failure.application.kind == "OrchestrationFailed"
    assert issubclass(SessionIdError, ValueError)


def test_the_longest_id_is_accepted() -> None:
    """SS-3.8."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        return str(len(ctx.open_session_with_id("é" * 512)))

    assert Bench(code).start().metadata.output == "512"


def test_generated_ids_are_distinct_and_move_on_at_a_clash() -> None:
    """SS-2.1, SS-3.4, SS-3.5."""

    async def code(ctx: OrchestrationContext, input: str) -> list[str]:
        ctx.open_session_with_id("session-1-2")
        clashing = ctx.open_session()
        ctx.close_session("session-1-2")
        return [clashing, ctx.open_session()]

    bench = Bench(code)
    bench.start()
    assert bench.output == '["session-1-2.1","session-1-4"]'
    carried = OpenSessions(["session-2-1", "session-2-1.1"])
    assert carried.new_id(execution_id=2, position=1) == "session-2-1.2"
    assert carried.new_id(execution_id=3, position=1) == "session-3-1"


# --- the two checks -----------------------------------------------------------------------------------------


def test_scheduling_on_a_session_that_is_not_open_ends_the_turn() -> None:
    """SS-16.3, SS-16.5, SS-16.6, RT-27.8: earlier actions are recorded, nothing is enqueued for workers."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        ctx.schedule_activity("Before")
        ctx.start_orchestration("Root", "detached")
        ctx.open_session_with_id("s")
        try:
            ctx.schedule_activity_on_session("A", "1", "other")
        except BaseException:
            ctx.schedule_activity("After")
        return "swallowed"

    bench = Bench(code)
    commit = bench.start()
    assert bench.trace == (
        "1:Started 2:ActivityScheduled 3:OrchestrationChained 4:SessionOpened 5:ActivityCancelRequested(2) "
        "6:Failed"
    )
    assert bench.output == "schedule_activity_on_session called for session 'other' which is not open"
    assert commit.worker_items == ()
    assert [type(item) for item in commit.orchestrator_items] == [work_items.StartOrchestration]
    assert commit.metadata.opened_sessions == ()
    assert ids(commit.metadata.cancelled_sessions) == ["s"]
    assert commit.failure is not None and commit.failure.application is not None
    assert commit.failure.application.kind == "OrchestrationFailed"
    assert not commit.failure.application.retryable


def test_a_refused_session_action_beats_cancellation() -> None:
    """RT-27.8, RT-4.49."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        ctx.schedule_activity_on_session("A", "1", "s")
        return ""

    bench = Bench(code)
    assert bench.start("", bench.cancel()).outcome == "Failed"


def test_the_limit_counts_what_is_open_before_the_call() -> None:
    """SS-16.4, SS-21.1: a close frees its place for the next action of the turn."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        ctx.open_session_with_id("a")
        ctx.open_session_with_id("b")
        ctx.close_session("a")
        ctx.open_session_with_id("c")
        if input:
            ctx.open_session_with_id("d")
        await ctx.schedule_timer(SECOND)
        return ""

    limits = TurnLimits(sessions_per_orchestration_max=2)
    bench = Bench(code, limits=limits)
    assert ids(bench.start().metadata.opened_sessions) == ["b", "c"]
    bench = Bench(code, limits=limits)
    bench.start("more")
    assert bench.output == "max sessions per orchestration exceeded (limit: 2, open: 2)"


def test_a_limit_of_zero_refuses_every_open() -> None:
    """SS-21.2."""
    bench = Bench(opens_and_uses, limits=TurnLimits(sessions_per_orchestration_max=0))
    bench.start()
    assert bench.output == "max sessions per orchestration exceeded (limit: 0, open: 0)"
    assert bench.trace == "1:Started 2:Failed"


def test_checks_apply_to_new_actions_only() -> None:
    """SS-16.7, SS-17.8: a limit lowered meanwhile fails no recorded open, but the next new one."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        for name in ("a", "b", "c"):
            ctx.open_session_with_id(name)
        await ctx.schedule_timer(SECOND)
        ctx.open_session_with_id("d")
        return ""

    bench = Bench(code)
    bench.start()
    bench.limits = TurnLimits(sessions_per_orchestration_max=1)
    assert bench.replay().outcome == ExecutionContinues()
    bench.turn(bench.fired(5))
    assert bench.output == "max sessions per orchestration exceeded (limit: 1, open: 3)"


# --- replay -------------------------------------------------------------------------------------------------


def session_code(*steps: str) -> OrchestrationHandler:
    """Code that opens (`+s`) and closes (`-s`) sessions, calls activities (`s!`), and waits at the end."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        for step in steps:
            if step.startswith("+"):
                ctx.open_session_with_id(step[1:])
            elif step.startswith("-"):
                ctx.close_session(step[1:])
            else:
                ctx.schedule_activity_on_session("A", "1", step[:-1])
        await ctx.schedule_timer(SECOND)
        await ctx.schedule_timer(SECOND)
        return ""

    return code


@pytest.mark.parametrize(
    ("recorded", "replayed"),
    [
        (["+a", "+b"], ["+b", "+a"]),
        (["+a"], ["+b"]),
        (["+a"], ["-a"]),
        (["-a"], ["+a"]),
        (["+a"], ["-x", "+a"]),
        (["+a", "a!"], ["+a", "+b", "a!"]),
        (["+a", "+b", "a!"], ["+a", "+b", "b!"]),
    ],
)
def test_changed_session_calls_are_a_mismatch(recorded: list[str], replayed: list[str]) -> None:
    """SS-16.10 to SS-16.12."""
    bench = Bench(session_code(*recorded))
    bench.start()
    outcome = bench.replay(session_code(*replayed)).outcome
    assert isinstance(outcome, ExecutionFailed)
    assert outcome.details.display().startswith("nondeterministic: schedule mismatch: ")


def test_replay_sees_the_same_ids_and_open_set() -> None:
    """SS-16.1, SS-16.14, INV-33."""
    bench = Bench(session_code("+a", "+b", "-a", "+c", "c!", "+c"))
    bench.start()
    result = bench.replay()
    assert result.outcome == ExecutionContinues()
    assert result.actions == ()
    assert result.open_sessions_before == result.open_sessions_after == ("b", "c")
    assert (result.opened_sessions, result.cancelled_sessions) == ((), ())


# --- close --------------------------------------------------------------------------------------------------


async def closes_while_running(ctx: OrchestrationContext, input: str) -> str:
    ctx.open_session_with_id("s")
    on_session = ctx.schedule_activity_on_session("A", "1", "s")
    await ctx.schedule_timer(SECOND)
    ctx.close_session("s")
    index, _ = await ctx.select(on_session, ctx.schedule_timer(SECOND))
    return str(index)


def test_close_cancels_what_is_unfinished_and_its_future_never_resolves() -> None:
    """SS-6.6, SS-6.10, SS-6.12, SS-15.2, SS-15.6, SS-16.13, SS-22.8, RT-27.6, RT-27.7, INV-15."""
    bench = Bench(closes_while_running)
    bench.start()
    commit = bench.turn(bench.fired(4))
    assert bench.trace.endswith("5:TimerFired(4) 6:SessionClosed 7:TimerCreated 8:ActivityCancelRequested(3)")
    assert isinstance(bench.history[-1], events.ActivityCancelRequested)
    assert bench.history[-1].reason == "session_closed"
    assert [each.activity_id for each in commit.cancelled_activities] == [3]
    assert ids(commit.metadata.cancelled_sessions) == ["s"]

    late = bench.turn(bench.done(3, "late"))
    assert late.history_delta == ()
    assert late.log == (), "the message is not gone before the turn is stored"
    (record,) = late.log_committed
    assert record.event == "session.late_completion_dropped"
    assert record.fields["instance_id"] == "i"
    assert (record.fields["activity_id"], record.fields["session_id"]) == (3, "s")

    bench.turn(bench.fired(7))
    assert bench.output == "1"
    assert bench.trace.endswith("9:TimerFired(7) 10:Completed"), "dropping it again adds no second request"


def test_a_completion_in_the_batch_of_the_close_stays_visible() -> None:
    """SS-6.11, INV-17."""
    bench = Bench(closes_while_running)
    bench.start()
    commit = bench.turn(bench.fired(4), bench.done(3, "in time"))
    assert bench.output == "0"
    assert commit.cancelled_activities == ()


def test_an_activity_of_the_closing_turn_is_never_enqueued() -> None:
    """SS-6.7, SS-6.14, RT-27.10."""
    bench = Bench(session_code("+s", "s!", "-s"))
    commit = bench.start()
    assert bench.trace == (
        "1:Started 2:SessionOpened 3:ActivityScheduled 4:SessionClosed 5:TimerCreated "
        "6:ActivityCancelRequested(3)"
    )
    assert commit.worker_items == ()
    assert commit.metadata.opened_sessions == ()
    assert ids(commit.metadata.cancelled_sessions) == ["s"]


def test_close_and_reopen_separates_the_incarnations() -> None:
    """SS-5.3, SS-6.13, SS-15.1, SS-6.10: late completions of the first only are dropped."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        ctx.open_session_with_id("s")
        ctx.schedule_activity_on_session("Old", "1", "s")
        await ctx.schedule_timer(SECOND)
        ctx.close_session("s")
        ctx.open_session_with_id("s")
        return await ctx.schedule_activity_on_session("New", "1", "s")

    bench = Bench(code)
    bench.start()
    commit = bench.turn(bench.fired(4))
    assert ids(commit.metadata.opened_sessions) == ids(commit.metadata.cancelled_sessions) == ["s"]
    assert [item.name for item in commit.worker_items] == ["New"]
    bench.turn(bench.done(3, "late"), bench.done(8, "new"))
    assert bench.output == "new"


def test_dropped_and_closed_in_one_turn_keeps_one_request() -> None:
    """RT-27.6, INV-17."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        ctx.open_session_with_id("s")
        both = [ctx.schedule_activity_on_session("A", str(n), "s") for n in range(2)]
        await ctx.schedule_timer(SECOND)
        both[1].cancel()
        ctx.close_session("s")
        await ctx.schedule_timer(SECOND)
        return ""

    bench = Bench(code)
    bench.start()
    commit = bench.turn(bench.fired(5))
    requests = [
        (event.source_event_id, event.reason)
        for event in bench.history
        if isinstance(event, events.ActivityCancelRequested)
    ]
    assert requests == [(4, "dropped_future"), (3, "session_closed")]
    assert [each.activity_id for each in commit.cancelled_activities] == [4, 3]


def test_cancel_request_of_close_comes_before_the_terminal_event() -> None:
    """RT-27.6, SS-18.6."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        ctx.open_session_with_id("s")
        ctx.open_session_with_id("left open")
        ctx.schedule_activity_on_session("A", "1", "s")
        await ctx.schedule_timer(SECOND)
        ctx.close_session("s")
        await ctx.schedule_activity("B")
        return ""

    bench = Bench(code)
    bench.start()
    commit = bench.turn(bench.fired(5), bench.cancel())
    assert bench.trace.endswith(
        "8:SessionClosed 9:ActivityScheduled 10:ActivityCancelRequested(4) 11:Failed(Cancelled) "
        "12:ActivityCancelRequested(9)"
    )
    assert ids(commit.metadata.cancelled_sessions) == ["s", "left open"]


# --- continue-as-new ----------------------------------------------------------------------------------------


async def carries(ctx: OrchestrationContext, input: str) -> str:
    if input == "":
        for name in ("a", "b", "c"):
            ctx.open_session_with_id(name)
        await ctx.schedule_activity_on_session("A", "1", "a")
        ctx.schedule_activity_on_session("InFlight", "1", "a")
        ctx.close_session("b")
        ctx.continue_as_new("second")
        ctx.open_session_with_id("d")
        return "ignored"
    ctx.open_session_with_id("a")
    own = ctx.open_session()
    await ctx.schedule_activity_on_session("A", "1", "a")
    ctx.close_session("a")
    await ctx.schedule_timer(SECOND)
    return own


def test_open_sessions_are_carried_to_the_next_execution() -> None:
    """SS-17.1 to SS-17.3, SS-17.6, SS-17.7, SS-17.9 to SS-17.11, SS-15.7, RT-27.5, INV-32."""
    bench = Bench(carries)
    bench.start()
    commit = bench.turn(bench.done(5))
    ended = next(e for e in commit.history_delta if isinstance(e, events.OrchestrationContinuedAsNew))
    assert ended.open_sessions == ("a", "c", "d")
    assert ids(commit.metadata.opened_sessions) == ["d"]
    assert ids(commit.metadata.cancelled_sessions) == ["b"]
    assert commit.worker_items == ()
    assert bench.trace.endswith("10:SessionOpened 11:ContinuedAsNew 12:ActivityCancelRequested(7)")
    successor = bench.successor()
    assert isinstance(successor, work_items.ContinueAsNewMessage)
    assert successor.open_sessions == ("a", "c", "d")

    first = bench.turn(successor)
    assert bench.trace == "1:Started 2:SessionOpened 3:ActivityScheduled"
    assert bench.results[-1].open_sessions_before == ("a", "c", "d")
    assert ids(first.metadata.opened_sessions) == ["session-2-1"]
    assert first.metadata.cancelled_sessions == ()
    second = bench.turn(bench.done(3))
    assert ids(second.metadata.cancelled_sessions) == ["a"]
    last = bench.turn(bench.fired(6))
    assert ids(last.metadata.cancelled_sessions) == ["c", "d", "session-2-1"]


# --- the provider's support ---------------------------------------------------------------------------------


def test_a_provider_without_sessions_fails_the_orchestration() -> None:
    """SS-15.3, RT-27.12, INV-40: row 8.6; detached starts are not done either."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        ctx.start_orchestration("Root", "detached")
        return await opens_and_uses(ctx, input)

    bench = Bench(code, supports_sessions=False, instance="p::sub::2")
    commit = bench.start("", parent_instance="p", parent_id=2, parent_execution_id=1)
    assert bench.output == "Provider does not support sessions"
    assert commit.worker_items == ()
    assert [type(item) for item in commit.orchestrator_items] == [work_items.SubOrchFailed]
    assert commit.metadata.opened_sessions == ()


def test_without_session_calls_support_does_not_matter() -> None:
    """SS-11.9, INV-41."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        ctx.close_session("never opened")
        return await ctx.schedule_activity("A")

    with_support, without = Bench(code), Bench(code, supports_sessions=False)
    assert replace(with_support.start(), log=()) == replace(without.start(), log=())


def test_typed_scheduling_on_a_session_equals_the_untyped() -> None:
    """SS-2.6: same stored input, same decoding, same failure."""

    async def code(ctx: OrchestrationContext, input: str) -> list[str]:
        ctx.open_session_with_id("s")
        value = {"x": [1, "é"]}
        on_session = ctx.schedule_activity_on_session_typed("A", value, "s", dict[str, int])
        plain = ctx.schedule_activity_typed("A", value, dict[str, int])
        one, two = await ctx.join(on_session, plain)
        return [repr(one), repr(two)]

    for answer in ('{"y":1}', "no JSON"):
        bench = Bench(code)
        commit = bench.start()
        inputs = [item.input for item in commit.worker_items]
        assert inputs == ['{"x":[1,"é"]}'] * 2
        bench.turn(bench.done(3, answer), bench.done(4, answer))
        one, two = [each for each in (bench.output or "").strip("[]").split('","')][:2]
        assert one.strip('"') == two.strip('"')
