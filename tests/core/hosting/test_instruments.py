"""The metrics of RT-23.2: what each occurrence counts for, on a sink and on OpenTelemetry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from holdfast.core.client import Client
from holdfast.core.contract import events as events_of
from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.observe import Logged
from holdfast.core.contract.provider import Provider
from holdfast.core.dispatching.execution_figures import turn_count
from holdfast.core.hosting.forwarding import ForwardingProvider
from holdfast.core.hosting.instrumented import InstrumentedProvider, Measured
from holdfast.core.hosting.instruments import Instruments, Labels
from holdfast.core.hosting.metrics import Metrics
from holdfast.core.hosting.options import ObservabilityOptions, RuntimeOptions
from holdfast.core.program.registry import Registry
from holdfast.core.runtime import Runtime

MINUTE = timedelta(minutes=1)


class Sink:
    """Keeps what it is told: counts, values of histograms, where gauges stand."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, tuple[tuple[str, str | int], ...]]] = Counter()
        self.values: dict[tuple[str, tuple[tuple[str, str | int], ...]], list[float]] = {}
        self.gauges: dict[str, list[int]] = {}

    def count(self, name: str, by: int, labels: Labels) -> None:
        self.counts[name, tuple(sorted(labels.items()))] += by

    def observe(self, name: str, value: float, labels: Labels) -> None:
        self.values.setdefault((name, tuple(sorted(labels.items()))), []).append(value)

    def gauge(self, name: str, value: int) -> None:
        self.gauges.setdefault(name, []).append(value)

    def counted(self, name: str) -> list[tuple[dict[str, str | int], int]]:
        return [(dict(labels), count) for (each, labels), count in self.counts.items() if each == name]

    def observed(self, name: str) -> list[tuple[dict[str, str | int], list[float]]]:
        return [(dict(labels), values) for (each, labels), values in self.values.items() if each == name]


def registry(world: Any) -> Registry:
    registry = Registry()

    @registry.orchestration()
    async def parent(ctx: Any, input: str) -> None:
        await ctx.schedule_sub_orchestration("child", "good")
        try:
            await ctx.schedule_sub_orchestration("child", "bad")
        except Exception:
            await ctx.schedule_timer(timedelta(seconds=5))

    @registry.orchestration()
    async def child(ctx: Any, input: str) -> None:
        await ctx.schedule_activity(input, "")

    @registry.orchestration()
    async def again(ctx: Any, input: str) -> None:
        if input != "0":
            await ctx.continue_as_new(str(int(input) - 1))

    @registry.activity()
    async def good(ctx: Any, input: str) -> None:
        ctx.trace_info("Activity completed")  # as a record of ours is called
        await world.sleep(2)

    @registry.activity()
    def bad(ctx: Any, input: str) -> None:
        raise ValueError("bad")

    return registry


async def started(world: Any, metrics: Metrics, **options: Any) -> Runtime:
    runtime = Runtime(
        world.store.open(),
        registry(world),
        RuntimeOptions(dispatcher_long_poll_timeout=timedelta(0), **options),
        clock=world.clock,
        ids=world.ids,
        metrics=metrics,
    )
    await runtime.start()
    return runtime


async def run_all(world: Any, metrics: Metrics, **options: Any) -> None:
    """A parent with two children, and one that continues as new twice."""
    runtime = await started(world, metrics, **options)
    client: Client = world.client
    await client.start_orchestration("p", "parent")
    await client.start_orchestration("a", "again", "2")
    for instance in ("p", "a"):
        await client.wait_for_orchestration(instance, MINUTE)
    await runtime.shutdown(timedelta(0))


def test_rt_23_8_each_occurrence_is_counted_once_with_its_labels(world: Any) -> None:
    """RT-23.8: starts and completions per execution, one outcome per run of an activity."""
    sink = Sink()
    metrics = Metrics(sink)
    world.run(run_all(world, metrics))
    versioned = [
        ({**labels, "n": count}) for labels, count in sink.counted("duroxide_orchestration_starts_total")
    ]
    assert sorted(
        (str(each["orchestration_name"]), str(each["initiated_by"]), each["n"]) for each in versioned
    ) == [
        ("again", "client", 1),
        ("again", "continueAsNew", 2),
        ("child", "client", 2),
        ("parent", "client", 1),
    ]
    ends = sink.counted("duroxide_orchestration_completions_total")
    assert sorted((str(e["orchestration_name"]), str(e["status"]), n) for e, n in ends) == [
        ("again", "continuedAsNew", 2),
        ("again", "success", 1),
        ("child", "failed", 1),
        ("child", "success", 1),
        ("parent", "success", 1),
    ]
    assert {e["final_turn_count"] for e, _ in ends} == {"1-5"}
    runs = sink.counted("duroxide_activity_executions_total")
    assert sorted((str(e["activity_name"]), str(e["outcome"]), n) for e, n in runs) == [
        ("bad", "app_error", 1),
        ("good", "success", 1),
    ]
    assert {(e["retry_attempt"], e["tag"]) for e, _ in runs} == {("0", "default")}
    ((labels, seconds),) = [
        each
        for each in sink.observed("duroxide_activity_duration_seconds")
        if each[0]["activity_name"] == "good"
    ]
    assert labels["outcome"] == "success" and [round(each) for each in seconds] == [2]
    calls = sink.counted("duroxide_suborchestration_calls_total")
    assert sorted(
        (e["parent_orchestration"], e["child_orchestration"], str(e["outcome"]), n) for e, n in calls
    ) == [
        ("parent", "child", "failed", 1),
        ("parent", "child", "success", 1),
    ]
    ((failed, count),) = sink.counted("duroxide_orchestration_failures_total")
    assert (failed["error_type"], failed["error_category"], count) == ("app_error", "OrchestrationFailed", 1)
    carried = sink.counted("duroxide_orchestration_continue_as_new_total")
    assert sorted((e["execution_id"], n) for e, n in carried) == [(1, 1), (2, 1)]
    snapshot = metrics.snapshot()
    assert (snapshot["orch_starts"], snapshot["orch_completions"], snapshot["orch_continue_as_new"]) == (
        6,
        3,
        2,
    )
    assert (snapshot["activity_success"], snapshot["activity_app_errors"]) == (1, 1)


def test_rt_23_9_durations_turns_and_sizes_are_totals_of_the_execution(world: Any) -> None:
    """RT-23.9: from the start to the last turn."""
    sink = Sink()
    world.run(run_all(world, Metrics(sink)))

    def of_parent(name: str) -> list[float]:
        (values,) = [v for e, v in sink.observed(name) if e["orchestration_name"] == "parent"]
        return values

    (seconds,) = of_parent("duroxide_orchestration_duration_seconds")
    assert 7 <= seconds < 9, "two for the activity of a child, five for the timer"
    assert of_parent("duroxide_orchestration_turns") == [4]
    assert of_parent("duroxide_orchestration_history_size") == [8]


def test_rt_23_11_gauges_come_from_management_and_move_with_the_turns(world: Any) -> None:
    """RT-23.11: at the start, every interval, and with each first start and end in between."""
    sink = Sink()

    async def scenario() -> None:
        await world.client.start_orchestration("waits", "parent")
        every = ObservabilityOptions(gauge_poll_interval=timedelta(seconds=10))
        runtime = await started(world, Metrics(sink), observability=every)
        await world.sleep(25)
        await runtime.shutdown(timedelta(0))

    world.run(scenario())
    assert len(sink.gauges["duroxide_orchestrator_queue_depth"]) == 3, "at 0, 10 and 20 s"
    assert sink.gauges["duroxide_orchestrator_queue_depth"][0] == 1
    assert len(sink.gauges["duroxide_worker_queue_depth"]) == 3
    active = sink.gauges["duroxide_active_orchestrations"]
    assert active[0] in (0, 1) and max(active) == 2 and active[-1] == 0


def test_rt_27_14_sessions_have_their_gauge_and_counters(world: Any) -> None:
    """RT-27.14, SS-22.7."""
    sink = Sink()
    metrics = Metrics(sink)
    for record in ("session.claimed", "session.migrated", "session.released"):
        metrics.notify(Logged(record, "info", {}))
    names = {name for name, _ in sink.counts}
    assert names == {f"holdfast_sessions_{each}_total" for each in ("claimed", "expired", "released")}


class Probe(ForwardingProvider):
    """Fails as it is told."""

    def __init__(self, inner: Provider) -> None:
        super().__init__(inner)
        self.failures: list[ProviderError] = []

    async def _call(self, operation: str, begin: Callable[[], Awaitable[Any]]) -> Any:
        if self.failures:
            raise self.failures.pop()
        return await begin()


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("deadlock found", "deadlock"),
        ("timeout", "timeout"),
        ("connection lost", "connection"),
        ("?", "other"),
    ],
)
def test_rt_23_10_calls_and_errors_of_the_provider(world: Any, text: str, kind: str) -> None:
    """RT-23.10: by operation; the error by its text."""
    sink = Sink()

    async def scenario() -> None:
        probe = Probe(world.store.open())
        probe.failures.append(ProviderError.transient("read", text))
        measured = InstrumentedProvider(probe, clock=world.clock, sink=Metrics(sink))
        with pytest.raises(ProviderError):
            await measured.read("i")
        assert await measured.read("i") == []

    world.run(scenario())
    ((labels, count),) = sink.counted("duroxide_provider_errors_total")
    assert (labels, count) == ({"operation": "read", "error_type": kind}, 1)
    timed = {e["status"]: len(v) for e, v in sink.observed("duroxide_provider_operation_duration_seconds")}
    assert timed == {"error": 1, "success": 1}


def test_rt_23_12_a_sink_that_raises_disturbs_nobody(world: Any) -> None:
    """RT-23.12: nor does it spoil the snapshot."""

    class Broken(Sink):
        def count(self, *_: Any) -> None:
            raise ConnectionError("collector is down")

        observe = gauge = count  # type: ignore[assignment]

    metrics = Metrics(Broken())
    world.run(run_all(world, metrics))
    assert metrics.snapshot()["orch_completions"] == 3


TABLE = """
    orchestration_starts_total orchestration_completions_total orchestration_duration_seconds
    orchestration_turns orchestration_history_size orchestration_failures_total
    orchestration_infrastructure_errors_total orchestration_configuration_errors_total
    orchestration_continue_as_new_total orchestration_poison_total activity_executions_total
    activity_duration_seconds activity_infrastructure_errors_total activity_configuration_errors_total
    activity_poison_total suborchestration_calls_total suborchestration_duration_seconds
    provider_operation_duration_seconds provider_errors_total orchestrator_queue_depth worker_queue_depth
    active_orchestrations
"""


def test_rt_23_6_every_metric_of_the_table_is_one_that_is_told() -> None:
    """RT-23.6: one that nobody feeds would stay empty for ever; what nothing can feed is named here."""
    sink = Sink()
    _feed(Instruments(sink))
    told = {name for name, _ in sink.counts} | {name for name, _ in sink.values} | set(sink.gauges)
    named = {f"duroxide_{name}" for name in TABLE.split()}
    assert named - told == {"duroxide_activity_configuration_errors_total"}, "no activity fails so"
    assert told <= named
    ends = sink.counted("duroxide_orchestration_completions_total")
    turns = {labels["final_turn_count"] for labels, _ in ends}
    assert turns == {"1-5", "6-10", "11-50", "50+"}
    ((labels, _),) = sink.counted("duroxide_activity_executions_total")
    assert labels["retry_attempt"] == "3+"


def _feed(instruments: Instruments) -> None:
    ended: dict[str, Any] = {
        "orchestration_name": "o",
        "orchestration_version": "1.0.0",
        "execution_id": 1,
        "history_events": 99,
        "duration_ms": 1,
        "error_category": "x",
        "activity_name": "a",
        "activity_tag": None,
        "attempt_count": 9,
    }
    for turns in (1, 6, 11, 51):
        instruments.record(Logged("Orchestration completed", "debug", {**ended, "turns": turns}))
    instruments.record(Logged("Orchestration continued as new", "debug", ended))
    for kind in ("infrastructure", "configuration"):
        instruments.record(Logged("Orchestration failed", "error", {**ended, "error_type": kind}))
    poison = {**ended, "error_type": "poison"}
    instruments.record(Logged("Orchestration failed (unknown error type)", "error", poison))
    instruments.record(Logged("worker: atomic ack failed, abandoning work item", "warning", ended))
    instruments.record(Logged("Activity message exceeded max attempts, marking as poison", "warning", ended))
    turn = {**ended, "started": True, "ended_children": [("c", "success", 5)]}
    instruments.record(Logged("Turn committed", "debug", turn))
    instruments.call(Measured("read", 5, False, "other"))  # type: ignore[arg-type]
    instruments.depths(orchestrator=1, worker=2, active=3)


def test_turns_are_counted_from_the_history() -> None:
    """RT-23.9: by their times, and by what arrives after something else."""

    def events(*written: tuple[int, bool]) -> list[Any]:
        """A history of (time, whether it arrived)."""
        kinds = (events_of.TimerCreated, events_of.TimerFired)
        common: dict[str, Any] = {"event_id": 1, "instance_id": "i", "execution_id": 1, "fire_at_ms": 0}
        return [kinds[arrived](**common, timestamp_ms=t, duroxide_version="0.1.32") for t, arrived in written]

    assert turn_count([]) == 0
    assert turn_count(events((1, True), (1, True), (1, False), (1, False))) == 1
    assert turn_count(events((1, True), (2, True), (2, False))) == 2
    assert turn_count(events((1, True), (1, False), (1, True))) == 2, "within one millisecond"


# --- OpenTelemetry ---------------------------------------------------------------------------------------


def test_opentelemetry_gets_them_from_a_meter_of_the_program(world: Any) -> None:
    """RT-23.6: with an SDK; the names and labels are the same."""
    sdk = pytest.importorskip("opentelemetry.sdk.metrics")
    export = pytest.importorskip("opentelemetry.sdk.metrics.export")
    from holdfast.opentelemetry import opentelemetry_metrics

    reader = export.InMemoryMetricReader()
    meter = sdk.MeterProvider(metric_readers=[reader]).get_meter("test")
    world.run(run_all(world, opentelemetry_metrics(meter)))
    data = reader.get_metrics_data()
    measured = {m.name: m for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics}
    ends = measured["duroxide_orchestration_completions_total"].data.data_points
    assert sum(point.value for point in ends) == 6
    assert {"orchestration_name", "version", "status", "final_turn_count"} == set(ends[0].attributes)
    duration = measured["duroxide_activity_duration_seconds"]
    assert duration.unit == "s" and sum(point.count for point in duration.data.data_points) == 2
    assert measured["duroxide_active_orchestrations"].data.data_points[0].value == 0


def test_opentelemetry_without_an_sdk_measures_nothing_and_fails_nothing(world: Any) -> None:
    """RT-23.6: the API alone has a meter that does nothing."""
    pytest.importorskip("opentelemetry.metrics")
    from holdfast.opentelemetry import opentelemetry_metrics

    metrics = opentelemetry_metrics()
    world.run(run_all(world, metrics))
    assert metrics.snapshot()["orch_completions"] == 3
