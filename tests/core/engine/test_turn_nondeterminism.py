"""Code that does not fit its history: the catalogue of RT-4.80, and what is not in it (RT-4.81)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.core.bench import Bench

from holdfast.core.contract import events, work_items
from holdfast.core.contract.failures import FailureDetails, Infrastructure, application
from holdfast.core.dispatching.batch_decision import RunTurn
from holdfast.core.engine.context import OrchestrationContext
from holdfast.core.engine.futures import Durable
from holdfast.core.engine.turn import run_turn
from holdfast.core.engine.turn_values import (
    ExecutionCompleted,
    ExecutionContinues,
    ExecutionFailed,
    TurnResult,
)
from holdfast.core.program.registry import OrchestrationHandler

SECOND = timedelta(seconds=1)


async def waits_for_a(ctx: OrchestrationContext, input: str) -> str:
    return await ctx.schedule_activity("A", "1")


def nondeterminism_of(result: TurnResult) -> str:
    assert isinstance(result.outcome, ExecutionFailed), result.outcome
    configuration = result.outcome.details.configuration
    assert configuration is not None, result.outcome
    assert configuration.kind == "Nondeterminism"
    assert configuration.resource == ""
    return configuration.message or ""


def recorded(code: OrchestrationHandler) -> Bench:
    """A bench whose history is what `code` recorded in its first turn."""
    bench = Bench(code)
    bench.start()
    return bench


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("done", "no matching schedule for completion id=9"),
        ("fired", "no matching schedule for timer id=9"),
        ("child_done", "no matching schedule for sub-orchestration id=9"),
    ],
)
def test_a_completion_without_schedule(message: str, text: str) -> None:
    """RT-4.9, RT-4.11, RT-4.17: the code is not run and the message leaves no event."""
    bench = recorded(waits_for_a)
    result = bench.replay(None, getattr(bench, message)(9))
    assert nondeterminism_of(result) == text
    assert result.delta == ()


def test_a_completion_of_another_kind() -> None:
    """RT-4.10."""
    bench = recorded(waits_for_a)
    result = bench.replay(None, bench.fired(2))
    assert nondeterminism_of(result) == (
        "completion kind mismatch for id=2, expected 'activity', got 'timer'"
    )


def test_history_schedule_but_no_emitted_action() -> None:
    """RT-4.29."""
    result = recorded(waits_for_a).replay(waits_without_action)
    assert nondeterminism_of(result) == "history schedule but no emitted action"


@pytest.mark.parametrize("fire_and_forget", ["OrchestrationChained", "SessionOpened", "SessionClosed"])
def test_fire_and_forget_history_but_no_emitted_action(fire_and_forget: str) -> None:
    """RT-4.33, RT-27.4, SS-16.9."""

    async def original(ctx: OrchestrationContext, input: str) -> str:
        if fire_and_forget == "OrchestrationChained":
            ctx.start_orchestration("C", "d")
        elif fire_and_forget == "SessionOpened":
            ctx.open_session_with_id("s")
        else:
            ctx.close_session("s")
        await ctx.schedule_timer(SECOND)
        return ""

    result = recorded(original).replay(waits_without_action)
    assert nondeterminism_of(result) == f"history {fire_and_forget} but no emitted action"


class Never(Durable[None]):
    """A future that is never ready and belongs to no action."""

    def is_ready(self) -> bool:
        return False

    def take(self) -> None:
        raise AssertionError("never ready")

    def cancel(self) -> None:
        pass


async def waits_without_action(ctx: OrchestrationContext, input: str) -> str:
    await Never()
    return "unreachable"


def with_activity(**changes: str) -> OrchestrationHandler:
    """Code that schedules the activity of `waits_for_a` with one thing changed."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        if "session_id" in changes:
            return await ctx.schedule_activity_on_session("A", "1", changes["session_id"])
        return await ctx.schedule_activity(
            changes.get("name", "A"), changes.get("input", "1"), tag=changes.get("tag")
        )

    return code


@pytest.mark.parametrize("change", [{"name": "B"}, {"input": "2"}, {"tag": "gpu"}, {"session_id": "s"}])
def test_a_changed_activity_is_a_mismatch(change: dict[str, str]) -> None:
    """RT-4.29, RT-4.30, SS-16.12: name, input, session and tag are compared."""
    result = recorded(waits_for_a).replay(with_activity(**change))
    text = nondeterminism_of(result)
    assert text.startswith("schedule mismatch: action=CallActivity(")
    assert "vs event=ActivityScheduled(" in text


def test_a_mismatch_ends_the_instance_and_tells_the_parent() -> None:
    """RT-4.72, RT-20.14, RT-9.10, RT-11.9."""
    bench = Bench(waits_for_a, instance="p::sub::2")
    bench.start("", parent_instance="p", parent_id=2, parent_execution_id=1)
    bench.code = with_activity(name="B")
    commit = bench.turn()
    assert commit.metadata.output is not None
    assert commit.metadata.output.startswith("nondeterministic: schedule mismatch: ")
    assert [type(item) for item in commit.orchestrator_items] == [work_items.SubOrchFailed]
    assert bench.trace.endswith("3:Failed 4:ActivityCancelRequested(2)")


def test_other_kind_of_action_is_a_mismatch() -> None:
    """RT-4.30."""

    async def timer(ctx: OrchestrationContext, input: str) -> str:
        await ctx.schedule_timer(SECOND)
        return ""

    assert nondeterminism_of(recorded(waits_for_a).replay(timer)).startswith("schedule mismatch: ")


def test_a_recorded_drop_that_no_longer_happens() -> None:
    """RT-4.62."""

    async def drops(ctx: OrchestrationContext, input: str) -> str:
        ctx.schedule_activity("A").cancel()
        await ctx.schedule_timer(SECOND)
        return ""

    async def keeps(ctx: OrchestrationContext, input: str) -> str:
        ctx.schedule_activity("A")
        await ctx.schedule_timer(SECOND)
        await ctx.schedule_timer(SECOND)
        return ""

    bench = recorded(drops)
    assert bench.trace == "1:Started 2:ActivityScheduled 3:TimerCreated 4:ActivityCancelRequested(2)"
    text = nondeterminism_of(bench.replay(keeps))
    assert text == "cancellation mismatch (activities): recorded as dropped [2], dropped by the code []"


def test_status_and_key_value_mismatches() -> None:
    """RT-4.34, RT-4.35."""

    def code(step: str) -> OrchestrationHandler:
        async def run(ctx: OrchestrationContext, input: str) -> str:
            match step:
                case "status":
                    ctx.set_custom_status("x")
                case "set":
                    ctx.set_kv_value("k", "v")
                case "clear":
                    ctx.clear_kv_value("k")
                case "clear all":
                    ctx.clear_kv_values()
            await ctx.schedule_timer(SECOND)
            return ""

        return run

    async def other(ctx: OrchestrationContext, input: str) -> str:
        await ctx.schedule_activity("A")
        return ""

    for step, prefix in [
        ("status", "custom status mismatch: "),
        ("set", "kv set mismatch: "),
        ("clear", "kv clear mismatch: "),
        ("clear all", "kv clear_all mismatch: "),
    ]:
        assert nondeterminism_of(recorded(code(step)).replay(other)).startswith(prefix)


def test_clears_of_different_keys_commute_and_nothing_else_does() -> None:
    """RT-4.36."""

    async def clears_ab(ctx: OrchestrationContext, input: str) -> str:
        ctx.clear_kv_value("a")
        ctx.clear_kv_value("b")
        await ctx.schedule_timer(SECOND)
        return ""

    async def clears_ba(ctx: OrchestrationContext, input: str) -> str:
        ctx.clear_kv_value("b")
        ctx.clear_kv_value("a")
        await ctx.schedule_timer(SECOND)
        return ""

    async def sets_between(ctx: OrchestrationContext, input: str) -> str:
        ctx.set_kv_value("b", "1")
        ctx.clear_kv_value("a")
        await ctx.schedule_timer(SECOND)
        return ""

    bench = recorded(clears_ab)
    assert bench.replay(clears_ba).outcome == ExecutionContinues()
    assert nondeterminism_of(bench.replay(sets_between)).startswith("kv clear mismatch: ")


async def longer_delay(ctx: OrchestrationContext, input: str) -> str:
    ctx.set_custom_status("two")
    await ctx.schedule_timer(timedelta(hours=1))
    ctx.schedule_activity("more")
    await ctx.schedule_wait("x")
    return ""


async def shorter_delay(ctx: OrchestrationContext, input: str) -> str:
    ctx.set_custom_status("one")
    await ctx.schedule_timer(SECOND)
    await ctx.schedule_wait("x")
    return ""


def test_changed_delays_and_status_texts_and_extra_actions_are_no_mismatch() -> None:
    """RT-4.81: the extra action after all recorded ones is new work."""
    bench = recorded(shorter_delay)
    result = bench.replay(longer_delay, bench.fired(3))
    assert result.outcome == ExecutionContinues()
    assert [type(action).__name__ for action in result.actions] == ["CallActivity", "WaitExternal"]


def test_shorter_code_leaves_trailing_history_alone() -> None:
    """RT-4.26."""

    async def short(ctx: OrchestrationContext, input: str) -> str:
        return "done"

    assert recorded(waits_for_a).replay(short).outcome == ExecutionCompleted("done")


@pytest.mark.parametrize("count", [0, 1])
def test_broken_history(count: int) -> None:
    """RT-4.19."""
    bench = recorded(waits_for_a)
    beginning = bench.begin()
    assert isinstance(beginning, RunTurn)
    broken = bench.history[1 : 1 + count]
    result = run_turn(replace(beginning.turn_input, history=broken, persisted_length=count))
    expected = ["empty", "first event must be OrchestrationStarted"][count]
    assert nondeterminism_of(result) == f"corrupted history: {expected}"


def test_an_infrastructure_failure_is_recorded_and_never_seen_by_the_code() -> None:
    """RT-4.15, RT-4.17, RT-20.7."""
    details = FailureDetails(infrastructure=Infrastructure(operation="op", message="down", retryable=True))
    bench = recorded(waits_for_a)
    failed = work_items.ActivityFailedMessage(instance="i", execution_id=1, id=2, details=details)
    bench.turn(failed, bench.cancel())
    assert bench.trace == (
        "1:Started 2:ActivityScheduled 3:ActivityFailed(2) 4:OrchestrationCancelRequested 5:Failed"
    )
    assert bench.output == "infrastructure:op: down"


def test_a_later_schedule_error_replaces_an_earlier_error() -> None:
    """RT-4.11, RT-4.15."""
    bench = recorded(waits_for_a)
    assert nondeterminism_of(bench.replay(None, bench.done(8), bench.done(9))).endswith("id=9")


def test_duplicates_are_dropped_whatever_their_kind() -> None:
    """RT-4.6, RT-4.7: in the batch and against the baseline; first one wins."""
    bench = recorded(_two_activities)
    bench.turn(bench.done(2, "one"), bench.broke(2))
    bench.turn(bench.broke(2), bench.done(3, "two"))
    assert bench.trace == (
        "1:Started 2:ActivityScheduled 3:ActivityScheduled 4:ActivityCompleted(2) 5:ActivityCompleted(3) "
        "6:Completed"
    )
    assert bench.output == '["one","two"]'
    assert [record.event for record in bench.results[-1].log] == ["turn.duplicate_completion_dropped"]


async def _two_activities(ctx: OrchestrationContext, input: str) -> list[str]:
    return await ctx.join(ctx.schedule_activity("A"), ctx.schedule_activity("B"))


def test_only_application_failures_reach_the_code() -> None:
    """RT-4.38, RT-9.11."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        try:
            return await ctx.schedule_sub_orchestration("C")
        except Exception as error:
            return f"caught {type(error).__name__}: {error}"

    bench = recorded(code)
    bench.turn(bench.child_failed(2, application("boom", "Panicked")))
    assert bench.output == "caught ActivityError: orchestration panicked: boom"


def completion(kind: type[events.Event], source: int, **members: object) -> events.Event:
    """A completion put into history by hand, as number 9."""
    return kind(
        event_id=9,
        source_event_id=source,
        instance_id="i",
        execution_id=1,
        timestamp_ms=0,
        duroxide_version="0.1.32",
        **members,
    )


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (completion(events.ActivityCompleted, 7, result="r"), "completion without open schedule"),
        (completion(events.TimerFired, 2, fire_at_ms=1), "completion kind mismatch: expected timer"),
        (
            completion(events.SubOrchestrationCompleted, 2, result="r"),
            "completion kind mismatch: expected suborchestration",
        ),
    ],
)
def test_a_completion_in_history_that_answers_nothing(event: events.Event, text: str) -> None:
    """RT-4.37."""
    bench = recorded(waits_for_a)
    bench.history.append(event)
    assert nondeterminism_of(bench.replay()) == text


def test_a_status_or_key_value_event_may_go_without_an_action() -> None:
    """RT-4.34, RT-4.35: an empty queue is tolerated."""

    async def writes(ctx: OrchestrationContext, input: str) -> str:
        ctx.set_custom_status("x")
        ctx.set_kv_value("k", "v")
        ctx.clear_kv_values()
        await ctx.schedule_wait("x")
        return ""

    bench = recorded(writes)
    del bench.history[-1]  # without the wait, which is not tolerated
    assert bench.replay(waits_without_action).outcome == ExecutionContinues()


def test_actions_on_the_way_out_of_a_failed_turn_do_not_count() -> None:
    """RT-4.70: a panic skips the rest of the turn, its unmatched actions included."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        ctx.schedule_activity("A")
        ctx.select()
        return ""

    bench = Bench(code)
    bench.start()
    assert bench.trace == "1:Started 2:Failed"
    assert bench.output == "orchestration panicked: select needs at least one future"
