"""WorkerTiming: the durations of one worker that timed rules are stated in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from holdfast.core.hosting.options import RuntimeOptions, Timing


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerTiming:
    """D, R, I, L, G and T of sessions.md section 0, in microseconds, and the worker's limits of sessions.

    `sessions_max` is its session capacity, `open_max` how many an instance may have open in its turns, and
    `slots` how many activities it runs at once; `poll_us` is P, its long poll and the pause after it.
    """

    session_lock_us: int
    session_renewal_us: int
    item_renewal_us: int
    item_lock_us: int
    grace_us: int
    idle_us: int | None
    sessions_max: int
    open_max: int | None = None
    slots: int | None = None
    poll_us: int | None = None

    @classmethod
    def of(cls, options: RuntimeOptions) -> WorkerTiming:
        """The timing of a worker that runs with these options."""
        timing = Timing.of(options)
        return cls(
            session_lock_us=timing.session_lock * 1000,
            session_renewal_us=timing.session_lock * 500,  # exactly D/2 (SS-7.19)
            item_renewal_us=timing.item_renewal,
            item_lock_us=timing.item_lock * 1000,
            grace_us=timing.grace,
            idle_us=timing.session_idle,
            sessions_max=options.max_sessions_per_worker,
            open_max=options.max_sessions_per_orchestration,
            slots=options.worker_concurrency,
            poll_us=timing.long_poll * 1000 + timing.min_poll,
        )


@dataclass(frozen=True, slots=True)
class Timings:
    """The timing of each process by name; `default` is for processes that are not named.

    `by_process` may grow while the run goes on: it is asked when a timed rule needs it.
    """

    default: WorkerTiming | None
    by_process: Mapping[str, WorkerTiming]

    def of(self, process: str) -> WorkerTiming | None:
        """None if it is not known: timed rules then say nothing about this process."""
        return self.by_process.get(process, self.default)
