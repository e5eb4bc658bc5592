"""Defects of the worker and of its lease manager."""

from __future__ import annotations

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import LockToken, Micros
from holdfast.core.contract.provider import ScheduledSessionIdentifier
from holdfast.core.working.activity_run import ActivityRunner
from holdfast.core.working.attempt import Attempt
from holdfast.core.working.lease_keeper import LeaseKeeper
from holdfast.core.working.lease_records import (
    Decisions,
    Ended,
    FetchUnderWay,
    Lease,
    Renewal,
    RenewalAnswer,
    SessionArrival,
)
from holdfast.core.working.lease_table import LeaseTable
from holdfast.properties.defects.defect import Change, Changes, Original, around, defect


@defect(
    "lease manager",
    "21.1 21.2",
    "session_closed_under_its_handler",
    caught_by="INV-28",
    needs="a session lost under a handler",
)
def loss_without_signal() -> Changes:
    """A session that is found lost ends its lease, and nobody tells the handlers."""

    def end_silently(lease_ended: Original, keeper: LeaseKeeper, ended: Ended) -> None:
        lease_ended(keeper, ended._replace(attempts=()) if ended.cause == "lost" else ended)

    yield around(LeaseKeeper, "_lease_ended", end_silently)


@defect(
    "lease manager",
    "4.6 20.11",
    "busy_for_longer_than_the_idle_timeout",
    caught_by="INV-28",
    needs="an activity longer than the idle timeout",
)
class IdleFromDelivery(LeaseTable):
    """The idle timer of a session starts with a delivery and is due while the handler still runs."""

    def delivered(
        self, fetch: FetchUnderWay, key: ScheduledSessionIdentifier, token: LockToken, now: Micros
    ) -> tuple[SessionArrival, Lease | None]:
        delivery, lease = super().delivered(fetch, key, token, now)
        if lease is not None:
            super().finished(lease, token, now)
        return delivery, lease

    def finished(self, lease: Lease, token: LockToken, now: Micros) -> None:
        if token in lease.attempts:
            super().finished(lease, token, now)


@defect(
    "lease manager",
    "3.3 3.4 24.1 24.6",
    "two_sessions_and_room_for_one",
    caught_by="INV-27",
    needs="two fetches at once",
)
class NoReservations(LeaseTable):
    """Capacity is checked against the leases held, without the claims that are under way."""

    def _unit_free(self) -> bool:
        return len(self._leases) < self._limit

    def _check(self) -> None:
        pass


@defect(
    "lease manager",
    "21.5 21.6",
    "renewals_fail_for_a_moment",
    caught_by="INV-24",
    needs="a fault: a refused call",
)
class ErrorsAreLosses(LeaseTable):
    """A renewal that fails for a moment is taken for the loss of the session."""

    def renewal_answered(self, call: Renewal, now: Micros, answer: RenewalAnswer) -> Ended | None:
        return super().renewal_answered(call, now, "refused" if answer == "unknown" else answer)


@defect(
    "lease manager",
    "4.3 11.4 23.15 28.2 28.13",
    "session_closed_under_its_handler",
    caught_by="INV-23",
    needs="a session lost under a handler",
)
class RefusalsAreRetried(LeaseTable):
    """A renewal that is refused for good is tried again like any other, until the lease runs out."""

    def renewal_answered(self, call: Renewal, now: Micros, answer: RenewalAnswer) -> Ended | None:
        return super().renewal_answered(call, now, "unknown" if answer == "refused" else answer)


@defect(
    "lease manager",
    "6.1 29.2 29.4 29.6 29.8",
    "graceful_shutdown_releases_locks_immediately",
    caught_by="INV-30",
    needs="a worker that is shut down",
)
class NothingReleased(LeaseTable):
    """Shutdown forgets its leases and leaves the sessions to lapse by themselves."""

    def close(self, unstopped: frozenset[ScheduledSessionIdentifier]) -> Decisions:
        decisions = super().close(unstopped)
        for kept in decisions.releases:
            kept.releasing = False
        return decisions._replace(releases=())


@defect(
    "worker",
    "6.2 15.2",
    "graceful_shutdown_inflight_activities_cancelled",
    caught_by="INV-31",
    needs="two workers, one of them shut down",
)
def discarded_work_is_gone() -> Changes:
    """An item whose handler was told to stop is acknowledged without a completion."""

    async def discard(self: ActivityRunner, attempt: Attempt) -> None:
        try:
            await self._provider.ack_work_item(attempt.token, None)
        except ProviderError as error:
            self._tell("debug", "cancelled item is gone", attempt, error=str(error))

    yield Change(ActivityRunner, "_discard", discard)
