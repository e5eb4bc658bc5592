"""Defects of capacity: of the units that sessions take, and of what a worker does that has none free."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Final

from holdfast.core import lease_keeper
from holdfast.core.attempt import Attempt
from holdfast.core.ids import LockToken, Micros
from holdfast.core.lease import Answer, Calls, Delivery, EndCause, Ended, Fetch, Kept, Lease
from holdfast.core.lease_keeper import LeaseKeeper
from holdfast.core.leases import LeaseTable
from holdfast.core.provider import ScheduledSessionIdentifier
from holdfast.core.runtime import Runtime
from holdfast.core.worker import Worker
from holdfast.properties.defects.defect import Change, Defect, original, replaced

Planting = AbstractContextManager[None]


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
        self, fetch: Fetch, key: ScheduledSessionIdentifier, token: LockToken, now: Micros
    ) -> tuple[Delivery, Lease | None]:
        delivery, lease = super().delivered(fetch, key, token, now)
        self._leaked += delivery == "joined" and fetch.reserved
        return delivery, lease


class _FailedFetchesEndLeases(LeaseTable):
    """A fetch that fails shows that the store is out of reach: the sessions are taken for lost."""

    def fetch_ended(self, fetch: Fetch, now: Micros, *, answer_lost: bool = False) -> None:
        super().fetch_ended(fetch, now, answer_lost=answer_lost)
        if answer_lost:
            for lease in self._all():
                lease.deadline = now


def _table(kind: type[LeaseTable]) -> Planting:
    return replaced(Change(lease_keeper, "LeaseTable", kind))


def _answered_calls_only() -> Planting:
    """A call without an answer is not thought to have extended the row."""
    ended = original(Calls, "ended")

    def end(self: Calls, now: Micros, answer: Answer) -> None:
        ended(self, now, "refused" if answer == "unknown" else answer)

    return replaced(Change(Calls, "ended", end))


def _sessions_assumed() -> Planting:
    """Whether the provider supports sessions is not asked."""
    make = original(Runtime, "_make_worker")

    def make_with_sessions(self: Runtime) -> Worker:
        worker: Worker = make(self)
        worker._uses_sessions = self.options.max_sessions_per_worker > 0
        return worker

    return replaced(Change(Runtime, "_make_worker", make_with_sessions))


def _kept_and_given_back() -> Planting:
    """The item for which there is no unit is given back, and its session kept."""

    async def give_back(self: LeaseKeeper, key: ScheduledSessionIdentifier) -> bool:
        return False

    return replaced(Change(LeaseKeeper, "give_back", give_back))


def _runs_without_a_unit() -> Planting:
    """The item for which there is no unit is run like any other."""

    async def run(self: Worker, slot: object, attempt: Attempt, key: ScheduledSessionIdentifier) -> None:
        try:
            await self._runner.run(attempt)
        finally:
            self._keeper.given_back(key)

    return replaced(Change(Worker, "_give_back", run))


def _of_table(
    name: str,
    title: str,
    kind: type[LeaseTable],
    caught_by: str,
    rows: tuple[str, ...],
    scenario: str,
    needs: str,
) -> Defect:
    return Defect(
        name=name,
        title=title,
        where="lease manager",
        caught_by=caught_by,
        rows=rows,
        scenario=scenario,
        needs=needs,
        planted=lambda: _table(kind),
    )


DEFECTS: Final = (
    _of_table(
        "answers_out_are_forgotten",
        "A fetch for owned sessions alone waits on while the answer comes that frees a unit",
        _ForgetsWhatIsOut,
        "24.7",
        ("24.7",),
        "capacity_freed_by_each_ending",
        "a fetch begun while a renewal is out",
    ),
    _of_table(
        "losses_keep_the_unit",
        "A session that the provider said is lost keeps its unit for D",
        _LossesKeepTheUnit,
        "24.7",
        ("24.7", "24.14"),
        "capacity_freed_by_each_ending",
        "a session that is closed, and another that waits",
    ),
    _of_table(
        "releases_keep_the_unit",
        "A session that was released keeps its unit for D",
        _ReleasesKeepTheUnit,
        "24.7",
        ("24.7", "24.13", "24.14"),
        "capacity_freed_by_each_ending",
        "an idle session, and another that waits",
    ),
    _of_table(
        "failed_releases_free_the_unit",
        "A session whose release failed frees its unit at once",
        _FailedReleasesFreeTheUnit,
        "INV-27",
        ("24.13",),
        "unconfirmed_give_up_keeps_unit",
        "a fault: a release that fails",
    ),
    _of_table(
        "joins_keep_the_reservation",
        "A claiming fetch that brings an item of a session held already does not return its unit",
        _JoinsKeepTheReservation,
        "24.14",
        ("24.5", "24.14"),
        "freed_unit_usable_by_every_slot",
        "two fetches that get items of one session",
    ),
    _of_table(
        "failed_fetches_end_leases",
        "A fetch that fails is taken for the loss of all sessions",
        _FailedFetchesEndLeases,
        "INV-24",
        ("24.11",),
        "fetch_errors_leave_leases_alone",
        "a fault: a refused fetch",
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
