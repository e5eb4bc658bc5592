"""RuntimeOptions: every setting of a runtime, and Timing: the same durations as the shells use them.

Durations are `timedelta` outside and whole milliseconds inside; fractions are cut once, in `Timing` (PV-3.7).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Literal

from holdfast.core.contract.arguments import OF_OPTIONS, duration, instance_of, number, optional_text, text
from holdfast.core.contract.errors import ConfigurationError
from holdfast.core.contract.ids import INT63_MAX, Micros, Millis
from holdfast.core.contract.provider import DEFAULT_ONLY, SemverRange, TagFilter, Version
from holdfast.core.contract.user_texts import shown

_MILLISECOND: Final = timedelta(milliseconds=1)
_NOTHING: Final = timedelta(0)

RENEWED_HALFWAY_BELOW: Final = Millis(15_000)
"""The length below which a lock is renewed halfway, and its renewal buffer has no say (RT-5.5)."""

SUPPORTED_REPLAY_VERSIONS: Final = (SemverRange(Version(0, 1, 31), Version(0, 1, 32)),)
"""The histories this engine replays: those with the immediate race policy (RT-4.79, RT-14.15)."""

LOG_LEVELS: Final[Mapping[str, int]] = {
    "trace": 5,
    "debug": 10,
    "info": 20,
    "warn": 30,
    "warning": 30,
    "error": 40,
    "off": 100,
}
"""What `observability.log_level` may be, with the numbers of the `logging` module."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnregisteredBackoff:
    """How long work waits when its handler is not registered here (RT-13.15)."""

    base_delay: timedelta = timedelta(seconds=1)
    max_delay: timedelta = timedelta(seconds=60)

    def __post_init__(self) -> None:
        _duration("unregistered_backoff.base_delay", self.base_delay, least=_NOTHING)
        _duration("unregistered_backoff.max_delay", self.max_delay, least=_NOTHING)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservabilityOptions:
    """Logging and metrics settings (RT-21, RT-23.2).

    `log_level` is that of the traces that orchestrations and activities write; everything else is logged from
    warnings upwards. `log_format` and the service, which `Json` names, apply where the program has not
    configured `logging` itself. What has no effect is said in the log.
    """

    log_format: Literal["Pretty", "Json", "Compact"] = "Pretty"
    log_level: str = "info"
    service_name: str = "duroxide"
    service_version: str | None = None
    gauge_poll_interval: timedelta = timedelta(seconds=60)

    def __post_init__(self) -> None:
        if text("observability.log_format", self.log_format, OF_OPTIONS) not in ("Pretty", "Json", "Compact"):
            raise ConfigurationError(
                f"observability.log_format is {self.log_format!r}, expected Pretty, Json or Compact"
            )
        if text("observability.log_level", self.log_level, OF_OPTIONS) not in LOG_LEVELS:
            raise ConfigurationError(
                f"observability.log_level is {self.log_level!r}, expected one of {', '.join(LOG_LEVELS)}"
            )
        text("observability.service_name", self.service_name, OF_OPTIONS)
        optional_text("observability.service_version", self.service_version, OF_OPTIONS)
        _duration("observability.gauge_poll_interval", self.gauge_poll_interval, least=_MILLISECOND)


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeOptions:
    """All options of a runtime, with the defaults of RT-21 and SS-20.

    `session_lock_duration` is the trade to know about: it bounds how long a crashed owner blocks its sessions
    (graceful shutdown and idle release do not wait for it), while a large one rides out long pauses of a
    healthy owner. None derives it: twice `worker_lock_timeout` (SS-20.3).

    Raises ConfigurationError, naming the option, for an invalid value (SS-20.6, RT-21.3).
    """

    dispatcher_min_poll_interval: timedelta = timedelta(milliseconds=100)
    dispatcher_long_poll_timeout: timedelta = timedelta(seconds=30)
    orchestration_concurrency: int = 2
    worker_concurrency: int = 2
    orchestrator_lock_timeout: timedelta = timedelta(seconds=5)
    orchestrator_lock_renewal_buffer: timedelta = timedelta(seconds=2)
    worker_lock_timeout: timedelta = timedelta(seconds=30)
    worker_lock_renewal_buffer: timedelta = timedelta(seconds=5)
    unregistered_backoff: UnregisteredBackoff = field(default_factory=UnregisteredBackoff)
    max_attempts: int = 10
    activity_cancellation_grace_period: timedelta = timedelta(seconds=10)
    max_stuck_threads: int | None = None
    """With so many plain-function activities given up on and still running, the worker fetches no more until
    one returns; None: it goes on (RT-6.14)."""
    turn_cpu_limit: timedelta | None = timedelta(seconds=10)
    """The CPU time that the code of an orchestration may use within one turn before it is interrupted and the
    turn given back; None: it is not watched (RT-4.56). Time on the clock does not count."""
    supported_replay_versions: tuple[SemverRange, ...] | None = None
    worker_node_id: str | None = None
    worker_tag_filter: TagFilter = DEFAULT_ONLY
    observability: ObservabilityOptions = field(default_factory=ObservabilityOptions)

    max_sessions_per_worker: int = 100
    session_lock_duration: timedelta | None = timedelta(minutes=10)
    session_idle_timeout: timedelta | None = None
    max_sessions_per_orchestration: int = 10

    def __post_init__(self) -> None:
        _duration("dispatcher_min_poll_interval", self.dispatcher_min_poll_interval, least=_MILLISECOND)
        _duration("dispatcher_long_poll_timeout", self.dispatcher_long_poll_timeout, least=_NOTHING)
        _duration("orchestrator_lock_timeout", self.orchestrator_lock_timeout, least=_MILLISECOND)
        _duration("orchestrator_lock_renewal_buffer", self.orchestrator_lock_renewal_buffer, least=_NOTHING)
        _duration("worker_lock_timeout", self.worker_lock_timeout, least=_MILLISECOND)
        _duration("worker_lock_renewal_buffer", self.worker_lock_renewal_buffer, least=_NOTHING)
        _duration(
            "activity_cancellation_grace_period", self.activity_cancellation_grace_period, least=_NOTHING
        )
        if self.turn_cpu_limit is not None:
            _duration("turn_cpu_limit", self.turn_cpu_limit, least=_MILLISECOND)
        if self.session_lock_duration is not None:
            _duration("session_lock_duration", self.session_lock_duration, least=_MILLISECOND)
        if self.session_idle_timeout is not None:
            _duration("session_idle_timeout", self.session_idle_timeout, least=_NOTHING)
        _count("orchestration_concurrency", self.orchestration_concurrency)
        _count("worker_concurrency", self.worker_concurrency)
        _count("max_attempts", self.max_attempts)
        if self.max_stuck_threads is not None:
            _count("max_stuck_threads", self.max_stuck_threads, least=1)
        _count("max_sessions_per_worker", self.max_sessions_per_worker)
        _count("max_sessions_per_orchestration", self.max_sessions_per_orchestration)
        instance_of("unregistered_backoff", self.unregistered_backoff, UnregisteredBackoff, OF_OPTIONS)
        instance_of("worker_tag_filter", self.worker_tag_filter, TagFilter, OF_OPTIONS)
        instance_of("observability", self.observability, ObservabilityOptions, OF_OPTIONS)
        optional_text("worker_node_id", self.worker_node_id, OF_OPTIONS)
        if self.supported_replay_versions is not None:
            _ranges("supported_replay_versions", self.supported_replay_versions)
        if self.worker_node_id == "":
            raise ConfigurationError("worker_node_id is empty; leave it None for a fresh identity")

    @property
    def replay_versions(self) -> tuple[SemverRange, ...]:
        """The version ranges this runtime replays (RT-14.15)."""
        if self.supported_replay_versions is None:
            return SUPPORTED_REPLAY_VERSIONS
        return self.supported_replay_versions


def _ranges(option: str, value: object) -> None:
    ranges = instance_of(option, value, tuple, OF_OPTIONS)
    for each in ranges:
        for end in instance_of(f"a range in {option}", each, SemverRange, OF_OPTIONS):
            for part in instance_of(f"an end of a range in {option}", end, Version, OF_OPTIONS):
                number(f"a part of a version in {option}", part, OF_OPTIONS)


def _duration(option: str, value: object, *, least: timedelta) -> None:
    if not issubclass(type(value), timedelta):
        raise ConfigurationError(f"{option} is {shown(value)}, expected a timedelta")
    if duration(option, value, OF_OPTIONS, least=timedelta.min) < least:
        bound = "must not be negative" if least == _NOTHING else "must be at least one millisecond"
        raise ConfigurationError(f"{option} is {shown(value)}; it {bound}")


def _count(option: str, value: object, *, least: int = 0) -> None:
    if not issubclass(type(value), int) or type(value) is bool:
        raise ConfigurationError(f"{option} is {shown(value)}, expected a whole number")
    if number(option, value, OF_OPTIONS, least=-INT63_MAX) < least:
        bound = f"must be at least {least}" if least else "must not be negative"
        raise ConfigurationError(f"{option} is {shown(value)}; it {bound}")


DEFAULTS: Final = RuntimeOptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The durations of an options object as the shells use them: `Millis` to pass on, `Micros` to wait."""

    min_poll: Micros
    long_poll: Millis
    turn_lock: Millis
    turn_renewal: Micros
    item_lock: Millis
    item_renewal: Micros
    """I, the interval between the renewals of one item lock (RT-6.3)."""
    session_lock: Millis
    """D, everywhere the same (SS-20.7)."""
    session_idle: Micros | None
    """T."""
    grace: Micros
    """G."""
    unregistered_base: Millis
    unregistered_most: Millis

    def __post_init__(self) -> None:
        # Options are checked where they are passed in; what is derived from them is ours to get right.
        assert self.min_poll > 0, f"a poll interval of {self.min_poll} us asks an empty store in a hot loop"
        assert self.long_poll >= 0, f"a fetch that waits for {self.long_poll} ms"
        assert self.session_lock > 0, f"a session lock of {self.session_lock} ms is never live"
        assert self.session_idle is None or self.session_idle >= 0, f"idle after {self.session_idle} us"
        assert self.grace >= 0, f"a signalled handler has {self.grace} us to stop"
        _check_renewal("instance", self.turn_lock, self.turn_renewal)
        _check_renewal("item", self.item_lock, self.item_renewal)

    @classmethod
    def of(cls, options: RuntimeOptions) -> Timing:
        """Cut every duration to whole milliseconds, once (RT-27.2)."""
        item_lock = to_millis(options.worker_lock_timeout)
        turn_lock = to_millis(options.orchestrator_lock_timeout)
        lock = options.session_lock_duration
        idle = options.session_idle_timeout
        return cls(
            min_poll=in_micros(to_millis(options.dispatcher_min_poll_interval)),
            long_poll=to_millis(options.dispatcher_long_poll_timeout),
            turn_lock=turn_lock,
            turn_renewal=renewal_interval(turn_lock, to_millis(options.orchestrator_lock_renewal_buffer)),
            item_lock=item_lock,
            item_renewal=renewal_interval(item_lock, to_millis(options.worker_lock_renewal_buffer)),
            session_lock=Millis(2 * item_lock) if lock is None else to_millis(lock),
            session_idle=None if idle is None else in_micros(to_millis(idle)),
            grace=in_micros(to_millis(options.activity_cancellation_grace_period)),
            unregistered_base=to_millis(options.unregistered_backoff.base_delay),
            unregistered_most=to_millis(options.unregistered_backoff.max_delay),
        )


def _check_renewal(kind: str, lock: Millis, interval: Micros) -> None:
    assert interval > 0, f"an {kind} lock of {lock} ms is renewed every {interval} us: in a hot loop"
    assert interval <= in_micros(lock), (
        f"an {kind} lock of {lock} ms is renewed after {interval} us: too late"
    )


def to_millis(duration: timedelta) -> Millis:
    """Whole milliseconds; fractions are dropped (PV-3.7)."""
    return Millis(duration // _MILLISECOND)


def in_micros(duration: Millis) -> Micros:
    """The same duration on a worker's own time line."""
    return Micros(duration * 1000)


def renewal_interval(lock: Millis, buffer: Millis) -> Micros:
    """When a lock of this length is renewed (RT-5.5): `buffer` before expiry, or halfway if it is short."""
    if lock >= RENEWED_HALFWAY_BELOW:
        return in_micros(Millis(max(lock - buffer, 1_000)))
    return Micros(lock * 500)
