"""Defects of idle release: of when the timer of an idle session runs, and of what happens when it fires."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import LockToken, Micros, Millis
from holdfast.core.contract.provider import ScheduledSessionIdentifier
from holdfast.core.hosting.options import Timing
from holdfast.core.working.activity_run import ActivityRunner
from holdfast.core.working.attempt import Attempt
from holdfast.core.working.lease_keeper import LeaseKeeper
from holdfast.core.working.lease_records import Decisions, FetchUnderWay, Kept, Lease, SessionArrival
from holdfast.core.working.lease_table import LeaseTable
from holdfast.core.working.worker import Worker
from holdfast.properties.defects.defect import Change, Changes, Original, around, defect


@defect(
    "lease manager",
    "20.1",
    "idle_timer_starts_at_last_finish",
    caught_by="INV-29",
    needs="activities that overlap",
)
class TimerFromTheFirstFinish(LeaseTable):
    """The idle timer of a session counts from the first end of several activities that overlapped."""

    def __init__(self, *, duration: Micros, idle: Micros | None, limit: int) -> None:
        super().__init__(duration=duration, idle=idle, limit=limit)
        self._first: dict[ScheduledSessionIdentifier, Micros] = {}

    def finished(self, lease: Lease, token: LockToken, now: Micros) -> None:
        self._first.setdefault(lease.key, now)
        super().finished(lease, token, now)
        if not lease.attempts:
            first = self._first.pop(lease.key)
            if lease.idle_since is not None:
                lease.idle_since = first


@defect(
    "lease manager",
    "20.3",
    "idle_timer_cancelled_by_new_activity",
    caught_by="INV-29",
    needs="an activity shortly before the timer fires",
)
class TimerNotCancelled(LeaseTable):
    """A new activity does not cancel the idle timer: it goes on from where it was."""

    def __init__(self, *, duration: Micros, idle: Micros | None, limit: int) -> None:
        super().__init__(duration=duration, idle=idle, limit=limit)
        self._since: dict[ScheduledSessionIdentifier, Micros] = {}

    def _start_idling(self, lease: Lease, now: Micros) -> None:
        super()._start_idling(lease, now)
        if lease.idle_since is not None:
            lease.idle_since = self._since.setdefault(lease.key, lease.idle_since)


@defect("lease manager", "20.4", "idle_release_is_explicit", needs="an idle session")
class IdleSessionsLapse(LeaseTable):
    """An idle session is not released: its renewal stops, and it is left to lapse."""

    def advance(self, now: Micros) -> Decisions:
        decisions = super().advance(now)
        for kept in decisions.releases:
            kept.releasing = False
        return decisions._replace(releases=())


@defect("lease manager", "20.6", "idle_timeout_zero", needs="an idle timeout of zero")
class ZeroIsNoTimeout(LeaseTable):
    """An idle timeout of zero is taken for none at all."""

    def __init__(self, *, duration: Micros, idle: Micros | None, limit: int) -> None:
        super().__init__(duration=duration, idle=idle or None, limit=limit)


@defect(
    "lease manager",
    "20.7",
    "idle_and_lock_knobs_independent",
    caught_by="INV-29",
    needs="an idle timeout beyond the session lock",
)
class IdleNoLongerThanTheLock(LeaseTable):
    """A session is given up after D of idleness, if the idle timeout is longer."""

    def __init__(self, *, duration: Micros, idle: Micros | None, limit: int) -> None:
        capped = None if idle is None else min(idle, duration)
        super().__init__(duration=duration, idle=capped, limit=limit)


@defect("lease manager", "20.5", "idle_release_versus_fetch_race", needs="a slow release")
class FetchesBesideReleases(LeaseTable):
    """A fetch is begun while the release of an idle session is on its way."""

    def may_fetch(self, now: Micros) -> bool:
        idle_at = self._first_idle_at()
        return idle_at is None or idle_at > now or self._closing

    def delivered(
        self, fetch: FetchUnderWay, key: ScheduledSessionIdentifier, token: LockToken, now: Micros
    ) -> tuple[SessionArrival, Lease | None]:
        kept = self._kept.get(key)
        if kept is not None:
            kept.releasing = False
        return super().delivered(fetch, key, token, now)


@defect(
    "lease manager",
    "20.5",
    "idle_release_versus_fetch_race",
    caught_by="INV-29",
    needs="a slow answer of a fetch",
)
class ReleasesBesideFetches(FetchesBesideReleases):
    """An idle session is released while a fetch is under way that may bring an item of it."""

    def may_fetch(self, now: Micros) -> bool:
        return True

    def advance(self, now: Micros) -> Decisions:
        with self._as_if_without_fetches():
            return super().advance(now)

    def next_due(self) -> Micros | None:
        with self._as_if_without_fetches():
            return super().next_due()

    @contextmanager
    def _as_if_without_fetches(self) -> Iterator[None]:
        fetches, self._fetches = self._fetches, {}
        try:
            yield
        finally:
            self._fetches = fetches


@defect(
    "lease manager",
    "20.2",
    "idle_timer_starts_after_error_cancel_abandon",
    caught_by="INV-29",
    needs="a slow final call",
)
def idle_before_the_final_call() -> Changes:
    """A session is idle once its handlers have ended, while their results are still on their way."""

    async def count_first(dispose: Original, runner: ActivityRunner, attempt: Attempt, *rest: object) -> None:
        if attempt.lease is not None:
            runner._keeper.finished(attempt)
            attempt.lease = None
        await dispose(runner, attempt, *rest)

    yield around(ActivityRunner, "_dispose", count_first)


@defect("lease manager", "20.2", "idle_timer_starts_after_error_cancel_abandon", needs="a cancelled activity")
def no_timer_after_cancellation() -> Changes:
    """After an activity that was cancelled the idle timer does not start."""

    def finish(finished: Original, keeper: LeaseKeeper, attempt: Attempt) -> None:
        finished(keeper, attempt)
        if attempt.signalled and attempt.lease is not None:
            attempt.lease.idle_since = None

    yield around(LeaseKeeper, "finished", finish)


@defect(
    "lease manager",
    "20.7",
    "idle_and_lock_knobs_independent",
    caught_by="INV-44",
    needs="a crash, and an idle timeout beyond the session lock",
)
def lock_covers_the_idle_timeout() -> Changes:
    """Sessions are locked for the idle timeout, if that is longer than D."""

    def begin(init: Original, *given: object, timing: Timing, **named: object) -> None:
        if timing.session_idle is not None:
            lock = Millis(max(timing.session_lock, timing.session_idle // 1000))
            timing = replace(timing, session_lock=lock)
        init(*given, timing=timing, **named)

    yield around(LeaseKeeper, "__init__", begin)
    yield around(Worker, "__init__", begin)


@defect("lease manager", "20.8", "idle_release_call_failure", needs="a release that fails")
def release_repeated() -> Changes:
    """An idle release that fails is repeated until it succeeds."""

    async def release(self: LeaseKeeper, kept: Kept) -> None:
        key = kept.key
        while True:
            try:
                await self._provider.release_session_lock(key.instance, key.session_id, self._owner)
            except ProviderError:
                await self._clock.sleep_until(Micros(self._now() + 1_000_000))
            else:
                break
        self._table.release_answered(kept, confirmed=True)
        self.advance()
        self._on_change()

    yield Change(LeaseKeeper, "_release", release)


@defect("lease manager", "20.8", "idle_release_call_failure", needs="a release that fails")
def failed_release_takes_back() -> Changes:
    """After an idle release that fails the worker holds on to the session."""

    def take_back(answered: Original, table: LeaseTable, kept: Kept, *, confirmed: bool) -> None:
        answered(table, kept, confirmed=confirmed)
        if not confirmed and kept.cause == "idle" and table._kept.pop(kept.key, None) is kept:
            since = kept.calls.last_ended
            lease = Lease(kept.key, kept.calls, phase="idle", extended=since)
            lease.deadline = Micros(since + table._duration)
            table._leases[kept.key] = lease

    yield around(LeaseTable, "release_answered", take_back)
