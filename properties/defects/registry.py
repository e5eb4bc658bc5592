"""Defects of the lease registry: of what joins a lease, and of what activities of one lease share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from holdfast.core.contract.ids import LockToken, Micros, Millis
from holdfast.core.contract.observe import StopOutcome
from holdfast.core.contract.provider import ScheduledSessionIdentifier
from holdfast.core.working.activity_run import ActivityRunner
from holdfast.core.working.attempt import Attempt
from holdfast.core.working.handler import Handler
from holdfast.core.working.lease_records import FetchUnderWay, Lease, SessionArrival
from holdfast.core.working.lease_table import LeaseTable
from holdfast.core.working.worker import Worker
from holdfast.properties.defects.defect import Change, Defect, Planting, original, replaced, statement
from holdfast.properties.defects.replacements import lease_table
from holdfast.providers.memory import work as memory_work
from holdfast.providers.memory.tables import Tables, WorkRow
from holdfast.providers.sqlite import work as sqlite_work


class _NewestAlone(LeaseTable):
    """A lease knows of one activity: one that arrives takes the place of the one before."""

    def delivered(
        self, fetch: FetchUnderWay, key: ScheduledSessionIdentifier, token: LockToken, now: Micros
    ) -> tuple[SessionArrival, Lease | None]:
        delivery, lease = super().delivered(fetch, key, token, now)
        if lease is not None:
            lease.attempts = {token: None}
        return delivery, lease

    def finished(self, lease: Lease, token: LockToken, now: Micros) -> None:
        if lease.ended or token in lease.attempts:
            super().finished(lease, token, now)


def _one_at_a_time() -> Planting:
    """An item waits while another item of its session is locked."""
    is_eligible = original(memory_work, "_is_eligible")

    def is_next(tables: Tables, now: Millis, query: memory_work.WorkQuery, row: WorkRow) -> bool:
        if not is_eligible(tables, now, query, row):
            return False
        key = row.identity.instance, row.session_id
        return row.session_id is None or not any(
            (other.identity.instance, other.session_id) == key and other.locked_until > now
            for other in tables.work.by_seq.values()
        )

    return replaced(
        Change(memory_work, "_is_eligible", is_next),
        statement(
            sqlite_work,
            "take_work",
            "ORDER BY w.id",
            "AND NOT EXISTS (SELECT 1 FROM worker_queue AS o WHERE o.instance_id = w.instance_id"
            " AND o.session_id = w.session_id AND o.locked_until > :now) ORDER BY w.id",
        ),
    )


def _joins_no_lease(stays_out: Callable[[ActivityRunner, Attempt], bool]) -> Planting:
    """Items for which there will be no handler are disposed of before leases are thought of."""
    dispose = original(Worker, "_dispose")

    async def dispose_at_once(self: Worker, fetch: FetchUnderWay | None, attempt: Attempt) -> None:
        if fetch is not None and attempt.session is not None and stays_out(self._runner, attempt):
            self._keeper.fetch_ended(fetch)
            await self._runner.run(attempt)
            return
        await dispose(self, fetch, attempt)

    return replaced(Change(Worker, "_dispose", dispose_at_once))


def _failure_stops_the_others() -> Planting:
    """An exception of one activity of a session tells the others of it to stop."""
    dispose = original(ActivityRunner, "_dispose")

    async def dispose_and_stop(
        self: ActivityRunner, attempt: Attempt, handler: Handler, outcome: StopOutcome, duration: Micros
    ) -> None:
        if handler.done and handler.error is not None and attempt.session is not None:
            for other in tuple(self._running):
                if other is not attempt and other.session == attempt.session:
                    other.signal("session_lost", self._clock.monotonic_us())
        await dispose(self, attempt, handler, outcome, duration)

    return replaced(Change(ActivityRunner, "_dispose", dispose_and_stop))


def _failure_ends_the_lease() -> Planting:
    """A session in which an activity failed is given up once nothing of it runs."""
    finished = original(LeaseTable, "finished")
    dispose = original(ActivityRunner, "_dispose")
    failed: dict[LockToken, None] = {}

    async def dispose_and_note(
        self: ActivityRunner, attempt: Attempt, handler: Handler, outcome: StopOutcome, duration: Micros
    ) -> None:
        if outcome == "failed":
            failed[attempt.token] = None
        await dispose(self, attempt, handler, outcome, duration)

    def finish(self: LeaseTable, lease: Lease, token: LockToken, now: Micros) -> None:
        finished(self, lease, token, now)
        if failed.pop(token, token) is None and not lease.ended:
            lease.deadline = now

    return replaced(
        Change(ActivityRunner, "_dispose", dispose_and_note), Change(LeaseTable, "finished", finish)
    )


DEFECTS: Final = (
    Defect(
        name="lease_of_the_newest",
        title="A lease counts the newest activity of its session only",
        where="lease manager",
        caught_by="20.9",
        rows=("20.9",),
        scenario="one_lease_many_activities",
        needs="several activities of a session at once",
        planted=lambda: lease_table(_NewestAlone),
    ),
    Defect(
        name="one_item_at_a_time",
        title="An item of a session is not delivered while another one of it is being worked on",
        where="provider",
        caught_by="INV-06",
        rows=("20.9", "20.10"),
        scenario="slots_of_one_worker_share_session",
        needs="two activities of a session at once",
        planted=_one_at_a_time,
    ),
    Defect(
        name="failure_stops_the_others",
        title="An exception of one activity signals the other activities of its session",
        where="worker",
        caught_by="INV-24",
        rows=("20.12",),
        scenario="handler_exception_keeps_lease",
        needs="an activity that fails beside another one",
        planted=_failure_stops_the_others,
    ),
    Defect(
        name="failure_ends_the_lease",
        title="A session is given up after an activity that failed",
        where="worker",
        caught_by="INV-24",
        rows=("20.12",),
        scenario="handler_exception_keeps_lease",
        needs="an activity that fails",
        planted=_failure_ends_the_lease,
    ),
    Defect(
        name="poison_joins_no_lease",
        title="A poisoned item of a session is failed before its session is noted as held",
        where="worker",
        caught_by="INV-28",
        rows=("20.11",),
        scenario="poison_and_unregistered_items_join_lease",
        needs="a poisoned item",
        planted=lambda: _joins_no_lease(lambda runner, attempt: attempt.attempt_count > runner._max_attempts),
    ),
    Defect(
        name="unregistered_joins_no_lease",
        title="An item without handler here is given back before its session is noted as held",
        where="worker",
        caught_by="20.11",
        rows=("20.11",),
        scenario="poison_and_unregistered_items_join_lease",
        needs="an activity that is not registered",
        planted=lambda: _joins_no_lease(lambda runner, attempt: runner._lookup(attempt.item.name) is None),
    ),
)
