"""Defects of capacity: of the units that sessions take, and of what a worker does when none is free."""

from __future__ import annotations

from typing import Final

from holdfast.core.contract.ids import LockToken, Micros
from holdfast.core.contract.provider import ScheduledSessionIdentifier
from holdfast.core.runtime import Runtime
from holdfast.core.working.attempt import Attempt
from holdfast.core.working.lease_keeper import LeaseKeeper
from holdfast.core.working.lease_records import (
    EndCause,
    Ended,
    ExtendingCalls,
    FetchUnderWay,
    Kept,
    Lease,
    RenewalAnswer,
    SessionArrival,
)
from holdfast.core.working.lease_table import LeaseTable
from holdfast.core.working.worker import Worker
from holdfast.properties.defects.defect import Change, Changes, Original, around, defect

_NO_LIMIT: Final = 1_000_000


@defect(
    "lease manager", "24.7", "capacity_freed_by_each_ending", needs="a fetch begun while a renewal is out"
)
class AnswersOutAreForgotten(LeaseTable):
    """A fetch for owned sessions only goes on waiting when an answer arrives that frees a unit."""

    def _answer_may_free(self) -> bool:
        return False


@defect(
    "lease manager",
    "24.7 24.14",
    "capacity_freed_by_each_ending",
    needs="a session that is closed, and another that waits",
)
class LossesKeepTheUnit(LeaseTable):
    """A session that the provider said is lost keeps its unit for D."""

    def _end(self, lease: Lease, cause: EndCause) -> Ended:
        ended = super()._end(lease, cause)
        if cause == "lost":
            self._kept[lease.key] = Kept(lease.key, lease.calls, cause, releasing=False)
        return ended


@defect(
    "lease manager",
    "24.7 24.13 24.14",
    "capacity_freed_by_each_ending",
    needs="an idle session, and another that waits",
)
class ReleasesKeepTheUnit(LeaseTable):
    """A session that was released keeps its unit for D."""

    def release_answered(self, kept: Kept, *, confirmed: bool) -> None:
        super().release_answered(kept, confirmed=False)


@defect(
    "lease manager",
    "24.13",
    "unconfirmed_give_up_keeps_unit",
    caught_by="INV-27",
    needs="a fault: a release that fails",
)
class FailedReleasesFreeTheUnit(LeaseTable):
    """A session whose release failed frees its unit at once."""

    def release_answered(self, kept: Kept, *, confirmed: bool) -> None:
        super().release_answered(kept, confirmed=True)


@defect(
    "lease manager",
    "24.5 24.14",
    "freed_unit_usable_by_every_slot",
    caught_by="24.14",
    needs="two fetches that get items of one session",
)
class JoinsKeepTheReservation(LeaseTable):
    """A claiming fetch that brings an item of a session held already does not return its unit."""

    def __init__(self, *, duration: Micros, idle: Micros | None, limit: int) -> None:
        super().__init__(duration=duration, idle=idle, limit=limit)
        self._leaked = 0

    def _unit_free(self) -> bool:
        return sum(self.units) + self._leaked < self._limit

    def delivered(
        self, fetch: FetchUnderWay, key: ScheduledSessionIdentifier, token: LockToken, now: Micros
    ) -> tuple[SessionArrival, Lease | None]:
        delivery, lease = super().delivered(fetch, key, token, now)
        self._leaked += delivery == "joined" and fetch.reserved
        return delivery, lease


@defect(
    "lease manager",
    "24.11",
    "fetch_errors_leave_leases_alone",
    caught_by="INV-24",
    needs="a fault: a refused fetch",
)
class FailedFetchesEndLeases(LeaseTable):
    """A fetch that fails is taken for the loss of all sessions."""

    def fetch_ended(self, fetch: FetchUnderWay, now: Micros, *, answer_lost: bool = False) -> None:
        super().fetch_ended(fetch, now, answer_lost=answer_lost)
        if answer_lost:
            for lease in self._all():
                lease.deadline = now


@defect(
    "lease manager",
    "24.5",
    "capacity_counts_sessions_not_activities",
    needs="two activities of a session at once, and another session",
)
class ActivitiesTakeUnits(LeaseTable):
    """Each activity in flight takes a unit of capacity."""

    def _unit_free(self) -> bool:
        more = sum(max(len(lease.attempts) - 1, 0) for lease in self._all())
        return sum(self.units) + more < self._limit


@defect(
    "lease manager",
    "24.6",
    "idle_sessions_count",
    caught_by="INV-27",
    needs="an idle session, and another that waits",
)
class IdleSessionsAreFree(LeaseTable):
    """A session with nothing in flight takes no unit of capacity."""

    def _in_use(self) -> int:
        return super()._in_use() - sum(not lease.attempts for lease in self._all())


@defect(
    "lease manager",
    "24.13",
    "unconfirmed_give_up_keeps_unit",
    needs="a fault: a renewal whose answer is lost, and then a release that fails",
)
def unanswered_calls_do_not_count() -> Changes:
    """A session given up frees its unit D after the last call that was answered."""

    def end(ended: Original, calls: ExtendingCalls, now: Micros, answer: RenewalAnswer) -> None:
        ended(calls, now, "refused" if answer == "unknown" else answer)

    yield around(ExtendingCalls, "ended", end)


@defect("worker", "24.9", "provider_without_sessions_plain_fetch", needs="a provider without sessions")
def sessions_assumed() -> Changes:
    """The worker fetches session items whether or not the provider has sessions."""

    def make_with_sessions(make: Original, this: Runtime) -> Worker:
        worker: Worker = make(this)
        worker._uses_sessions = this.options.max_sessions_per_worker > 0
        return worker

    yield around(Runtime, "_make_worker", make_with_sessions)


@defect("worker", "24.8", "zero_capacity_means_none", needs="a worker that may have no sessions")
def zero_sessions_is_no_limit() -> Changes:
    """A limit of zero sessions is taken for no limit."""

    def make_unlimited(make: Original, this: Runtime) -> Worker:
        worker: Worker = make(this)
        if this.options.max_sessions_per_worker == 0:
            worker._uses_sessions = True
            worker._keeper._limit = worker._keeper._table._limit = _NO_LIMIT
        return worker

    yield around(Runtime, "_make_worker", make_unlimited)


@defect("worker", "24.1 24.10", "at_capacity_switches_to_owned_only", needs="a worker at its capacity")
def plain_fetch_at_capacity() -> Changes:
    """At its capacity a worker fetches items without session only, not those of its sessions."""

    async def fetch_plainly(fetch_in_mode: Original, worker: Worker, fetch: FetchUnderWay | None) -> object:
        if fetch is not None and not fetch.claim_new:
            return await worker._provider.fetch_work_item(
                worker._timing.item_lock, worker._keeper.poll_timeout(fetch), worker._tag_filter
            )
        return await fetch_in_mode(worker, fetch)

    yield around(Worker, "_fetch", fetch_plainly)


@defect("worker", "24.15", "item_without_free_unit_is_given_back", needs="a fault: a lost answer of a claim")
def given_back_and_kept() -> Changes:
    """An item for whose session there is no unit is given back, and the session not released."""

    async def give_back(self: LeaseKeeper, key: ScheduledSessionIdentifier) -> bool:
        return False

    yield Change(LeaseKeeper, "give_back", give_back)


@defect(
    "worker",
    "24.15",
    "item_without_free_unit_is_given_back",
    caught_by="INV-28",
    needs="a fault: a lost answer of a claim",
)
def runs_without_a_unit() -> Changes:
    """An item for whose session there is no unit is run all the same."""

    async def run(self: Worker, attempt: Attempt, key: ScheduledSessionIdentifier) -> None:
        try:
            await self._runner.run(attempt)
        finally:
            self._keeper.given_back(key)

    yield Change(Worker, "_give_back", run)


@defect("lease manager", "24.10", "timeline_capacity", caught_by="INV-46", needs="a worker at its limit")
class FullWorkersAskForNothing(LeaseTable):
    """A worker at its limit of sessions fetches nothing until a session ends."""

    def may_fetch(self, now: Micros) -> bool:
        return super().may_fetch(now) and self._unit_free()
