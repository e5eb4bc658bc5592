"""Options that do nothing: set to something else than their default, beside others that leave them no say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from datetime import timedelta
from typing import Final

from holdfast.core.hosting.backoff import UNREGISTERED_GROWTH_MAX
from holdfast.core.hosting.options import (
    DEFAULTS,
    RENEWED_HALFWAY_BELOW,
    RuntimeOptions,
    UnregisteredBackoff,
    to_millis,
)

_SECOND: Final = timedelta(seconds=1)
_WORKER: Final = (
    "worker_lock_timeout",
    "worker_lock_renewal_buffer",
    "activity_cancellation_grace_period",
    "max_stuck_threads",
    "worker_tag_filter",
    "max_sessions_per_worker",
    "session_lock_duration",
    "session_idle_timeout",
)
_DISPATCHER: Final = (
    "orchestrator_lock_timeout",
    "orchestrator_lock_renewal_buffer",
    "supported_replay_versions",
    "turn_cpu_limit",
    "max_sessions_per_orchestration",
)
_BOTH: Final = (
    "dispatcher_min_poll_interval",
    "dispatcher_long_poll_timeout",
    "unregistered_backoff",
    "max_attempts",
    "worker_node_id",
)
_NAMES: Final = tuple(each.name for each in fields(RuntimeOptions))
_SESSIONS: Final = ("session_lock_duration", "session_idle_timeout")

for _name in (*_WORKER, *_DISPATCHER, *_BOTH, *_SESSIONS):
    assert hasattr(RuntimeOptions, _name), f"{_name!r} is no option, and would never be told to do nothing"


def without_effect(options: RuntimeOptions, *, supports_sessions: bool) -> Iterator[str]:
    """Each such option, its value, and why. What is left at its default is never among them."""
    chosen = _chosen(options)
    reasons: dict[str, str] = {}
    if options.worker_concurrency == 0:
        reasons |= dict.fromkeys(_WORKER, "worker_concurrency is 0, no activity runs here")
    if options.orchestration_concurrency == 0:
        reasons |= dict.fromkeys(_DISPATCHER, "orchestration_concurrency is 0, no orchestration runs here")
    if options.worker_concurrency == 0 == options.orchestration_concurrency:
        reasons |= dict.fromkeys(_BOTH, "both concurrencies are 0, nothing runs here")
    if not supports_sessions:
        for name in (*_SESSIONS, "max_sessions_per_worker", "max_sessions_per_orchestration"):
            reasons.setdefault(name, "the provider has no sessions")
    elif options.max_sessions_per_worker == 0:
        for name in _SESSIONS:
            reasons.setdefault(name, "max_sessions_per_worker is 0, this worker holds no session")
    for kind in ("worker", "orchestrator"):
        lock: timedelta = getattr(options, f"{kind}_lock_timeout")
        if to_millis(lock) < RENEWED_HALFWAY_BELOW:
            reasons.setdefault(
                f"{kind}_lock_renewal_buffer",
                f"{kind}_lock_timeout is {lock.total_seconds():g} s, and a lock of less than "
                f"{RENEWED_HALFWAY_BELOW / 1000:g} s is renewed halfway",
            )
        elif getattr(options, f"{kind}_lock_renewal_buffer") > lock - _SECOND:
            reasons.setdefault(
                f"{kind}_lock_renewal_buffer",
                f"{kind}_lock_timeout is {lock.total_seconds():g} s, and a lock is renewed after a second at "
                "the earliest",
            )
    for name, reason in reasons.items():
        if name in chosen:
            yield f"{name} {chosen[name]!r}: {reason}"
    backoff = options.unregistered_backoff
    if backoff.base_delay > backoff.max_delay:
        yield (
            f"unregistered_backoff.base_delay {backoff.base_delay!r}: it is above max_delay, which is used"
        )
    longest = backoff.base_delay * UNREGISTERED_GROWTH_MAX
    if longest < backoff.max_delay != UnregisteredBackoff().max_delay:
        yield (
            f"unregistered_backoff.max_delay {backoff.max_delay!r}: base_delay grows to {longest!r} at most"
        )


def _chosen(options: RuntimeOptions) -> dict[str, object]:
    return {
        name: value
        for name in _NAMES
        if (value := getattr(options, name)) is not (default := getattr(DEFAULTS, name)) and value != default
    }
