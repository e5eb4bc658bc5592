"""Counters, records and the instrumented provider (SS-22, RT-23, PV-32)."""

from __future__ import annotations

import asyncio
import inspect
import runpy
from typing import Any

import pytest

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.observe import LeaseEnded, LeaseTaken, Logged, RenewalAnswered
from holdfast.core.contract.provider import Provider
from holdfast.core.hosting import forwarding, metrics
from holdfast.core.hosting.forwarding import FencedProvider, ForwardingProvider
from holdfast.core.hosting.instrumented import InstrumentedProvider, Measured, error_kind
from holdfast.core.hosting.log import Log, StructuredLog, tee
from holdfast.core.hosting.metrics import RUNTIME_COUNTERS, SESSION_RENEWALS, SESSIONS_ACTIVE, Metrics


class StandingClock:
    def now_ms(self) -> Any:
        return 0

    def monotonic_us(self) -> Any:
        return 0

    async def sleep_until(self, due: int) -> None:
        return None


class Echo(Provider):
    """Answers each call with what it was called with, and fails `read`."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def supports_sessions(self) -> bool:
        return True

    def __getattribute__(self, name: str) -> Any:
        method = getattr(Provider, name, None)
        if not inspect.iscoroutinefunction(method):
            return super().__getattribute__(name)

        async def call(*arguments: Any, **named: Any) -> Any:
            self.seen.append((name, arguments, named))
            if name == "read":
                raise ProviderError.transient("read", "Connection lost, timeout")
            return name

        return call


def calls() -> list[str]:
    return [name for name, method in inspect.getmembers(Provider, inspect.iscoroutinefunction)]


@pytest.mark.parametrize("operation", calls())
def test_pv_32_1_a_wrapper_forwards_every_call_with_all_its_arguments(operation: str) -> None:
    """PV-32.1, SS-12.16: nothing is left out, nothing is added, the answer is the inner one's."""
    inner = Echo()
    parameters = list(inspect.signature(getattr(Provider, operation)).parameters.values())[1:]
    given = {each.name: object() for each in parameters}
    call = getattr(InstrumentedProvider(inner, clock=StandingClock(), sink=Metrics()), operation)
    if operation == "read":
        with pytest.raises(ProviderError, match="Connection lost"):
            asyncio.run(call(**given))
    else:
        assert asyncio.run(call(**given)) in (operation, None)
    (name, arguments, named) = inner.seen[0]
    bound = inspect.signature(getattr(Provider, operation)).bind(None, *arguments, **named).arguments
    assert name == operation
    assert {key: value for key, value in bound.items() if key != "self"} == given


def test_ss_12_16_capabilities_are_the_inner_ones() -> None:
    """SS-12.16, PV-32.1."""
    assert ForwardingProvider(Echo()).supports_sessions()
    assert ForwardingProvider(Echo()).as_management() is None


def test_pv_32_2_errors_are_told_apart_by_their_text() -> None:
    """PV-32.2, RT-23.10: deadlock, timeout, connection, in this order."""
    texts = ["deadlock on timeout", "connection timeout", "connection lost", "odd"]
    kinds = [error_kind(ProviderError.transient("read", text)) for text in texts]
    assert kinds == ["deadlock", "timeout", "connection", "other"]


def test_a_fenced_provider_refuses_what_comes_after_shutdown() -> None:
    """SS-9.15: user code that outlives the runtime reaches the store no more."""
    inner = Echo()
    fenced = FencedProvider(inner)
    fenced.fence()
    with pytest.raises(ProviderError, match="shut down"):
        asyncio.run(fenced.get_kv_value("i", "k"))
    assert not inner.seen


def test_ss_22_7_session_counters_agree_with_the_log() -> None:
    """SS-22.7: by name, and the gauge with the leases."""
    metrics = Metrics()
    for record in ("session.claimed", "session.claimed", "session.migrated", "session.released"):
        metrics.notify(Logged(record, "info", {}))
    metrics.notify(Logged("session.renewal_failed", "warning", {}))
    metrics.notify(RenewalAnswered("w", "i", "s", None))
    metrics.notify(RenewalAnswered("w", "i", "s", "busy"))
    metrics.notify(LeaseTaken("w", "i", "s"))
    metrics.notify(LeaseTaken("w", "i", "t"))
    metrics.notify(LeaseEnded("w", "i", "s", "lost", 0))
    metrics.notify(LeaseEnded("w", "i", "u", "given_back", 0))
    snapshot = metrics.snapshot()
    assert snapshot[SESSIONS_ACTIVE] == 1
    assert snapshot[SESSION_RENEWALS] == 1
    counted = {name: count for name, count in snapshot.items() if name.startswith("holdfast_sessions_")}
    assert counted == {
        "holdfast_sessions_active": 1,
        "holdfast_sessions_claimed_total": 2,
        "holdfast_sessions_expired_total": 1,
        "holdfast_sessions_released_total": 1,
        "holdfast_sessions_renewal_total": 1,
        "holdfast_sessions_renewal_failed_total": 1,
    }


def test_rt_23_7_runtime_counters_count_each_occurrence_once() -> None:
    """RT-23.7, RT-23.8."""
    metrics = Metrics()
    metrics.notify(Logged("Turn committed", "debug", {"started": True, "children": 2}))
    metrics.notify(Logged("Turn committed", "debug", {"started": False, "children": 0}))
    metrics.notify(Logged("Orchestration failed", "error", {"error_type": "configuration"}))
    metrics.notify(Logged("Activity completed", "debug", {}))
    metrics.measured(Measured("fetch_work_item", 1, True, None))  # type: ignore[arg-type]
    metrics.measured(Measured("fetch_work_item", 1, False, None))  # type: ignore[arg-type]
    metrics.measured(Measured("read", 1, False, "other"))  # type: ignore[arg-type]
    snapshot = metrics.snapshot()
    counted = {name: snapshot[name] for name in RUNTIME_COUNTERS if snapshot[name]}
    assert counted == {
        "orch_starts": 1,
        "orch_failures": 1,
        "orch_configuration_errors": 1,
        "activity_success": 1,
        "worker_dispatcher_items_fetched": 1,
        "suborchestration_calls": 2,
        "provider_errors": 1,
    }


def test_no_counter_goes_down_and_no_session_ends_that_did_not_begin() -> None:
    """SS-22.7: the gauge falls by one lease at a time, and never below none."""
    counted = Metrics()
    with pytest.raises(AssertionError, match="provider_errors is a counter, and goes down by 1"):
        counted._add("provider_errors", -1)
    with pytest.raises(AssertionError, match=f"{SESSIONS_ACTIVE} stands at -1"):
        counted.notify(LeaseEnded("w", "i", "s", "lost", 0))


def test_a_method_of_the_contract_that_is_not_passed_on_or_not_counted_any_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """SS-12.16: it would answer None, or never be seen; both modules refuse to be imported then."""
    with monkeypatch.context() as patch:
        patch.setattr(Provider, "peek", lambda self: None, raising=False)
        with pytest.raises(AssertionError, match=r"as if there were nothing: ..peek"):
            runpy.run_path(forwarding.__file__)
    with monkeypatch.context() as patch:
        patch.delattr(Provider, "fetch_work_item")
        with pytest.raises(AssertionError, match="'fetch_work_item' is counted, and no method"):
            runpy.run_path(metrics.__file__)


def test_a_record_that_names_a_field_twice() -> None:
    with pytest.raises(AssertionError, match=r"'Runtime started' is told with two values of .'worker_id'."):
        Log(Metrics(), worker_id="w").info("Runtime started", worker_id="v")


def test_rt_23_12_a_sink_that_fails_disturbs_nobody() -> None:
    """RT-23.12; records below the level, and other events, do not reach the sink."""
    seen: list[tuple[int, str]] = []

    def sink(level: int, event: str, fields: Any) -> None:
        seen.append((level, event))
        raise RuntimeError("disk full")

    observer = StructuredLog(sink, level="info")
    log = Log(observer, worker_id="w")
    log.debug("quiet")
    log.warning("loud", instance_id="i")
    observer.notify(LeaseTaken("w", "i", "s"))
    assert seen == [(30, "loud")]


def test_rt_23_6_nobody_listening_costs_nothing() -> None:
    """RT-23.6: no observer, no record."""
    assert tee(None, None) is None
    assert not Log(None).hears("debug")
    metrics = Metrics()
    assert tee(None, metrics) is metrics
