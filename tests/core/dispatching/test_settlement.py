"""From the result of a turn to the acknowledgement (RT-5.20 to RT-5.37, RT-10, RT-11.8, RT-22)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.core.bench import Bench

from holdfast.core.contract import events, work_items
from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.failures import Application, FailureDetails
from holdfast.core.contract.provider import KvEntry, Version
from holdfast.core.dispatching.batch_decision import RunTurn
from holdfast.core.dispatching.settlement import acknowledgement_failed
from holdfast.core.engine.context import OrchestrationContext
from holdfast.core.program.limits import TurnLimits
from holdfast.core.program.registry import OrchestrationHandler

SECOND = timedelta(seconds=1)


async def everything(ctx: OrchestrationContext, input: str) -> str:
    ctx.schedule_activity("A", "1", tag="gpu")
    ctx.schedule_timer(SECOND)
    ctx.start_orchestration("Root", "detached", "d", version="2.0.0")
    ctx.schedule_sub_orchestration("Child", {"n": 1}, version="1.2.3")
    ctx.schedule_sub_orchestration("Child", "x", instance_id="explicit")
    ctx.set_custom_status("busy")
    ctx.set_kv_value("k", "v")
    await ctx.schedule_wait("go")
    return "done"


def test_continue_dispatches_every_action_in_order() -> None:
    """RT-5.20, RT-9.2, RT-9.21, RT-1.12 to RT-1.15, RT-7.2, RT-2.12."""
    bench = Bench(everything, instance="p")
    commit = bench.start()
    assert commit.worker_items == (
        work_items.ActivityExecute(instance="p", execution_id=1, id=2, name="A", input="1", tag="gpu"),
    )
    assert commit.orchestrator_items == (
        work_items.TimerFiredMessage(instance="p", execution_id=1, id=3, fire_at_ms=2_000),
        work_items.StartOrchestration(
            instance="detached", orchestration="Root", input="d", version="2.0.0", execution_id=1
        ),
        work_items.StartOrchestration(
            instance="p::sub::5",
            orchestration="Child",
            input='{"n":1}',
            version="1.2.3",
            parent_instance="p",
            parent_id=5,
            parent_execution_id=1,
            execution_id=1,
        ),
        work_items.StartOrchestration(
            instance="explicit",
            orchestration="Child",
            input="x",
            parent_instance="p",
            parent_id=6,
            parent_execution_id=1,
            execution_id=1,
        ),
    )
    child = bench.history[4]
    assert isinstance(child, events.SubOrchestrationScheduled)
    assert child.instance == "sub::5"


def test_child_suffixes_of_later_executions_name_the_execution() -> None:
    """RT-1.12."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        if not input:
            ctx.continue_as_new("second")
        else:
            await ctx.schedule_sub_orchestration("Child")
        return ""

    bench = Bench(code, instance="p")
    bench.start()
    commit = bench.turn(bench.successor())
    (start,) = commit.orchestrator_items
    assert isinstance(start, work_items.StartOrchestration)
    assert (start.instance, start.parent_execution_id) == ("p::sub::2_2", 2)


def test_metadata_of_a_first_turn_and_of_a_later_one() -> None:
    """RT-5.29 to RT-5.31."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        return await ctx.schedule_activity("A")

    bench = Bench(code)
    first = bench.start("", parent_instance="p", parent_id=7, parent_execution_id=3).metadata
    assert (first.orchestration_name, first.orchestration_version) == ("Code", "1.0.0")
    assert first.parent_instance_id == "p"
    assert first.pinned_duroxide_version == Version(0, 1, 32)
    assert (first.status, first.output) == (None, None)
    commit = bench.turn(bench.done(2, "result"))
    last = commit.metadata
    assert (last.orchestration_name, last.pinned_duroxide_version) == (None, None)
    assert (last.status, last.output) == ("Completed", "result")
    assert commit.orchestrator_items == (
        work_items.SubOrchCompleted(parent_instance="p", parent_execution_id=3, parent_id=7, result="result"),
    )


def test_activities_in_flight_are_cancelled_after_the_terminal_event() -> None:
    """RT-11.8 to RT-11.11: panicked code collects no drops, so they are in flight."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        first, second = ctx.schedule_activity("A"), ctx.schedule_activity("B")
        await ctx.schedule_timer(SECOND)
        await Foreign()
        return f"{first}{second}"

    bench = Bench(code)
    bench.start()
    bench.turn(bench.done(2), bench.fired(4))
    assert bench.trace.endswith(
        "5:ActivityCompleted(2) 6:TimerFired(4) 7:Failed 8:ActivityCancelRequested(3)"
    )
    reason = bench.history[-1]
    assert isinstance(reason, events.ActivityCancelRequested)
    assert reason.reason == "orchestration_terminal_failed"
    assert [tuple(each) for each in bench.last.cancelled_activities] == [("i", 1, 3)]


def test_children_of_an_orchestration_that_breaks_are_cancelled() -> None:
    """RT-9.15, RT-5.27: not those of the breaking turn."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        child = ctx.schedule_sub_orchestration("Child")
        await ctx.dequeue_event("q")
        ctx.schedule_sub_orchestration("Child")
        await ctx.dequeue_event("q")
        await Foreign()
        return await child

    bench = Bench(code)
    bench.start()
    commit = bench.turn(bench.queued("q"), bench.queued("q"))
    assert commit.failure is not None and commit.failure.application is not None
    assert commit.failure.application.kind == "Panicked"
    assert "something of another world" in commit.failure.application.message
    assert commit.orchestrator_items == (
        work_items.CancelInstance(instance="i::sub::2", reason="parent canceled"),
    )


class Foreign:
    """What awaiting an asyncio future looks like to the engine."""

    def __await__(self):  # type: ignore[no-untyped-def]
        yield "something of another world"


def test_ordinary_exceptions_fail_and_signals_panic() -> None:
    """RT-4.70, RT-4.71, RT-20.14."""

    def raising(error: BaseException) -> OrchestrationHandler:
        async def code(ctx: OrchestrationContext, input: str) -> str:
            raise error

        return code

    for error, kind, output in [
        (ValueError("boom"), "OrchestrationFailed", "ValueError: boom"),
        (KeyError(), "OrchestrationFailed", "KeyError"),
        (SystemExit(3), "Panicked", "orchestration panicked: SystemExit: 3"),
        (GeneratorExit(), "Panicked", "orchestration panicked: GeneratorExit"),
    ]:
        bench = Bench(raising(error))
        commit = bench.start()
        assert commit.failure is not None and commit.failure.application is not None
        assert (commit.failure.application.kind, bench.output) == (kind, output)


def test_programming_errors_of_the_code_panic() -> None:
    """RT-1.17, RT-4.3, RT-8.22; RT-1.18 is an ordinary failure."""

    async def reserved(ctx: OrchestrationContext, input: str) -> str:
        ctx.start_orchestration("Root", "a::sub::b")
        return ""

    async def late_tag(ctx: OrchestrationContext, input: str) -> str:
        future = ctx.schedule_activity("A")
        await ctx.dequeue_event("q")
        future.with_tag("gpu")
        return ""

    async def tagged_timer(ctx: OrchestrationContext, input: str) -> str:
        ctx.schedule_timer(SECOND).with_tag("gpu")
        return ""

    async def typed(ctx: OrchestrationContext, input: str) -> str:
        return str(await ctx.dequeue_event_typed("q", int))

    for code in (reserved, late_tag, tagged_timer, typed):
        bench = Bench(code)
        bench.start("", bench.queued("q", "no number"))
        assert bench.output is not None
        assert bench.output.startswith("orchestration panicked: "), bench.output

    async def reserved_child(ctx: OrchestrationContext, input: str) -> str:
        return await ctx.schedule_sub_orchestration("C", instance_id="sub::x")

    bench = Bench(reserved_child)
    bench.start()
    assert bench.output == "instance id 'sub::x' uses the reserved sub-orchestration marker 'sub::'"
    assert bench.trace == "1:Started 2:Failed"


def test_texts_that_cannot_be_stored_are_refused_in_the_code() -> None:
    """RT-1.5, RT-2.4: a broken promise must not become an event nobody can read."""

    async def no_name(ctx: OrchestrationContext, input: str) -> str:
        await ctx.schedule_activity(None)  # type: ignore[arg-type]
        return ""

    async def surrogate(ctx: OrchestrationContext, input: str) -> str:
        ctx.set_custom_status("\ud800")
        return ""

    for code, text in [
        (no_name, "TypeError: CallActivity.name must be a str, it is None"),
        (surrogate, "ValueError: status cannot be stored as UTF-8"),
    ]:
        bench = Bench(code)
        bench.start()
        assert bench.output is not None
        assert bench.output.startswith(text)
        assert bench.trace == "1:Started 2:Failed"


# --- continue-as-new ----------------------------------------------------------------------------------------


async def reads_one_and_goes_on(ctx: OrchestrationContext, input: str) -> str:
    ctx.set_custom_status("st0")
    ctx.schedule_wait("w")
    await ctx.dequeue_event("q")
    ctx.start_orchestration("Root", "detached")
    ctx.schedule_activity("Never run")
    ctx.continue_as_new_versioned("2.0.0", {"n": 1})
    ctx.continue_as_new("ignored")
    return "ignored"


def test_continue_as_new_carries_messages_status_and_parent() -> None:
    """RT-4.51, RT-10.2 to RT-10.6, RT-10.12 to RT-10.14, RT-9.23, RT-2.15."""
    bench = Bench(reads_one_and_goes_on, limits=TurnLimits(carry_forward_count_max=2))
    bench.start("", parent_instance="p", parent_id=2, parent_execution_id=4)
    messages = [
        bench.queued("q", "read"),
        bench.queued("r", "1"),
        bench.queued("q", "2"),
        bench.queued("q", "3"),
    ]
    commit = bench.turn(*messages)
    assert commit.outcome == "ContinuedAsNew"
    assert commit.worker_items == ()
    assert commit.orchestrator_items == (
        work_items.StartOrchestration(instance="detached", orchestration="Root", input="", execution_id=1),
        work_items.ContinueAsNewMessage(
            instance="i",
            orchestration="Code",
            input='{"n":1}',
            version="2.0.0",
            parent_instance="p",
            parent_id=2,
            parent_execution_id=4,
            carry_forward_events=(("r", "1"), ("q", "2")),
            initial_custom_status="st0",
        ),
    )
    assert (commit.metadata.status, commit.metadata.output) == ("ContinuedAsNew", '{"n":1}')
    kinds = [events.kind_of(event) for event in commit.history_delta[-3:]]
    assert kinds == [
        "ExternalSubscribedCancelled",
        "OrchestrationContinuedAsNew",
        "ActivityCancelRequested",
    ]
    assert "turn.carry_forward_dropped" in [record.event for record in commit.log_committed]


def test_the_next_execution_begins_with_what_was_carried() -> None:
    """RT-5.17, RT-5.18, RT-10.7, RT-10.15 to RT-10.17, RT-17.6, RT-2.14."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        if not input:
            ctx.set_custom_status("carried status")
            ctx.continue_as_new("second")
            return ""
        assert ctx.get_custom_status() == "carried status"
        return await ctx.dequeue_event("q")

    bench = Bench(code)
    bench.start("", bench.queued("q", "old"))
    bench.turn(bench.queued("q", "new"), bench.successor())
    assert bench.execution_id == 2
    assert bench.output == "old"
    started = bench.history[0]
    assert isinstance(started, events.OrchestrationStarted)
    assert started.carry_forward_events == (("q", "old"),)
    assert started.initial_custom_status == "carried status"
    assert bench.trace == (
        "1:Started 2:ExternalEventPersistent 3:ExternalEventPersistent 4:ExternalSubscribedPersistent "
        "5:Completed"
    )


def test_cancellation_beats_continue_as_new_and_starts_nothing() -> None:
    """RT-4.49, RT-4.50, RT-9.22, RT-10.11."""
    bench = Bench(reads_one_and_goes_on)
    commit = bench.start("", bench.queued("q"), bench.cancel())
    assert commit.outcome == "Cancelled"
    assert commit.orchestrator_items == ()
    assert commit.worker_items == ()


# --- limits -------------------------------------------------------------------------------------------------


def asks_for(what: str, size: int) -> OrchestrationHandler:
    async def code(ctx: OrchestrationContext, input: str) -> str:
        ctx.set_kv_value("fine", "v")
        match what:
            case "status":
                ctx.set_custom_status("é" * (size // 2))
            case "tag":
                ctx.schedule_activity("A", tag="t" * size)
            case "value":
                ctx.set_kv_value("k", "v" * size)
            case "keys":
                for n in range(size - 1):
                    ctx.set_kv_value(str(n), "v")
        await ctx.schedule_timer(SECOND)
        return "done"

    return code


@pytest.mark.parametrize(
    ("what", "limit", "message"),
    [
        ("status", 262_144, "Custom status size (262146 bytes) exceeds limit (262144 bytes)"),
        ("tag", 256, "Activity 'A' tag size (258 bytes) exceeds limit (256 bytes)"),
        ("value", 65_536, "KV value for key 'k' (65538 bytes) exceeds limit (65536 bytes)"),
        ("keys", 150, "KV key count (152) exceeds limit (150)"),
    ],
)
def test_a_limit_is_met_exactly_and_broken_beyond(what: str, limit: int, message: str) -> None:
    """RT-22.1 to RT-22.8, RT-17.9, RT-16.17: nothing the turn asked for is stored or done."""
    assert Bench(asks_for(what, limit)).start().outcome == "Continue"
    bench = Bench(asks_for(what, limit + 2))
    commit = bench.start("", bench.raised("x"), parent_instance="p", parent_id=2, parent_execution_id=1)
    assert bench.output == message
    assert bench.trace == "1:Started 2:ExternalEvent 3:Failed"
    assert commit.worker_items == ()
    assert [type(item) for item in commit.orchestrator_items] == [work_items.SubOrchFailed]
    assert commit.failure == FailureDetails(
        application=Application(kind="OrchestrationFailed", message=message)
    )


def test_a_limit_beats_completion_and_counts_keys_of_the_snapshot() -> None:
    """RT-22.6, RT-16.17."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        ctx.clear_kv_value("0")
        ctx.set_kv_value("new", "v")
        if input:
            ctx.set_kv_value("newer", "v")
        return "done"

    snapshot = {str(n): KvEntry("v", 0) for n in range(150)}
    assert Bench(code, kv_snapshot=snapshot).start().outcome == "Completed"
    bench = Bench(code, kv_snapshot=snapshot)
    assert bench.start("more").outcome == "Failed"
    assert [type(event).__name__ for event in bench.history].count("OrchestrationFailed") == 1
    assert bench.output == "KV key count (151) exceeds limit (150)"


# --- the failed acknowledgement -----------------------------------------------------------------------------


def test_the_record_of_a_failed_acknowledgement_of_a_first_turn() -> None:
    """RT-5.35, RT-5.37, RT-11.12, SS-18.2."""
    bench = Bench(everything)
    start = work_items.StartOrchestration(
        instance="i",
        orchestration="Code",
        input="",
        parent_instance="p",
        parent_id=2,
        parent_execution_id=1,
        execution_id=1,
    )
    beginning = bench.begin(start)
    assert isinstance(beginning, RunTurn)
    error = ProviderError.permanent("ack_orchestration_item", "broken")
    commit = acknowledgement_failed(beginning.turn_input, error)
    assert [events.kind_of(event) for event in commit.history_delta] == [
        "OrchestrationStarted",
        "OrchestrationFailed",
    ]
    assert commit.metadata.orchestration_name == "Code"
    assert commit.metadata.status == "Failed"
    assert commit.metadata.output == "infrastructure:ack_orchestration_item: broken"
    assert [type(item) for item in commit.orchestrator_items] == [work_items.SubOrchFailed]
    assert commit.worker_items == ()


def test_the_record_of_a_failed_acknowledgement_of_a_later_turn() -> None:
    """RT-5.35, RT-9.15, RT-11.12, SS-18.5: what the stored history leaves open is cancelled."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        ctx.open_session_with_id("s")
        ctx.schedule_sub_orchestration("Child")
        return await ctx.schedule_activity_on_session("A", "1", "s")

    bench = Bench(code)
    bench.start()
    beginning = bench.begin(bench.done(4))
    assert isinstance(beginning, RunTurn)
    commit = acknowledgement_failed(beginning.turn_input, ProviderError.permanent("ack", "broken"))
    assert [event.event_id for event in commit.history_delta] == [5, 6]
    assert [each.activity_id for each in commit.cancelled_activities] == [4]
    assert [each.session_id for each in commit.metadata.cancelled_sessions] == ["s"]
    assert commit.orchestrator_items == (
        work_items.CancelInstance(instance="i::sub::3", reason="parent canceled"),
    )
