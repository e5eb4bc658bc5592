"""Defects of capacity: of the units that sessions take, and of what a worker does that has none free."""

from __future__ import annotations

from typing import Final

from holdfast.core.contract.ids import LockToken, Micros
from holdfast.core.contract.provider import FetchedWork, ScheduledSessionIdentifier
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
    Units,
)
from holdfast.core.working.lease_table import LeaseTable
from holdfast.core.working.worker import Worker
from holdfast.properties.defects.defect import Change, Defect, Planting, original, replaced
from holdfast.properties.defects.replacements import lease_table_defect

_NO_LIMIT: Final = 1_000_000


class _ForgetsWhatIsOut(LeaseTable):
    """A fetch that owns only waits until the next thing is due, whatever answers are on their way."""

    def _answer_may_free(self) -> bool:
        return False


class _LossesKeepTheUnit(LeaseTable):
    """Also a session that the provider said is lost keeps its unit until it must have expired."""

    def _end(self, lease: Lease, cause: EndCause) -> Ended:
        ended = super()._end(lease, cause)
        if cause == "lost":
            self._kept[lease.key] = Kept(lease.key, lease.calls, cause, releasing=False)
        return ended


class _ReleasesKeepTheUnit(LeaseTable):
    """A released session keeps its unit, as one does whose release has failed."""

    def release_answered(self, kept: Kept, *, confirmed: bool) -> None:
        super().release_answered(kept, confirmed=False)


class _FailedReleasesFreeTheUnit(LeaseTable):
    """A session is given up once its release was sent, whatever came of it."""

    def release_answered(self, kept: Kept, *, confirmed: bool) -> None:
        super().release_answered(kept, confirmed=True)


class _JoinsKeepTheReservation(LeaseTable):
    """The unit of a claiming fetch that brings an item of a session held already does not come back."""

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


class _FailedFetchesEndLeases(LeaseTable):
    """A fetch that fails shows that the store is out of reach: the sessions are taken for lost."""

    def fetch_ended(self, fetch: FetchUnderWay, now: Micros, *, answer_lost: bool = False) -> None:
        super().fetch_ended(fetch, now, answer_lost=answer_lost)
        if answer_lost:
            for lease in self._all():
                lease.deadline = now


class _ActivitiesTakeUnits(LeaseTable):
    """Before a fetch may claim there must be room for what is in flight, activity by activity."""

    def _unit_free(self) -> bool:
        more = sum(max(len(lease.attempts) - 1, 0) for lease in self._all())
        return sum(self.units) + more < self._limit


class _IdleSessionsAreFree(LeaseTable):
    """Only sessions with something in flight are counted."""

    @property
    def units(self) -> Units:
        units = super().units
        return units._replace(leases=sum(bool(lease.attempts) for lease in self._all()))


def _answered_calls_only() -> Planting:
    """A call without an answer is not thought to have extended the row."""
    ended = original(ExtendingCalls, "ended")

    def end(self: ExtendingCalls, now: Micros, answer: RenewalAnswer) -> None:
        ended(self, now, "refused" if answer == "unknown" else answer)

    return replaced(Change(ExtendingCalls, "ended", end))


def _sessions_assumed() -> Planting:
    """Whether the provider supports sessions is not asked."""
    make = original(Runtime, "_make_worker")

    def make_with_sessions(self: Runtime) -> Worker:
        worker: Worker = make(self)
        worker._uses_sessions = self.options.max_sessions_per_worker > 0
        return worker

    return replaced(Change(Runtime, "_make_worker", make_with_sessions))


def _zero_is_no_limit() -> Planting:
    """A limit of zero sessions is taken for none."""
    make = original(Runtime, "_make_worker")

    def make_unlimited(self: Runtime) -> Worker:
        worker: Worker = make(self)
        if self.options.max_sessions_per_worker == 0:
            worker._uses_sessions = True
            worker._keeper._limit = worker._keeper._table._limit = _NO_LIMIT
        return worker

    return replaced(Change(Runtime, "_make_worker", make_unlimited))


def _plain_fetch_at_capacity() -> Planting:
    """A worker that may claim nothing new looks for items without session, and for no others."""
    fetch_in_mode = original(Worker, "_fetch")

    async def fetch_plainly(self: Worker, fetch: FetchUnderWay | None) -> FetchedWork | None:
        if fetch is not None and not fetch.claim_new:
            return await self._provider.fetch_work_item(
                self._timing.item_lock, self._keeper.poll_timeout(fetch), self._tag_filter
            )
        fetched: FetchedWork | None = await fetch_in_mode(self, fetch)
        return fetched

    return replaced(Change(Worker, "_fetch", fetch_plainly))


def _kept_and_given_back() -> Planting:
    """The item for which there is no unit is given back, and its session kept."""

    async def give_back(self: LeaseKeeper, key: ScheduledSessionIdentifier) -> bool:
        return False

    return replaced(Change(LeaseKeeper, "give_back", give_back))


def _runs_without_a_unit() -> Planting:
    """The item for which there is no unit is run like any other."""

    async def run(self: Worker, attempt: Attempt, key: ScheduledSessionIdentifier) -> None:
        try:
            await self._runner.run(attempt)
        finally:
            self._keeper.given_back(key)

    return replaced(Change(Worker, "_give_back", run))


class _AsksForNothingWhenFull(LeaseTable):
    """A worker whose units are all taken waits until one is free before it fetches again."""

    def may_fetch(self, now: Micros) -> bool:
        return super().may_fetch(now) and self._unit_free()


DEFECTS: Final = (
    lease_table_defect(
        "full_workers_ask_for_nothing",
        "A worker at its limit of sessions fetches nothing until a session ends",
        _AsksForNothingWhenFull,
        "INV-46",
        ("24.10",),
        "timeline_capacity",
        "a worker at its limit",
    ),
    lease_table_defect(
        "answers_out_are_forgotten",
        "A fetch for owned sessions alone waits on while the answer comes that frees a unit",
        _ForgetsWhatIsOut,
        "24.7",
        ("24.7",),
        "capacity_freed_by_each_ending",
        "a fetch begun while a renewal is out",
    ),
    lease_table_defect(
        "losses_keep_the_unit",
        "A session that the provider said is lost keeps its unit for D",
        _LossesKeepTheUnit,
        "24.7",
        ("24.7", "24.14"),
        "capacity_freed_by_each_ending",
        "a session that is closed, and another that waits",
    ),
    lease_table_defect(
        "releases_keep_the_unit",
        "A session that was released keeps its unit for D",
        _ReleasesKeepTheUnit,
        "24.7",
        ("24.7", "24.13", "24.14"),
        "capacity_freed_by_each_ending",
        "an idle session, and another that waits",
    ),
    lease_table_defect(
        "failed_releases_free_the_unit",
        "A session whose release failed frees its unit at once",
        _FailedReleasesFreeTheUnit,
        "INV-27",
        ("24.13",),
        "unconfirmed_give_up_keeps_unit",
        "a fault: a release that fails",
    ),
    lease_table_defect(
        "joins_keep_the_reservation",
        "A claiming fetch that brings an item of a session held already does not return its unit",
        _JoinsKeepTheReservation,
        "24.14",
        ("24.5", "24.14"),
        "freed_unit_usable_by_every_slot",
        "two fetches that get items of one session",
    ),
    lease_table_defect(
        "failed_fetches_end_leases",
        "A fetch that fails is taken for the loss of all sessions",
        _FailedFetchesEndLeases,
        "INV-24",
        ("24.11",),
        "fetch_errors_leave_leases_alone",
        "a fault: a refused fetch",
    ),
    lease_table_defect(
        "activities_take_units",
        "Each activity in flight takes a unit of capacity",
        _ActivitiesTakeUnits,
        "24.5",
        ("24.5",),
        "capacity_counts_sessions_not_activities",
        "two activities of a session at once, and another session",
    ),
    lease_table_defect(
        "idle_sessions_are_free",
        "A session with nothing in flight takes no unit of capacity",
        _IdleSessionsAreFree,
        "INV-27",
        ("24.6",),
        "idle_sessions_count",
        "an idle session, and another that waits",
    ),
    Defect(
        name="plain_fetch_at_capacity",
        title="At its capacity a worker fetches items without session only, not those of its sessions",
        where="worker",
        caught_by="24.1",
        rows=("24.1", "24.10"),
        scenario="at_capacity_switches_to_owned_only",
        needs="a worker at its capacity",
        planted=_plain_fetch_at_capacity,
    ),
    Defect(
        name="zero_sessions_is_no_limit",
        title="A limit of zero sessions is taken for no limit",
        where="worker",
        caught_by="24.8",
        rows=("24.8",),
        scenario="zero_capacity_means_none",
        needs="a worker that may have no sessions",
        planted=_zero_is_no_limit,
    ),
    Defect(
        name="unanswered_calls_do_not_count",
        title="A session given up frees its unit D after the last call that was answered",
        where="lease manager",
        caught_by="24.13",
        rows=("24.13",),
        scenario="unconfirmed_give_up_keeps_unit",
        needs="a fault: a renewal whose answer is lost, and then a release that fails",
        planted=_answered_calls_only,
    ),
    Defect(
        name="sessions_assumed",
        title="The worker fetches session items whether or not the provider has sessions",
        where="worker",
        caught_by="24.9",
        rows=("24.9",),
        scenario="provider_without_sessions_plain_fetch",
        needs="a provider without sessions",
        planted=_sessions_assumed,
    ),
    Defect(
        name="given_back_and_kept",
        title="An item for whose session there is no unit is given back, and the session not released",
        where="worker",
        caught_by="24.15",
        rows=("24.15",),
        scenario="item_without_free_unit_is_given_back",
        needs="a fault: a lost answer of a claim",
        planted=_kept_and_given_back,
    ),
    Defect(
        name="runs_without_a_unit",
        title="An item for whose session there is no unit is run all the same",
        where="worker",
        caught_by="INV-28",
        rows=("24.15",),
        scenario="item_without_free_unit_is_given_back",
        needs="a fault: a lost answer of a claim",
        planted=_runs_without_a_unit,
    ),
)
