"""The context beside scheduling: key-values, status, system calls, retries (RT-12, RT-16 to RT-18)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from tests.core.bench import Bench

from holdfast.core.contract import events, work_items
from holdfast.core.contract.errors import ConfigurationError
from holdfast.core.contract.provider import KvEntry
from holdfast.core.engine.context import OrchestrationContext
from holdfast.core.program.retry import (
    Backoff,
    ExponentialBackoff,
    FixedBackoff,
    LinearBackoff,
    NoBackoff,
    RetryPolicy,
)

SECOND = timedelta(seconds=1)


# --- key-values ---------------------------------------------------------------------------------------------


def test_writes_take_effect_at_once_and_reads_are_free() -> None:
    """RT-16.1 to RT-16.5, RT-16.15, RT-1.24."""

    async def code(ctx: OrchestrationContext, input: str) -> list[object]:
        seen: list[object] = [ctx.get_kv_value("old"), ctx.get_kv_value("none")]
        ctx.set_kv_value("b", "1")
        ctx.set_kv_value_typed("a", "text")
        seen += [ctx.get_kv_all_keys(), ctx.get_kv_value("a"), ctx.get_kv_value_typed("a", str)]
        await ctx.schedule_timer(SECOND)
        ctx.set_kv_value("b", str(int(ctx.get_kv_value("b") or "0") + 1))
        ctx.clear_kv_value("absent")
        seen.append(ctx.get_kv_all_values())
        ctx.clear_kv_values()
        seen.append(ctx.get_kv_length())
        return seen

    bench = Bench(code, kv_snapshot={"old": KvEntry("snapshot", 5)})
    bench.start()
    bench.turn(bench.fired(4))
    assert bench.output == (
        '["snapshot",null,["a","b","old"],"\\"text\\"","text",{"a":"\\"text\\"","b":"2","old":"snapshot"},0]'
    )
    assert bench.trace.endswith("6:KeyValueSet 7:KeyValueCleared 8:KeyValuesCleared 9:Completed")
    assert bench.results[-1].kv_key_count == 0


def test_pruning_decides_alike_on_replay() -> None:
    """RT-16.6: by recorded times; a set of this very poll is never pruned."""

    async def code(ctx: OrchestrationContext, input: str) -> list[object]:
        ctx.set_kv_value("mine", "v")
        first = ctx.prune_kv_values_updated_before(10_000)
        keys = ctx.get_kv_all_keys()
        await ctx.schedule_timer(SECOND)
        second = ctx.prune_kv_values_updated_before(1_001)
        await ctx.schedule_timer(SECOND)
        return [first, keys, second, ctx.get_kv_all_keys()]

    bench = Bench(code, kv_snapshot={"young": KvEntry("v", 20_000), "old": KvEntry("v", 9_999)})
    bench.start()
    bench.now_ms = 50_000
    bench.turn(bench.fired(4))
    bench.turn(bench.fired(7))
    assert bench.output == '[1,["mine","young"],1,["young"]]'


def test_a_value_of_another_instance_is_a_system_call() -> None:
    """RT-16.7, RT-18.4, RT-18.5."""

    async def code(ctx: OrchestrationContext, input: str) -> list[str | None]:
        return await ctx.join(
            ctx.get_kv_value_from_instance("other", "k"), ctx.get_kv_value_from_instance("other", "l")
        )

    bench = Bench(code)
    commit = bench.start()
    first = commit.worker_items[0]
    assert (first.name, first.input) == (
        "__duroxide_syscall:get_kv_value",
        '{"instance_id":"other","key":"k"}',
    )
    bench.turn(bench.done(2, '"v"'), bench.done(3, "null"))
    assert bench.output == '["v",null]'


# --- status and system calls --------------------------------------------------------------------------------


def test_every_status_call_is_recorded() -> None:
    """RT-17.1, RT-17.2."""

    async def code(ctx: OrchestrationContext, input: str) -> list[str | None]:
        seen = [ctx.get_custom_status()]
        ctx.set_custom_status("a")
        ctx.set_custom_status("a")
        seen.append(ctx.get_custom_status())
        ctx.reset_custom_status()
        seen.append(ctx.get_custom_status())
        return seen

    bench = Bench(code)
    bench.start()
    statuses = [event.status for event in bench.history if isinstance(event, events.CustomStatusUpdated)]
    assert statuses == ["a", "a", None]
    assert bench.output == '[null,"a",null]'


def test_guid_and_time_are_recorded_activities() -> None:
    """RT-18.1 to RT-18.3, RT-18.6."""

    async def code(ctx: OrchestrationContext, input: str) -> list[str]:
        guid, time, broken = await ctx.join(ctx.new_guid(), ctx.utc_now(), ctx.utc_now())
        assert time == datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC)
        return [guid, str(broken)]

    bench = Bench(code)
    commit = bench.start()
    assert [(item.name, item.input) for item in commit.worker_items[:2]] == [
        ("__duroxide_syscall:new_guid", ""),
        ("__duroxide_syscall:utc_now_ms", ""),
    ]
    bench.turn(bench.done(2, "guid"), bench.done(3, "1767323045678"), bench.done(4, "noon"))
    assert bench.output == '["guid","utc_now: \'noon\' is no time in milliseconds"]'


def test_the_context_knows_its_place() -> None:
    """RT-1.6, RT-4.73."""

    async def code(ctx: OrchestrationContext, input: str) -> list[object]:
        return [ctx.instance_id, ctx.execution_id, ctx.orchestration_name, ctx.orchestration_version]

    bench = Bench(code)
    bench.start()
    assert bench.output == '["i",1,"Code","1.0.0"]'


def test_negative_delays_are_refused_and_huge_ones_saturate() -> None:
    """RT-4.4."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        with pytest.raises(ValueError, match="zero or more"):
            ctx.schedule_timer(-SECOND)
        await ctx.schedule_timer(timedelta.max)
        return ""

    bench = Bench(code, now_ms=2**63 - 2)
    bench.start()
    timer = bench.history[1]
    assert isinstance(timer, events.TimerCreated)
    assert timer.fire_at_ms == 2**63 - 1


def test_typed_calls_encode_and_decode() -> None:
    """RT-1.22, RT-1.23, RT-8.22, RT-12.12."""

    async def code(ctx: OrchestrationContext, input: str) -> list[object]:
        return [
            await ctx.schedule_sub_orchestration_typed("C", [1], int),
            await ctx.schedule_activity_with_retry_typed("A", {"x": 1}, dict[str, int]),
            await ctx.schedule_wait_typed("w", list[int]),
            await ctx.dequeue_event_typed("q", bool),
            await ctx.schedule_wait_persistent("q"),
        ]

    bench = Bench(code)
    commit = bench.start("", bench.queued("q", "true"), bench.queued("q", "text"))
    (child,) = commit.orchestrator_items
    assert isinstance(child, work_items.StartOrchestration)
    assert child.input == "[1]"
    bench.turn(bench.child_done(4, "7"))
    bench.turn(bench.done(6, '{"y":2}'))
    bench.turn(bench.raised("w", "[3]"))
    assert bench.output == '[7,{"y":2},[3],true,"text"]'


# --- teardown ---------------------------------------------------------------------------------------------


def test_cleanup_code_of_a_waiting_orchestration_asks_for_nothing() -> None:
    """RT-4.56: a finally block runs at the end of every turn, and only the last time counts."""

    async def code(ctx: OrchestrationContext, input: str) -> str:
        session_id = ctx.open_session()
        try:
            return await ctx.schedule_activity_on_session("A", "1", session_id)
        finally:
            ctx.close_session(session_id)
            ctx.schedule_activity("cleanup")

    bench = Bench(code)
    bench.start()
    assert bench.trace == "1:Started 2:SessionOpened 3:ActivityScheduled"
    bench.turn(bench.done(3))
    assert bench.trace.endswith(
        "4:ActivityCompleted(3) 5:SessionClosed 6:ActivityScheduled 7:ActivityCancelRequested(6) 8:Completed"
    )


# --- retries ------------------------------------------------------------------------------------------------


def retrying(policy: RetryPolicy) -> Bench:
    async def code(ctx: OrchestrationContext, input: str) -> str:
        return await ctx.schedule_activity_with_retry("A", "1", policy, tag="gpu")

    bench = Bench(code)
    bench.start()
    return bench


def test_each_attempt_is_a_new_activity_and_a_timer_lies_between() -> None:
    """RT-12.3, RT-12.4, RT-12.8, RT-12.10."""
    bench = retrying(RetryPolicy(backoff=FixedBackoff(SECOND)))
    bench.turn(bench.broke(2, "one"))
    assert [record.fields["message"] for record in bench.results[-1].log] == [
        "Activity 'A' attempt 1/3 failed: one. Retrying..."
    ]
    bench.turn(bench.fired(4))
    bench.turn(bench.broke(6, "two"))
    bench.turn(bench.fired(8))
    bench.turn(bench.broke(10, "three"))
    assert bench.trace == (
        "1:Started 2:ActivityScheduled 3:ActivityFailed(2) 4:TimerCreated 5:TimerFired(4) "
        "6:ActivityScheduled 7:ActivityFailed(6) 8:TimerCreated 9:TimerFired(8) "
        "10:ActivityScheduled 11:ActivityFailed(10) 12:Failed"
    )
    assert bench.output == "Activity 'A' call failed: three"
    assert all(event.tag == "gpu" for event in bench.history if isinstance(event, events.ActivityScheduled))


def test_no_delay_means_no_timer() -> None:
    """RT-12.9."""
    bench = retrying(RetryPolicy(backoff=NoBackoff(), max_attempts=2))
    bench.turn(bench.broke(2))
    assert bench.trace.endswith("3:ActivityFailed(2) 4:ActivityScheduled")
    bench.turn(bench.done(4, "fine"))
    assert bench.output == "fine"


def test_a_timeout_ends_the_call_and_drops_the_activity() -> None:
    """RT-12.5 to RT-12.7."""
    bench = retrying(RetryPolicy(timeout=SECOND))
    assert bench.trace == "1:Started 2:ActivityScheduled 3:TimerCreated"
    bench.turn(bench.fired(3))
    assert bench.output == "Activity 'A' call failed: timeout: activity timed out"
    assert bench.trace.endswith("4:TimerFired(3) 5:ActivityCancelRequested(2) 6:Failed")

    bench = retrying(RetryPolicy(timeout=SECOND))
    bench.turn(bench.done(2, "in time"))
    assert bench.output == "in time"


@pytest.mark.parametrize(
    ("backoff", "delays_ms"),
    [
        (NoBackoff(), [0, 0, 0]),
        (FixedBackoff(SECOND), [1_000, 1_000, 1_000]),
        (LinearBackoff(base=SECOND, max=timedelta(seconds=2)), [1_000, 2_000, 2_000]),
        (ExponentialBackoff(), [100, 200, 400]),
        (ExponentialBackoff(base=SECOND, multiplier=3, max=timedelta(seconds=5)), [1_000, 3_000, 5_000]),
    ],
)
def test_delays(backoff: Backoff, delays_ms: list[int]) -> None:
    """RT-12.2."""
    delays = [backoff.delay_after(attempt) // timedelta(milliseconds=1) for attempt in (1, 2, 3)]
    assert delays == delays_ms


def test_policies_at_their_edges() -> None:
    """RT-12.1, RT-12.2: no attempt is a mistake, and no delay overflows."""
    with pytest.raises(ConfigurationError, match="max_attempts"):
        RetryPolicy(max_attempts=0)
    assert ExponentialBackoff(multiplier=1.5).delay_after(10_000) == timedelta(seconds=30)
    assert LinearBackoff(base=timedelta.max, max=SECOND).delay_after(3) == SECOND


@pytest.mark.parametrize("backoff", [LinearBackoff(base=SECOND, max=SECOND), ExponentialBackoff()])
def test_there_is_no_delay_before_the_first_attempt(backoff: Backoff) -> None:
    with pytest.raises(AssertionError, match="a delay after attempt 0; the first is 1"):
        backoff.delay_after(0)


async def asks_another(ctx: OrchestrationContext, input: str) -> str:
    return str(await ctx.get_kv_value_from_instance("other", "k"))


@pytest.mark.parametrize(
    ("recorded", "same"),
    [
        ('{"instance_id":"other","key":"k"}', True),
        ('{"instance_id": "other", "key": "k"}', True),
        ('\n{ "key" : "k",\t"instance_id":"\\u006fther" }', True),
        ('{"instance_id": "other", "key": "l"}', False),
        ('{"instance_id": "other", "key": ["k"]}', False),
        ('{"instance_id": "other", "key": "k", "more": 1}', False),
        ('{"instance_id": "other", "key": "k"', False),
        ("", False),
    ],
)
def test_rt_18_5_on_replay_the_input_of_a_system_call_is_compared_as_json(recorded: str, same: bool) -> None:
    """RT-18.5: other writers of the format put blanks, and the order of members is theirs."""
    bench = Bench(asks_another)
    bench.start()
    (scheduled,) = [event for event in bench.history if isinstance(event, events.ActivityScheduled)]
    at = bench.history.index(scheduled)
    bench.history[at] = msgspec.structs.replace(scheduled, input=recorded)
    commit = bench.turn(bench.done(scheduled.event_id, '"v"'))
    assert commit.metadata.status == ("Completed" if same else "Failed")
    assert (bench.output == "v") is same


def test_rt_18_5_the_input_of_any_other_activity_is_compared_as_text() -> None:
    """RT-4.30: one blank more is another input."""

    async def calls(ctx: OrchestrationContext, input: str) -> str:
        return str(await ctx.schedule_activity("task", '{"a":1}'))

    bench = Bench(calls)
    bench.start()
    (scheduled,) = [event for event in bench.history if isinstance(event, events.ActivityScheduled)]
    at = bench.history.index(scheduled)
    bench.history[at] = msgspec.structs.replace(scheduled, input='{"a": 1}')
    assert bench.turn(bench.done(scheduled.event_id)).metadata.status == "Failed"
