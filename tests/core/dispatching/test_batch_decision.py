"""What is decided about a fetched batch before any code runs (RT-5.7 to RT-5.18, RT-9.18, RT-13, RT-14)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.core.bench import Bench, policy

from holdfast.core.contract import events, work_items
from holdfast.core.contract.events import OpaqueEvent
from holdfast.core.contract.provider import OrchestrationItem
from holdfast.core.contract.work_items import Message, StartOrchestration
from holdfast.core.dispatching.batch_decision import (
    AbandonFor,
    Beginning,
    Consume,
    Poisoned,
    RunTurn,
    begin_execution,
)
from holdfast.core.engine.context import OrchestrationContext
from holdfast.core.program.registry import Registry


async def waits(ctx: OrchestrationContext, input: str) -> str:
    return await ctx.schedule_activity("A")


async def returns(ctx: OrchestrationContext, input: str) -> str:
    return input


async def goes_on(ctx: OrchestrationContext, input: str) -> str:
    ctx.continue_as_new("next")
    await ctx.schedule_timer(timedelta(0))
    return ""


def start(instance: str = "i", input: str = "x", parent: str | None = None) -> StartOrchestration:
    return StartOrchestration(
        instance=instance,
        orchestration="Code",
        input=input,
        parent_instance=parent,
        parent_id=None if parent is None else 2,
        parent_execution_id=None if parent is None else 1,
        execution_id=1,
    )


def begin(item: OrchestrationItem, attempt_count: int = 1, registry: Registry | None = None) -> Beginning:
    if registry is None:
        registry = Registry()
        registry.add_orchestration("Code", waits)
    return begin_execution(item, attempt_count, policy=policy(registry, max_attempts=3), now_ms=1)


def test_a_new_instance_gets_its_first_event() -> None:
    """RT-5.13, RT-5.17, RT-1.8, RT-3.4, RT-14.11."""
    beginning = Bench(waits).begin(start(parent="p"), Bench(waits).raised("e"))
    assert isinstance(beginning, RunTurn)
    turn = beginning.turn_input
    (first,) = turn.history
    assert isinstance(first, events.OrchestrationStarted)
    assert (first.event_id, first.name, first.version, first.input) == (1, "Code", "1.0.0", "x")
    assert (first.parent_instance, first.parent_id, first.parent_execution_id) == ("p", 2, 1)
    assert turn.persisted_length == 0
    assert [record.event for record in beginning.log] == ["Orchestration started"]
    assert [type(message) for message in turn.messages] == [work_items.ExternalRaised]


def test_a_second_start_changes_nothing_of_a_running_instance() -> None:
    """RT-5.9, RT-5.10, RT-5.14."""
    bench = Bench(waits)
    bench.start("original")
    beginning = bench.begin(start(input="other"), bench.done(2))
    assert isinstance(beginning, RunTurn)
    assert beginning.turn_input.history == bench.history
    assert [type(message) for message in beginning.turn_input.messages] == [
        work_items.ActivityCompletedMessage
    ]
    (record,) = beginning.log
    assert record.event == "Ignoring duplicate StartOrchestration for an existing instance"
    assert beginning.turn_input.notices == ()


def test_a_batch_for_an_ended_instance_disappears() -> None:
    """RT-5.11, RT-8.18, RT-11.2."""
    bench = Bench(returns)
    bench.start()
    beginning = bench.begin(start(), bench.cancel(), bench.queued("q"), bench.done(2))
    assert isinstance(beginning, Consume)
    assert (beginning.execution_id, beginning.orchestrator_items) == (1, ())
    assert bench.begin(bench.cancel(), attempt_count=99) == Consume(execution_id=1)


@pytest.mark.parametrize("code", [returns, waits])
def test_a_child_start_that_meets_somebody_elses_instance_fails_there(code: object) -> None:
    """RT-9.18, RT-9.19: ended or running, the incoming parent is told; its own's repeat is ignored."""
    bench = Bench(code)  # type: ignore[arg-type]
    bench.start("", parent_instance="own", parent_id=2, parent_execution_id=1)
    beginning = bench.begin(start(parent="stranger"), start(parent="own"), start())
    if isinstance(beginning, RunTurn):
        notices = tuple(beginning.turn_input.notices)
        bench.turn(start(parent="stranger"))
        assert bench.last.orchestrator_items == notices
    else:
        assert isinstance(beginning, Consume)
        notices = beginning.orchestrator_items
    (notice,) = notices
    assert isinstance(notice, work_items.SubOrchFailed)
    assert notice.parent_instance == "stranger"
    assert notice.details.display() == "sub-orchestration instance id 'i' already exists and is terminal"


def test_messages_between_two_executions_wait_for_the_successor() -> None:
    """RT-5.12, RT-10.9: whatever the attempt count."""
    bench = Bench(goes_on)
    bench.start()
    for attempt_count, delay in [(1, 1_000), (3, 4_000), (50, 60_000)]:
        beginning = bench.begin(bench.queued("q"), start(), attempt_count=attempt_count)
        assert isinstance(beginning, AbandonFor)
        assert beginning.delay == delay


def test_a_continue_as_new_is_preferred_over_a_start() -> None:
    """RT-5.9, RT-5.13."""
    bench = Bench(goes_on)
    bench.start()
    beginning = bench.begin(start(), bench.successor())
    assert isinstance(beginning, RunTurn)
    assert (beginning.turn_input.execution_id, beginning.turn_input.persisted_length) == (2, 0)
    first = beginning.turn_input.history[0]
    assert isinstance(first, events.OrchestrationStarted)
    assert first.input == "next"


def test_messages_for_nobody_are_consumed() -> None:
    """RT-5.15."""
    bench = Bench(waits)
    assert isinstance(bench.begin(bench.cancel()), Consume)


# --- which code ---------------------------------------------------------------------------------------------


def test_unregistered_code_is_waited_for() -> None:
    """RT-13.14, RT-13.15, RT-5.16."""
    item = Bench(waits).item(start())
    answers = [begin(item, attempt_count, Registry()) for attempt_count in (1, 2, 3)]
    delays = [answer.delay for answer in answers if isinstance(answer, AbandonFor)]
    assert delays == [1_000, 2_000, 4_000]
    last = answers[-1]
    assert isinstance(last, AbandonFor)
    (record,) = last.log
    assert record.event == (
        "Orchestration not registered, abandoning with 4s backoff (will poison in 1 more attempts)"
    )


def test_versions_of_starts_and_of_running_executions() -> None:
    """RT-14.8 to RT-14.12, RT-5.14."""
    registry = Registry()
    for version in ("1.0.0", "1.2.0", "2.0.0"):
        registry.add_orchestration("Code", waits, version=version)
    bench = Bench(waits)

    def resolved(message: Message) -> str | None:
        beginning = begin(bench.item(message), registry=registry)
        return beginning.version if isinstance(beginning, RunTurn) else None

    assert resolved(start()) == "2.0.0"
    for wanted, found in [("1.2.0", "1.2.0"), ("1.3.0", None), ("latest", None)]:
        asked = StartOrchestration(
            instance="i", orchestration="Code", input="", version=wanted, execution_id=1
        )
        assert resolved(asked) == found
    bench.start()  # registered as 1.0.0
    assert resolved(bench.done(2)) == "1.0.0"


@pytest.mark.parametrize("stamp", ["0.1.30", "0.1.33", "1.0.0", "garbage"])
def test_executions_pinned_elsewhere_are_left_to_others(stamp: str) -> None:
    """RT-14.16, RT-4.76, RT-4.79: whatever the attempt count."""
    bench = Bench(waits)
    bench.start()
    first = bench.history[0]
    assert isinstance(first, events.OrchestrationStarted)
    bench.history[0] = events.OrchestrationStarted(
        event_id=1,
        instance_id="i",
        execution_id=1,
        timestamp_ms=0,
        duroxide_version=stamp,
        name="Code",
        version="1.0.0",
        input="",
    )
    beginning = bench.begin(bench.done(2), attempt_count=99)
    assert isinstance(beginning, AbandonFor)
    assert beginning.delay == 1_000


# --- poison -------------------------------------------------------------------------------------------------


def test_a_poisoned_start_leaves_a_failed_instance() -> None:
    """RT-5.7, RT-13.4 to RT-13.7, RT-9.10."""
    item = replace(Bench(waits).item(start(parent="p")), version="unknown")
    assert isinstance(begin(item, 3), RunTurn)
    beginning = begin(item, 4)
    assert isinstance(beginning, Poisoned)
    commit = beginning.commit
    first, last = commit.history_delta
    assert isinstance(first, events.OrchestrationStarted)
    assert (first.version, first.input, first.parent_instance) == ("unknown", "x", "p")
    assert isinstance(last, events.OrchestrationFailed)
    assert last.details.poison is not None
    assert last.details.poison.message.startswith('[{"StartOrchestration":{"instance":"i",')
    assert commit.metadata.status == "Failed"
    assert commit.metadata.output == "poison: orchestration i exceeded 4 attempts (max 3)"
    assert (commit.metadata.orchestration_name, commit.metadata.parent_instance_id) == ("Code", "p")
    assert commit.metadata.pinned_duroxide_version is None
    (notice,) = commit.orchestrator_items
    assert isinstance(notice, work_items.SubOrchFailed)
    assert notice.details == last.details


def test_a_poisoned_batch_ends_a_running_instance_and_what_it_left_open() -> None:
    """RT-13.5, RT-11.12, RT-9.15, SS-18.2, SS-18.5."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        ctx.open_session_with_id("s")
        ctx.schedule_sub_orchestration("Child")
        ctx.schedule_wait("w")
        return await ctx.schedule_activity("A")

    bench = Bench(code)
    bench.start()
    beginning = bench.begin(bench.done(5), attempt_count=11)
    assert isinstance(beginning, Poisoned)
    kinds = [f"{event.event_id}:{events.kind_of(event)}" for event in beginning.commit.history_delta]
    assert kinds == [
        "6:ExternalSubscribedCancelled",
        "7:OrchestrationFailed",
        "8:ActivityCancelRequested",
    ]
    assert [each.session_id for each in beginning.commit.metadata.cancelled_sessions] == ["s"]
    assert beginning.commit.orchestrator_items == (
        work_items.CancelInstance(instance="i::sub::3", reason="parent canceled"),
    )


def test_a_poisoned_successor_fails_the_new_execution() -> None:
    """RT-13.5, RT-13.6, SS-17.13: carried sessions are cleaned up too."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        ctx.open_session_with_id("s")
        ctx.continue_as_new("next")
        return ""

    bench = Bench(code)
    bench.start()
    beginning = bench.begin(bench.successor(), attempt_count=11)
    assert isinstance(beginning, Poisoned)
    commit = beginning.commit
    assert commit.execution_id == 2
    assert [event.event_id for event in commit.history_delta] == [1, 2]
    assert [each.session_id for each in commit.metadata.cancelled_sessions] == ["s"]
    assert commit.failure is not None and commit.failure.poison is not None
    assert commit.failure.poison.message_type.orchestration is not None
    assert commit.failure.poison.message_type.orchestration.execution_id == 2


# --- unreadable history -------------------------------------------------------------------------------------


def test_an_unreadable_history_is_left_to_newer_nodes_first() -> None:
    """RT-5.8, RT-13.9."""
    item = replace(Bench(waits).item(), history_error="bad JSON")
    beginning = begin(item, 3)
    assert isinstance(beginning, AbandonFor)
    assert beginning.delay == 1_000


@pytest.mark.parametrize(
    ("instance", "parent"),
    [
        ("p::sub::2", ("p", 1, 2)),
        ("p::sub::2::sub::3_7", ("p::sub::2", 3, 7)),
        ("root", None),
        ("p::sub::x", None),
    ],
)
def test_an_unreadable_history_ends_with_one_event(
    instance: str, parent: tuple[str, int, int] | None
) -> None:
    """RT-13.10 to RT-13.13: above every id, and the parent is told if the id names it."""
    item = replace(Bench(waits, instance=instance).item(), history_error="bad JSON")
    beginning = begin(item, 4)
    assert isinstance(beginning, Poisoned)
    commit = beginning.commit
    (end,) = commit.history_delta
    assert end.event_id > 99_999
    assert commit.metadata.output == (
        f"poison: orchestration {instance} history deserialization failed after 4 attempts (max 3): bad JSON"
    )
    told = [
        (item.parent_instance, item.parent_execution_id, item.parent_id)
        for item in commit.orchestrator_items
        if isinstance(item, work_items.SubOrchFailed)
    ]
    assert told == ([] if parent is None else [parent])


def test_an_event_of_an_unknown_kind_is_never_skipped() -> None:
    """RT-2.4, RT-2.16."""
    bench = Bench(waits)
    bench.start()
    opaque = OpaqueEvent(event_id=3, kind="ExternalEvent2", encoded=b"{}")
    item = replace(bench.item(bench.done(2)), history=[*bench.history, opaque])
    assert isinstance(begin(item, 1), AbandonFor)
    assert isinstance(begin(item, 4), Poisoned)
