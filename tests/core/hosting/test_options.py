"""Runtime options (RT-21, SS-20)."""

from datetime import timedelta
from typing import Any

import pytest

from holdfast.core.contract.errors import ConfigurationError
from holdfast.core.contract.provider import DEFAULT_ONLY
from holdfast.core.hosting.options import ObservabilityOptions, RuntimeOptions, Timing, UnregisteredBackoff


def test_rt_21_1_and_ss_20_defaults() -> None:
    """RT-21.1, SS-20.1, SS-20.3, SS-20.5."""
    options = RuntimeOptions()
    assert options.dispatcher_min_poll_interval == timedelta(milliseconds=100)
    assert options.dispatcher_long_poll_timeout == timedelta(seconds=30)
    assert (options.orchestration_concurrency, options.worker_concurrency) == (2, 2)
    assert options.orchestrator_lock_timeout == timedelta(seconds=5)
    assert options.worker_lock_timeout == timedelta(seconds=30)
    assert options.max_attempts == 10
    assert options.activity_cancellation_grace_period == timedelta(seconds=10)
    assert options.worker_tag_filter == DEFAULT_ONLY
    assert options.max_sessions_per_worker == 100
    assert options.session_lock_duration == timedelta(minutes=10)
    assert options.session_idle_timeout is None
    assert options.max_sessions_per_orchestration == 10
    assert options.unregistered_backoff == UnregisteredBackoff()
    assert options.observability == ObservabilityOptions()


@pytest.mark.parametrize(
    ("lock", "duration", "resolved"),
    [(30, None, 60_000), (10, None, 20_000), (30, 90, 90_000), (30, 0.0015, 1)],
)
def test_ss_20_3_the_session_lock_is_given_or_twice_the_item_lock(
    lock: int, duration: float | None, resolved: int
) -> None:
    """SS-20.3, SS-20.4; fractions of a millisecond are dropped (PV-3.7)."""
    options = RuntimeOptions(
        worker_lock_timeout=timedelta(seconds=lock),
        session_lock_duration=None if duration is None else timedelta(seconds=duration),
    )
    assert Timing.of(options).session_lock == resolved


@pytest.mark.parametrize(
    ("lock", "buffer", "interval_ms"),
    [(30, 5, 25_000), (15, 5, 10_000), (20, 30, 1_000), (14.999, 5, 7_499.5), (5, 2, 2_500), (0.2, 0, 100)],
)
def test_rt_6_3_locks_are_renewed_a_buffer_ahead_or_half_way(
    lock: float, buffer: float, interval_ms: float
) -> None:
    """RT-5.5, RT-6.3."""
    options = RuntimeOptions(
        worker_lock_timeout=timedelta(seconds=lock), worker_lock_renewal_buffer=timedelta(seconds=buffer)
    )
    assert Timing.of(options).item_renewal == interval_ms * 1000


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("session_lock_duration", 90),
        ("session_lock_duration", timedelta(microseconds=999)),
        ("session_lock_duration", timedelta(seconds=-1)),
        ("session_idle_timeout", timedelta(seconds=-1)),
        ("session_idle_timeout", 5.0),
        ("max_sessions_per_worker", -1),
        ("max_sessions_per_orchestration", -1),
        ("max_sessions_per_worker", 1.5),
        ("worker_concurrency", -1),
        ("orchestration_concurrency", True),
        ("max_attempts", -1),
        ("worker_lock_timeout", timedelta(0)),
        ("dispatcher_min_poll_interval", timedelta(0)),
        ("dispatcher_long_poll_timeout", timedelta(seconds=-1)),
        ("activity_cancellation_grace_period", None),
        ("worker_node_id", ""),
    ],
)
def test_ss_20_6_what_cannot_be_meant_is_refused_by_name(option: str, value: Any) -> None:
    """SS-20.6, RT-21.3."""
    with pytest.raises(ConfigurationError, match=option):
        RuntimeOptions(**{option: value})


def test_ss_20_6_zero_is_a_legal_idle_timeout_limit_and_concurrency() -> None:
    """SS-8.9, SS-20.2, SS-21.2, RT-21.3."""
    RuntimeOptions(
        session_idle_timeout=timedelta(0),
        max_sessions_per_worker=0,
        max_sessions_per_orchestration=0,
        worker_concurrency=0,
        orchestration_concurrency=0,
    )


def test_nested_durations_are_checked_too() -> None:
    """RT-21.3."""
    with pytest.raises(ConfigurationError, match=r"unregistered_backoff\.base_delay"):
        UnregisteredBackoff(base_delay=timedelta(seconds=-1))
