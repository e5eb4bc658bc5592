"""Select, join, drops and waits: who wins, and that replay agrees (RT-4.55 to RT-4.69, RT-8)."""

from __future__ import annotations

from datetime import timedelta

import pytest
from tests.core.bench import Bench

from holdfast.core.contract import work_items
from holdfast.core.contract.errors import ActivityError
from holdfast.core.engine.context import OrchestrationContext
from holdfast.core.engine.turn_values import ExecutionContinues

SECOND = timedelta(seconds=1)


def test_join_returns_values_and_failures_in_argument_order() -> None:
    """RT-4.68."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        first, second, third = await ctx.join(
            ctx.schedule_activity("A"), ctx.schedule_activity("B"), ctx.schedule_timer(SECOND)
        )
        assert isinstance(second, ActivityError)
        return f"{first}, {second}, {third}"

    bench = Bench(code)
    bench.start()
    bench.turn(bench.broke(3, "bad"))
    bench.turn(bench.fired(4), bench.done(2, "good"))
    assert bench.output == "good, bad, None"


def test_select_is_biased_only_among_those_ready_at_first_sight() -> None:
    """RT-4.67: history order decides within a batch, argument order among the already complete."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        a, b = ctx.schedule_activity("A"), ctx.schedule_activity("B")
        if input == "late":
            await ctx.schedule_timer(SECOND)
        index, value = await ctx.select(a, b)
        return f"{index}:{value}"

    bench = Bench(code)
    bench.start("early")
    bench.turn(bench.done(3, "b"), bench.done(2, "a"))
    assert bench.output == "1:b"

    bench = Bench(code)
    bench.start("late")
    bench.turn(bench.done(3, "b"), bench.done(2, "a"), bench.fired(4))
    assert bench.output == "0:a"


def test_a_failed_winner_is_a_value_of_select() -> None:
    """RT-4.67: combinators never raise for a child."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        index, value = await ctx.select(ctx.schedule_timer(SECOND), ctx.schedule_activity("A"))
        return f"{index}:{value!r}"

    bench = Bench(code)
    bench.start()
    bench.turn(bench.broke(3, "bad"))
    assert bench.output == "1:ActivityError('bad')"


def test_a_thousand_children_join() -> None:
    """RT-4.69."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        return str(len(await ctx.join(*(ctx.schedule_activity("A", n) for n in range(1_024)))))

    bench = Bench(code)
    bench.start()
    bench.turn(*(bench.done(schedule_id) for schedule_id in range(1_025, 1, -1)))
    assert bench.output == "1024"


def test_nested_combinators() -> None:
    """RT-4.67, RT-4.68: a join that loses a select drops what nobody has observed."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        both = ctx.join(ctx.schedule_activity("A"), ctx.schedule_activity("B"))
        index, _ = await ctx.select(both, ctx.schedule_timer(SECOND))
        await ctx.schedule_timer(SECOND)
        return str(index)

    bench = Bench(code)
    bench.start()
    bench.turn(bench.done(2), bench.fired(4))
    assert bench.trace.endswith("7:TimerCreated 8:ActivityCancelRequested(2) 9:ActivityCancelRequested(3)")


def test_unobserved_futures_are_dropped_at_the_end() -> None:
    """RT-4.55, RT-4.57, RT-4.60, RT-9.14, RT-5.27: by kind, then by schedule id."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        ctx.dequeue_event("q")
        ctx.schedule_wait("w")
        ctx.schedule_sub_orchestration("C")
        ctx.schedule_activity("A")
        ctx.schedule_timer(SECOND)
        if input:
            await ctx.schedule_timer(SECOND)
        return "done"

    bench = Bench(code)
    commit = bench.start()
    assert bench.trace.endswith(
        "7:ActivityCancelRequested(5) 8:SubOrchestrationCancelRequested(4) 9:ExternalSubscribedCancelled(3) "
        "10:ExternalSubscribedPersistentCancelled(2) 11:Completed"
    )
    assert commit.worker_items == ()
    assert commit.orchestrator_items == ()

    bench = Bench(code)
    bench.start("wait")
    commit = bench.turn(bench.fired(7))
    assert commit.orchestrator_items == (
        work_items.CancelInstance(instance="i::sub::4", reason="parent dropped sub-orchestration future"),
    )


def test_scheduled_and_dropped_in_one_turn() -> None:
    """RT-4.65: enqueued and cancelled by one acknowledgement."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        ctx.schedule_activity("A").cancel()
        await ctx.schedule_timer(SECOND)
        return ""

    commit = Bench(code).start()
    assert [item.id for item in commit.worker_items] == [2]
    assert [each.activity_id for each in commit.cancelled_activities] == [2]


def test_replaying_a_drop_sends_nothing_again() -> None:
    """RT-4.61."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        ctx.schedule_activity("A").cancel()
        await ctx.schedule_timer(SECOND)
        await ctx.schedule_timer(SECOND)
        return ""

    bench = Bench(code)
    bench.start()
    commit = bench.turn(bench.fired(3))
    assert commit.cancelled_activities == ()
    assert bench.trace.endswith("4:ActivityCancelRequested(2) 5:TimerFired(3) 6:TimerCreated")


def test_a_completion_after_the_cancel_request_is_recorded() -> None:
    """RT-4.64, RT-4.39."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        ctx.schedule_activity("A").cancel()
        await ctx.schedule_timer(SECOND)
        return "end"

    bench = Bench(code)
    bench.start()
    bench.turn(bench.done(2))
    bench.turn(bench.fired(3))
    assert bench.trace.endswith("5:ActivityCompleted(2) 6:TimerFired(3) 7:Completed")


def test_a_dropped_future_cannot_be_awaited_but_a_timer_can() -> None:
    """RT-4.59, RT-4.70."""

    async def awaits_loser(ctx: OrchestrationContext, input: str) -> str:
        loser = ctx.schedule_activity("A")
        await ctx.select(ctx.schedule_timer(SECOND), loser)
        return await loser

    async def reuses_timer(ctx: OrchestrationContext, input: str) -> str:
        deadline = ctx.schedule_timer(SECOND)
        index, _ = await ctx.select(ctx.schedule_activity("A"), deadline)
        again, _ = await ctx.select(ctx.schedule_activity("A"), deadline)
        return f"{index}{again}"

    bench = Bench(awaits_loser)
    bench.start()
    bench.turn(bench.fired(3))
    assert bench.output is not None
    assert bench.output.startswith("orchestration panicked: CallActivity(")
    assert "is awaited; schedule it again instead" in bench.output

    bench = Bench(reuses_timer)
    bench.start()
    bench.turn(bench.done(3))
    bench.turn(bench.fired(2))
    assert bench.output == "01"


def test_a_dropped_future_cannot_be_taken_by_hand() -> None:
    """RT-4.70: a mistake of the code, also where its answer is there; not one of the engine's."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        answered = ctx.schedule_activity("A")
        await ctx.schedule_timer(SECOND)
        answered.cancel()
        return answered.take()

    bench = Bench(code)
    bench.start()
    bench.turn(bench.done(2, "a"), bench.fired(3))
    assert "was dropped (it lost a select or was cancelled)" in bench.output


# --- positional events --------------------------------------------------------------------------------------


def test_waits_receive_in_binding_order_whatever_is_awaited_first() -> None:
    """RT-8.2, RT-8.7."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        first, second = ctx.schedule_wait("x"), ctx.schedule_wait("x")
        late = await second
        early = await first
        return f"{early} {late}"

    bench = Bench(code)
    bench.start()
    bench.turn(bench.raised("x", "1"))
    bench.turn(bench.raised("X", "other case"), bench.raised("x", "2"))
    assert bench.output == "1 2"


def test_a_losing_wait_does_not_swallow_the_next_event() -> None:
    """RT-8.5, RT-8.6, RT-8.8, RT-4.77: also with the value of the loser already delivered."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        lost = ctx.schedule_wait("x")
        index, _ = await ctx.select(ctx.schedule_timer(SECOND), lost)
        return f"{index} {await ctx.schedule_wait('x')}"

    for first_batch in ([], ["swallowed"]):
        bench = Bench(code)
        bench.start()
        bench.turn(bench.fired(3), *(bench.raised("x", data) for data in first_batch))
        bench.turn(bench.raised("x", "next"))
        assert bench.output == "0 next"


def test_an_event_nobody_waits_for_is_recorded_and_lost() -> None:
    """RT-4.13, RT-4.40, RT-8.3."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        await ctx.schedule_timer(SECOND)
        return await ctx.schedule_wait("x")

    bench = Bench(code)
    bench.start()
    bench.turn(bench.raised("x", "lost"))
    assert [record.event for record in bench.results[-1].log] == ["turn.external_event_missed"]
    bench.turn(bench.fired(2))
    bench.turn(bench.raised("x", "kept"))
    assert bench.output == "kept"


# --- queues -------------------------------------------------------------------------------------------------


def test_messages_are_kept_and_read_in_order() -> None:
    """RT-8.12, RT-8.14, RT-4.46: several in one turn, through quiescence."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        return "".join([await ctx.dequeue_event("q") for _ in range(3)])

    bench = Bench(code)
    bench.start("", bench.queued("q", "a"), bench.queued("other", "-"), bench.queued("q", "b"))
    bench.turn(bench.queued("q", "c"))
    assert bench.output == "abc"


def test_more_buffered_messages_than_quiescence_rounds_of_the_reference() -> None:
    """RT-4.47, RT-8.21."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        for _ in range(250):
            last = await ctx.dequeue_event("q")
        return last

    bench = Bench(code)
    bench.start("", *(bench.queued("q", str(n)) for n in range(250)))
    assert bench.output == "249"


def test_an_older_dequeue_keeps_its_message_reserved() -> None:
    """RT-8.13, RT-8.14; and gives it up when dropped (RT-8.15)."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        older, newer = ctx.dequeue_event("q"), ctx.dequeue_event("q")
        second = await newer
        older.cancel()
        first = await ctx.dequeue_event("q")
        return f"{first} {second}"

    bench = Bench(code)
    bench.start("", bench.queued("q", "1"), bench.queued("q", "2"))
    assert bench.output == "1 2"


def test_a_cancelled_dequeue_consumes_nothing() -> None:
    """RT-8.15, RT-8.20: replacement dequeue right after the loss, message and timer in one batch."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        index, _ = await ctx.select(ctx.schedule_timer(SECOND), ctx.dequeue_event("q"))
        replacement = await ctx.dequeue_event("q")
        await ctx.schedule_timer(SECOND)
        return f"{index} {replacement}"

    bench = Bench(code)
    bench.start()
    bench.turn(bench.fired(2), bench.queued("q", "m"))
    assert bench.replay().outcome == ExecutionContinues()
    bench.turn(bench.fired(7))
    assert bench.output == "0 m"


@pytest.mark.parametrize("order", ["first queue first", "second queue first"])
def test_two_dequeues_bound_together_race_alike_live_and_on_replay(order: str) -> None:
    """RT-4.48, RT-8.20: replay must not poll between the bindings of one turn."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        one, two = ctx.dequeue_event("1"), ctx.dequeue_event("2")
        futures = (one, two) if order == "first queue first" else (two, one)
        _, value = await ctx.select(*futures)
        await ctx.schedule_activity(f"won by {value}")
        return str(value)

    bench = Bench(code)
    bench.start("", bench.queued("1", "m1"), bench.queued("2", "m2"))
    winner = "m1" if order == "first queue first" else "m2"
    assert [item.name for item in bench.last.worker_items] == [f"won by {winner}"]
    bench.turn(bench.done(bench.last.worker_items[0].id))
    assert bench.output == winner


def test_a_dequeue_lost_before_it_is_bound() -> None:
    """RT-8.20, RT-4.58, RT-4.77."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        await ctx.schedule_timer(SECOND)
        ctx.dequeue_event("q").cancel()
        got = await ctx.dequeue_event("q")
        await ctx.schedule_timer(SECOND)
        return got

    bench = Bench(code)
    bench.start("", bench.queued("q", "m"))
    bench.turn(bench.fired(3))
    assert bench.trace.endswith("8:ExternalSubscribedPersistentCancelled(5)"), bench.trace
    bench.turn(bench.fired(7))
    assert bench.output == "m"


# --- traces -------------------------------------------------------------------------------------------------


def test_traces_are_written_once() -> None:
    """RT-4.74, RT-4.75, RT-18.7."""
    seen: list[bool] = []

    async def code(ctx: OrchestrationContext, input: str) -> str:
        seen.append(ctx.is_replaying)
        ctx.trace_info("before")
        await ctx.schedule_activity("A")
        ctx.trace("warn", "between")
        await ctx.schedule_activity("B")
        ctx.trace("odd", "after")
        return ""

    bench = Bench(code)
    bench.start()
    bench.turn(bench.done(2))
    bench.turn(bench.done(4))
    logs = [[(record.level, record.fields["message"]) for record in result.log] for result in bench.results]
    assert logs == [[("info", "before")], [("warning", "between")], [("debug", "after")]]
    assert seen == [False, True, True]
