"""Defects of the worker and of its lease manager."""

from __future__ import annotations

from typing import Final

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
from holdfast.properties.defects.defect import Change, Defect, Planting, original, replaced
from holdfast.properties.defects.replacements import lease_table


def _loss_without_signal() -> Planting:
    """The lease goes, its handlers run on."""
    lease_ended = original(LeaseKeeper, "_lease_ended")

    def end_silently(self: LeaseKeeper, ended: Ended) -> None:
        lease_ended(self, ended._replace(attempts=()) if ended.cause == "lost" else ended)

    return replaced(Change(LeaseKeeper, "_lease_ended", end_silently))


class _IdleFromDelivery(LeaseTable):
    """The idle timer starts when an item arrives, not when the last one is disposed of."""

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


class _NoReservations(LeaseTable):
    """A unit is free as long as the leases leave one: claims under way are not counted."""

    def _unit_free(self) -> bool:
        return len(self._leases) < self._limit

    def _check(self) -> None:
        pass


class _ErrorsAreLosses(LeaseTable):
    """Any error of a renewal ends the lease, also one that says nothing about it."""

    def renewal_answered(self, call: Renewal, now: Micros, answer: RenewalAnswer) -> Ended | None:
        return super().renewal_answered(call, now, "refused" if answer == "unknown" else answer)


class _RefusalsAreErrors(LeaseTable):
    """A refusal is not told from an error that will pass."""

    def renewal_answered(self, call: Renewal, now: Micros, answer: RenewalAnswer) -> Ended | None:
        return super().renewal_answered(call, now, "unknown" if answer == "refused" else answer)


class _NothingReleased(LeaseTable):
    """Shutdown ends the leases and leaves the rows to lapse."""

    def close(self, unstopped: frozenset[ScheduledSessionIdentifier]) -> Decisions:
        decisions = super().close(unstopped)
        for kept in decisions.releases:
            kept.releasing = False
        return decisions._replace(releases=())


def _discarded_work_is_gone() -> Planting:
    """Whatever was told to stop is acknowledged without a completion, as an item without session would be."""

    async def discard(self: ActivityRunner, attempt: Attempt) -> None:
        try:
            await self._provider.ack_work_item(attempt.token, None)
        except ProviderError as error:
            self._tell(self._log.debug, "cancelled item is gone", attempt, error=str(error))

    return replaced(Change(ActivityRunner, "_discard", discard))


DEFECTS: Final = (
    Defect(
        name="loss_without_signal",
        title="A session that is found lost takes its lease along, and nobody tells the handlers",
        where="lease manager",
        caught_by="INV-28",
        rows=("21.1", "21.2"),
        scenario="session_closed_under_its_handler",
        needs="a session lost under a handler",
        planted=_loss_without_signal,
    ),
    Defect(
        name="refusals_are_retried",
        title="A renewal that is refused for good is tried again like any other, until the lease runs out",
        where="lease manager",
        caught_by="INV-23",
        rows=("4.3", "11.4", "23.15", "28.2", "28.13"),
        scenario="session_closed_under_its_handler",
        needs="a session lost under a handler",
        planted=lambda: lease_table(_RefusalsAreErrors),
    ),
    Defect(
        name="idle_from_delivery",
        title="The idle timer of a session starts with a delivery and is due while the handler still runs",
        where="lease manager",
        caught_by="INV-28",
        rows=("4.6", "20.11"),
        scenario="busy_for_longer_than_the_idle_timeout",
        needs="an activity longer than the idle timeout",
        planted=lambda: lease_table(_IdleFromDelivery),
    ),
    Defect(
        name="no_reservations",
        title="Capacity is checked against the leases held, without the claims that are under way",
        where="lease manager",
        caught_by="INV-27",
        rows=("3.3", "3.4", "24.1", "24.6"),
        scenario="two_sessions_and_room_for_one",
        needs="two fetches at once",
        planted=lambda: lease_table(_NoReservations),
    ),
    Defect(
        name="errors_are_losses",
        title="A renewal that fails for a moment is taken for the loss of the session",
        where="lease manager",
        caught_by="INV-24",
        rows=("21.5", "21.6"),
        scenario="renewals_fail_for_a_moment",
        needs="a fault: a refused call",
        planted=lambda: lease_table(_ErrorsAreLosses),
    ),
    Defect(
        name="nothing_released",
        title="Shutdown forgets its leases and leaves the sessions to lapse by themselves",
        where="lease manager",
        caught_by="INV-30",
        rows=("6.1", "29.2", "29.4", "29.6", "29.8"),
        scenario="graceful_shutdown_releases_locks_immediately",
        needs="a worker that is shut down",
        planted=lambda: lease_table(_NothingReleased),
    ),
    Defect(
        name="discarded_work_is_gone",
        title="An item whose handler was told to stop is acknowledged without a completion",
        where="worker",
        caught_by="INV-31",
        rows=("6.2", "15.2"),
        scenario="graceful_shutdown_inflight_activities_cancelled",
        needs="two workers, one of them shut down",
        planted=_discarded_work_is_gone,
    ),
)
