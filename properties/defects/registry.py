"""Defects of the lease registry: of what joins a lease, and of what activities of one lease share."""

from __future__ import annotations

from collections.abc import Callable

from holdfast.core.contract.ids import LockToken, Micros, Millis
from holdfast.core.contract.provider import ScheduledSessionIdentifier
from holdfast.core.working.activity_run import ActivityRunner
from holdfast.core.working.attempt import Attempt
from holdfast.core.working.handler import Handler
from holdfast.core.working.lease_records import FetchUnderWay, Lease, SessionArrival
from holdfast.core.working.lease_table import LeaseTable
from holdfast.core.working.worker import Worker
from holdfast.properties.defects.defect import Change, Changes, Original, around, defect, statements
from holdfast.providers.memory import work as memory_work
from holdfast.providers.memory.tables import Tables, WorkRow
from holdfast.providers.sqlite import work as sqlite_work


@defect("lease manager", "20.9", "one_lease_many_activities", needs="several activities of a session at once")
class LeaseOfTheNewest(LeaseTable):
    """A lease counts the newest activity of its session only."""

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


@defect(
    "provider",
    "20.9 20.10",
    "slots_of_one_worker_share_session",
    caught_by="INV-06",
    needs="two activities of a session at once",
)
def one_item_at_a_time() -> Changes:
    """An item of a session is not delivered while another one of it is being worked on."""

    def is_next(is_eligible: Original, tables: Tables, now: Millis, query: object, row: WorkRow) -> bool:
        if not is_eligible(tables, now, query, row):
            return False
        key = row.identity.instance, row.session_id
        return row.session_id is None or not any(
            (other.identity.instance, other.session_id) == key and other.locked_until > now
            for other in tables.work.by_seq.values()
        )

    yield around(memory_work, "_is_eligible", is_next)
    yield statements(
        sqlite_work,
        (
            "take_work",
            "ORDER BY w.id",
            "AND NOT EXISTS (SELECT 1 FROM worker_queue AS o WHERE o.instance_id = w.instance_id"
            " AND o.session_id = w.session_id AND o.locked_until > :now) ORDER BY w.id",
        ),
    )


def _joins_no_lease(stays_out: Callable[[ActivityRunner, Attempt], bool]) -> Change:
    """Items for which there will be no handler are disposed of before leases are considered."""

    async def dispose_at_once(
        dispose: Original, worker: Worker, fetch: FetchUnderWay | None, attempt: Attempt
    ) -> None:
        if fetch is not None and attempt.session is not None and stays_out(worker._runner, attempt):
            worker._keeper.fetch_ended(fetch)
            await worker._runner.run(attempt)
            return
        await dispose(worker, fetch, attempt)

    return around(Worker, "_dispose", dispose_at_once)


@defect(
    "worker", "20.11", "poison_and_unregistered_items_join_lease", caught_by="INV-28", needs="a poisoned item"
)
def poison_joins_no_lease() -> Changes:
    """A poisoned item of a session is failed before its session is noted as held."""
    yield _joins_no_lease(lambda runner, attempt: attempt.attempt_count > runner._max_attempts)


@defect(
    "worker", "20.11", "poison_and_unregistered_items_join_lease", needs="an activity that is not registered"
)
def unregistered_joins_no_lease() -> Changes:
    """An item without handler here is given back before its session is noted as held."""
    yield _joins_no_lease(lambda runner, attempt: runner._lookup(attempt.item.name) is None)


@defect(
    "worker",
    "20.12",
    "handler_exception_keeps_lease",
    caught_by="INV-24",
    needs="an activity that fails beside another one",
)
def failure_stops_the_others() -> Changes:
    """An exception of one activity signals the other activities of its session."""

    async def dispose_and_stop(
        dispose: Original, runner: ActivityRunner, attempt: Attempt, handler: Handler, *outcome: object
    ) -> None:
        if handler.done and handler.error is not None and attempt.session is not None:
            for other in tuple(runner._running):
                if other is not attempt and other.session == attempt.session:
                    other.signal("session_lost", runner._clock.monotonic_us())
        await dispose(runner, attempt, handler, *outcome)

    yield around(ActivityRunner, "_dispose", dispose_and_stop)


@defect(
    "worker", "20.12", "handler_exception_keeps_lease", caught_by="INV-24", needs="an activity that fails"
)
def failure_ends_the_lease() -> Changes:
    """A session is given up after an activity that failed."""
    failed: dict[LockToken, None] = {}

    async def dispose_and_note(
        dispose: Original,
        runner: ActivityRunner,
        attempt: Attempt,
        handler: Handler,
        outcome: str,
        duration: object,
    ) -> None:
        if outcome == "failed":
            failed[attempt.token] = None
        await dispose(runner, attempt, handler, outcome, duration)

    def finish(finished: Original, table: LeaseTable, lease: Lease, token: LockToken, now: Micros) -> None:
        finished(table, lease, token, now)
        if failed.pop(token, token) is None and not lease.ended:
            lease.deadline = now

    yield around(ActivityRunner, "_dispose", dispose_and_note)
    yield around(LeaseTable, "finished", finish)
