"""The reference traces of RT-26, as far as the engine alone can show them."""

from __future__ import annotations

from datetime import timedelta

from tests.core.bench import Bench

from holdfast.core.contract import work_items
from holdfast.core.contract.failures import cancelled
from holdfast.core.engine.context import OrchestrationContext

MS_50 = timedelta(milliseconds=50)


async def race_then_timer(ctx: OrchestrationContext, input: str) -> str:
    index, value = await ctx.select(ctx.schedule_activity("A"), ctx.schedule_activity("B"))
    await ctx.schedule_timer(MS_50)
    return f"{index}:{value}"


def test_rt_26_1_the_loser_of_a_race_is_cancelled_after_the_turns_schedules() -> None:
    """RT-26.1, RT-4.60."""
    bench = Bench(race_then_timer)
    bench.start()
    commit = bench.turn(bench.done(2, "a"))
    assert [each.activity_id for each in commit.cancelled_activities] == [3]
    bench.turn(bench.fired(5))
    assert bench.trace == (
        "1:Started 2:ActivityScheduled 3:ActivityScheduled 4:ActivityCompleted(2) 5:TimerCreated "
        "6:ActivityCancelRequested(3) 7:TimerFired(5) 8:Completed"
    )
    assert bench.output == "0:a"
    assert bench.last.cancelled_activities == ()


def test_rt_26_2_both_racers_in_one_batch_still_drop_the_second() -> None:
    """RT-26.2, RT-4.55."""
    bench = Bench(race_then_timer)
    bench.start()
    bench.turn(bench.done(2, "a"), bench.done(3, "b"))
    bench.turn(bench.fired(6))
    assert bench.trace == (
        "1:Started 2:ActivityScheduled 3:ActivityScheduled 4:ActivityCompleted(2) 5:ActivityCompleted(3) "
        "6:TimerCreated 7:ActivityCancelRequested(3) 8:TimerFired(6) 9:Completed"
    )


def test_rt_26_3_a_child_that_loses_is_cancelled_after_the_new_timer() -> None:
    """RT-26.3, RT-5.21, RT-4.64."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        child = ctx.schedule_sub_orchestration("Child", "x")
        index, _ = await ctx.select(child, ctx.schedule_timer(timedelta(milliseconds=100)))
        await ctx.schedule_timer(timedelta(milliseconds=200))
        return str(index)

    bench = Bench(code)
    bench.start()
    commit = bench.turn(bench.fired(3))
    assert commit.orchestrator_items == (
        work_items.TimerFiredMessage(instance="i", execution_id=1, id=5, fire_at_ms=1_200),
        work_items.CancelInstance(instance="i::sub::2", reason="parent dropped sub-orchestration future"),
    )
    bench.turn(bench.child_failed(2, cancelled("parent dropped sub-orchestration future")))
    bench.turn(bench.fired(5))
    assert bench.trace == (
        "1:Started 2:SubOrchestrationScheduled 3:TimerCreated 4:TimerFired(3) 5:TimerCreated "
        "6:SubOrchestrationCancelRequested(2) 7:SubOrchestrationFailed(2) 8:TimerFired(5) 9:Completed"
    )


def test_rt_26_4_a_message_older_than_its_dequeue_is_read_in_the_same_turn() -> None:
    """RT-26.4, RT-4.46, RT-8.12."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        return await ctx.dequeue_event("q")

    bench = Bench(code)
    bench.start("", bench.queued("q", "first"))
    assert bench.trace == ("1:Started 2:ExternalEventPersistent 3:ExternalSubscribedPersistent 4:Completed")
    assert bench.output == "first"


def test_rt_26_5_an_event_older_than_its_wait_is_missed() -> None:
    """RT-26.5, RT-8.3, RT-8.4."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        return await ctx.schedule_wait("go")

    bench = Bench(code)
    bench.start("", bench.raised("go", "early"))
    assert bench.trace == "1:Started 2:ExternalEvent 3:ExternalSubscribed"
    bench.turn(bench.raised("go", "late"))
    assert bench.trace.endswith("4:ExternalEvent 5:Completed")
    assert bench.output == "late"


def test_rt_26_6_start_and_cancel_in_one_batch() -> None:
    """RT-26.6, RT-11.3, RT-5.26."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        return await ctx.dequeue_event("q")

    bench = Bench(code)
    bench.start("", bench.cancel("top"))
    assert bench.trace == (
        "1:Started 2:OrchestrationCancelRequested 3:ExternalSubscribedPersistent "
        "4:ExternalSubscribedPersistentCancelled(3) 5:Failed(Cancelled)"
    )
    assert bench.output == "canceled: top"
    assert bench.last.outcome == "Cancelled"
    assert bench.last.metadata.status == "Failed"


def test_rt_26_7_cancel_while_an_activity_runs() -> None:
    """RT-26.7, RT-11.6, RT-11.9."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        return await ctx.schedule_activity("A")

    bench = Bench(code)
    bench.start()
    commit = bench.turn(bench.cancel())
    assert bench.trace == (
        "1:Started 2:ActivityScheduled 3:OrchestrationCancelRequested 4:Failed(Cancelled) "
        "5:ActivityCancelRequested(2)"
    )
    assert [tuple(each) for each in commit.cancelled_activities] == [("i", 1, 2)]


def test_rt_26_8_an_older_timer_leaves_no_event_in_the_next_execution() -> None:
    """RT-26.8, RT-4.5, RT-10.10."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        if input == "again":
            await ctx.schedule_timer(MS_50)
            return "done"
        ctx.schedule_timer(timedelta(seconds=9))
        await ctx.schedule_timer(MS_50)
        await ctx.continue_as_new("again")
        return "never"

    bench = Bench(code)
    bench.start()
    bench.turn(bench.fired(3))
    assert bench.trace == "1:Started 2:TimerCreated 3:TimerCreated 4:TimerFired(3) 5:ContinuedAsNew"
    bench.turn(bench.successor())
    bench.turn(bench.fired(2, execution_id=1))
    bench.turn(bench.fired(2))
    assert bench.execution_id == 2
    assert bench.trace == "1:Started 2:TimerCreated 3:TimerFired(2) 4:Completed"


def test_rt_26_9_a_detached_start_has_no_parent() -> None:
    """RT-26.9, RT-9.20, RT-5.22."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        ctx.start_orchestration("Child", "detached-1", "d")
        return "ok"

    bench = Bench(code)
    commit = bench.start()
    assert bench.trace == "1:Started 2:OrchestrationChained 3:Completed"
    assert commit.orchestrator_items == (
        work_items.StartOrchestration(
            instance="detached-1", orchestration="Child", input="d", execution_id=1
        ),
    )


def test_rt_26_10_cancellation_goes_down_level_by_level() -> None:
    """RT-26.10, RT-9.12: the parent's outstanding child is cancelled, its own parent is told."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        return await ctx.schedule_sub_orchestration("Child", "x")

    bench = Bench(code, instance="g::sub::2")
    bench.start("", parent_instance="g", parent_id=2, parent_execution_id=1)
    commit = bench.turn(bench.cancel("parent canceled"))
    assert commit.orchestrator_items == (
        work_items.CancelInstance(instance="g::sub::2::sub::2", reason="parent canceled"),
        work_items.SubOrchFailed(
            parent_instance="g",
            parent_execution_id=1,
            parent_id=2,
            details=cancelled("parent canceled"),
        ),
    )
    assert bench.trace == (
        "1:Started 2:SubOrchestrationScheduled 3:OrchestrationCancelRequested 4:Failed(Cancelled)"
    )
