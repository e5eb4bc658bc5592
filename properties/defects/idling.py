"""Defects of idle release: of when the timer of an idle session runs, and of what happens when it fires."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import LockToken, Micros, Millis
from holdfast.core.contract.observe import StopOutcome
from holdfast.core.contract.provider import ScheduledSessionIdentifier
from holdfast.core.working.activity_run import ActivityRunner
from holdfast.core.working.attempt import Attempt
from holdfast.core.working.handler import Handler
from holdfast.core.working.lease_keeper import LeaseKeeper
from holdfast.core.working.lease_records import Decisions, FetchUnderWay, Kept, Lease, SessionArrival
from holdfast.core.working.lease_table import LeaseTable
from holdfast.core.working.worker import Worker
from holdfast.properties.defects.defect import Change, Defect, Planting, original, replaced
from holdfast.properties.defects.replacements import lease_table


class _FromTheFirstFinish(LeaseTable):
    """The idle timer counts from when the first of several activities ended."""

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


class _NotCancelled(LeaseTable):
    """An activity that arrives does not cancel the timer: it goes on where it was once that is done."""

    def __init__(self, *, duration: Micros, idle: Micros | None, limit: int) -> None:
        super().__init__(duration=duration, idle=idle, limit=limit)
        self._since: dict[ScheduledSessionIdentifier, Micros] = {}

    def _start_idling(self, lease: Lease, now: Micros) -> None:
        super()._start_idling(lease, now)
        if lease.idle_since is not None:
            lease.idle_since = self._since.setdefault(lease.key, lease.idle_since)


class _IdleSessionsLapse(LeaseTable):
    """An idle session is no longer renewed, and left to lapse."""

    def advance(self, now: Micros) -> Decisions:
        decisions = super().advance(now)
        for kept in decisions.releases:
            kept.releasing = False
        return decisions._replace(releases=())


class _ZeroIsNone(LeaseTable):
    """An idle timeout of zero is taken for none."""

    def __init__(self, *, duration: Micros, idle: Micros | None, limit: int) -> None:
        super().__init__(duration=duration, idle=idle or None, limit=limit)


class _NoLongerThanTheLock(LeaseTable):
    """A session is idle after D at the latest."""

    def __init__(self, *, duration: Micros, idle: Micros | None, limit: int) -> None:
        capped = None if idle is None else min(idle, duration)
        super().__init__(duration=duration, idle=capped, limit=limit)


class _FetchesBesideReleases(LeaseTable):
    """A fetch is begun although the release of an idle session is on its way."""

    def may_fetch(self, now: Micros) -> bool:
        return not any(self._idle_due(lease, by=now) for lease in self._leases.values())

    def delivered(
        self, fetch: FetchUnderWay, key: ScheduledSessionIdentifier, token: LockToken, now: Micros
    ) -> tuple[SessionArrival, Lease | None]:
        kept = self._kept.get(key)
        if kept is not None:
            kept.releasing = False
        return super().delivered(fetch, key, token, now)


class _ReleasesBesideFetches(_FetchesBesideReleases):
    """An idle session is released whether or not a fetch is under way that may bring an item of it."""

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


def _over_when_the_handler_is() -> Planting:
    """The in-flight count goes down when a handler has ended, and its final call is sent after that."""
    dispose = original(ActivityRunner, "_dispose")

    async def dispose_after_counting(
        self: ActivityRunner, attempt: Attempt, handler: Handler, outcome: StopOutcome, duration: Micros
    ) -> None:
        if attempt.lease is not None:
            self._keeper.finished(attempt)
            attempt.lease = None
        await dispose(self, attempt, handler, outcome, duration)

    return replaced(Change(ActivityRunner, "_dispose", dispose_after_counting))


def _only_completed_work_counts() -> Planting:
    """The timer starts after a completion; after an activity that was cancelled it does not."""
    finished = original(LeaseKeeper, "finished")

    def finish(self: LeaseKeeper, attempt: Attempt) -> None:
        finished(self, attempt)
        if attempt.signalled and attempt.lease is not None:
            attempt.lease.idle_since = None

    return replaced(Change(LeaseKeeper, "finished", finish))


def _lock_covers_the_timeout() -> Planting:
    """Sessions are locked for as long as they may idle, if that is longer than D."""

    def covering(init: Callable[..., None]) -> Callable[..., None]:
        def begin(self: Any, *arguments: Any, **named: Any) -> None:
            timing = named["timing"]
            if timing.session_idle is not None:
                lock = Millis(max(timing.session_lock, timing.session_idle // 1000))
                named["timing"] = replace(timing, session_lock=lock)
            init(self, *arguments, **named)

        return begin

    return replaced(*(Change(kind, "__init__", covering(kind.__init__)) for kind in (LeaseKeeper, Worker)))


def _release_repeated() -> Planting:
    """A release that fails is repeated until it succeeds."""

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

    return replaced(Change(LeaseKeeper, "_release", release))


def _lease_taken_back() -> Planting:
    """After a release that failed the session is held on to, and renewed."""
    answered = original(LeaseTable, "release_answered")

    def take_back(self: LeaseTable, kept: Kept, *, confirmed: bool) -> None:
        answered(self, kept, confirmed=confirmed)
        if not confirmed and kept.cause == "idle" and self._kept.pop(kept.key, None) is kept:
            since = kept.calls.last_ended
            lease = Lease(kept.key, kept.calls, phase="idle", extended=since)
            lease.deadline = Micros(since + self._duration)
            self._leases[kept.key] = lease

    return replaced(Change(LeaseTable, "release_answered", take_back))


def _idle(
    name: str,
    title: str,
    planted: Callable[[], Planting],
    caught_by: str,
    row: str,
    scenario: str,
    needs: str,
) -> Defect:
    return Defect(
        name=name,
        title=title,
        where="lease manager",
        caught_by=caught_by,
        rows=(row,),
        scenario=scenario,
        needs=needs,
        planted=planted,
    )


DEFECTS: Final = (
    _idle(
        "timer_from_the_first_finish",
        "The idle timer of a session counts from the first end of several activities that overlapped",
        lambda: lease_table(_FromTheFirstFinish),
        "INV-29",
        "20.1",
        "idle_timer_starts_at_last_finish",
        "activities that overlap",
    ),
    _idle(
        "idle_before_the_final_call",
        "A session is idle once its handlers have ended, while their results are still on their way",
        _over_when_the_handler_is,
        "INV-29",
        "20.2",
        "idle_timer_starts_after_error_cancel_abandon",
        "a slow final call",
    ),
    _idle(
        "no_timer_after_cancellation",
        "After an activity that was cancelled the idle timer does not start",
        _only_completed_work_counts,
        "20.2",
        "20.2",
        "idle_timer_starts_after_error_cancel_abandon",
        "a cancelled activity",
    ),
    _idle(
        "timer_not_cancelled",
        "A new activity does not cancel the idle timer: it goes on from where it was",
        lambda: lease_table(_NotCancelled),
        "INV-29",
        "20.3",
        "idle_timer_cancelled_by_new_activity",
        "an activity shortly before the timer fires",
    ),
    _idle(
        "fetches_beside_releases",
        "A fetch is begun while the release of an idle session is on its way",
        lambda: lease_table(_FetchesBesideReleases),
        "20.5",
        "20.5",
        "idle_release_versus_fetch_race",
        "a slow release",
    ),
    _idle(
        "releases_beside_fetches",
        "An idle session is released while a fetch is under way that may bring an item of it",
        lambda: lease_table(_ReleasesBesideFetches),
        "INV-29",
        "20.5",
        "idle_release_versus_fetch_race",
        "a slow answer of a fetch",
    ),
    _idle(
        "zero_is_no_timeout",
        "An idle timeout of zero is taken for none at all",
        lambda: lease_table(_ZeroIsNone),
        "20.6",
        "20.6",
        "idle_timeout_zero",
        "an idle timeout of zero",
    ),
    _idle(
        "idle_no_longer_than_the_lock",
        "A session is given up after D of idleness, if the idle timeout is longer",
        lambda: lease_table(_NoLongerThanTheLock),
        "INV-29",
        "20.7",
        "idle_and_lock_knobs_independent",
        "an idle timeout beyond the session lock",
    ),
    _idle(
        "lock_covers_the_idle_timeout",
        "Sessions are locked for the idle timeout, if that is longer than D",
        _lock_covers_the_timeout,
        "INV-44",
        "20.7",
        "idle_and_lock_knobs_independent",
        "a crash, and an idle timeout beyond the session lock",
    ),
    _idle(
        "release_repeated",
        "An idle release that fails is repeated until it succeeds",
        _release_repeated,
        "20.8",
        "20.8",
        "idle_release_call_failure",
        "a release that fails",
    ),
    _idle(
        "idle_sessions_lapse",
        "An idle session is not released: its renewal stops, and it is left to lapse",
        lambda: lease_table(_IdleSessionsLapse),
        "20.4",
        "20.4",
        "idle_release_is_explicit",
        "an idle session",
    ),
    _idle(
        "failed_release_takes_back",
        "After an idle release that fails the worker holds on to the session",
        _lease_taken_back,
        "20.8",
        "20.8",
        "idle_release_call_failure",
        "a release that fails",
    ),
)
