"""Defects of providers, each in the memory and in the SQLite provider."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

from holdfast.core.contract.ids import LockToken, Millis
from holdfast.core.contract.provider import TERMINAL_STATUSES
from holdfast.core.contract.work_items import ActivityExecute
from holdfast.properties.defects.defect import (
    Change,
    Changes,
    Original,
    around,
    defect,
    original,
    replaced,
    statements,
)
from holdfast.providers.memory import acknowledgement as memory_acknowledgement
from holdfast.providers.memory import affinity as memory_affinity
from holdfast.providers.memory import turns as memory_turns
from holdfast.providers.memory import work as memory_work
from holdfast.providers.memory.affinity import Claimant
from holdfast.providers.memory.tables import InstanceLock, Tables, WorkRow
from holdfast.providers.sqlite import acknowledgement as sqlite_acknowledgement
from holdfast.providers.sqlite import turns as sqlite_turns
from holdfast.providers.sqlite import work as sqlite_work
from holdfast.providers.sqlite.database import Transaction


@defect(
    "provider",
    "2.1 2.3 3.5 12.1 12.3 13.4 14.13 31.4",
    "session_activity_routes_to_same_worker",
    caught_by="INV-03",
)
def items_without_session() -> Changes:
    """The acknowledgement of a turn enqueues worker items without their session id.

    Only the column stays empty: the encoded item still names its session.
    """
    unbound = statements(sqlite_work, ("enqueue_work", ":session", "NULL"))

    def enqueue_unbound(enqueue: Original, tables: Tables, *given: object) -> None:
        before = set(tables.work.by_seq)
        enqueue(tables, *given)
        for seq, row in tables.work.by_seq.items():
            if seq not in before:
                row.session_id = None

    def put_unbound(transaction: Transaction, items: Sequence[ActivityExecute]) -> None:
        with replaced(unbound):
            sqlite_work.put(transaction, items)

    yield around(memory_acknowledgement, "_enqueue", enqueue_unbound)
    yield Change(sqlite_acknowledgement, "work", SimpleNamespace(put=put_unbound))


@defect(
    "provider",
    "3.1 3.2 4.2 5.3 5.4 7.1 12.3 14.4 15.1 15.5 20.4 29.5 30.11",
    "session_exclusively_owned",
    caught_by="INV-01",
    needs="two workers",
)
def claims_of_taken_sessions() -> Changes:
    """A session claim does not check that it won: it takes a live session from its owner."""

    def open_to_claims(
        is_open_to: Original, tables: Tables, now: Millis, instance: str, session_id: str, claimant: Claimant
    ) -> object:
        return claimant.claim_new or is_open_to(tables, now, instance, session_id, claimant)

    def take(
        attach: Original,
        tables: Tables,
        now: Millis,
        instance: str,
        session_id: str,
        claimant: Claimant,
        observer: object,
    ) -> None:
        row = tables.session(instance, session_id)
        if row is not None and row.worker_id != claimant.worker_id:
            row.worker_id = row.locked_until = None
        attach(tables, now, instance, session_id, claimant, observer)

    yield around(memory_affinity, "is_open_to", open_to_claims)
    yield around(memory_affinity, "attach", take)
    yield statements(
        sqlite_work, ("take_work", "THEN s.worker_id = :worker", "THEN s.worker_id = :worker OR :claim_new")
    )


@defect(
    "provider",
    "5.1 14.5 21.14",
    "crash_then_reclaim",
    caught_by="INV-06",
    needs="two workers and a crash of the owner",
)
def lapsed_sessions_stay_taken() -> Changes:
    """A fetch takes a session that names a worker for taken, without a look at its expiry."""

    def open_if_released(
        is_open_to: Original, tables: Tables, now: Millis, instance: str, session_id: str, claimant: Claimant
    ) -> object:
        row = tables.session(instance, session_id)
        if row is not None and row.worker_id is not None:
            return row.worker_id == claimant.worker_id
        return is_open_to(tables, now, instance, session_id, claimant)

    yield around(memory_affinity, "is_open_to", open_if_released)
    yield statements(sqlite_work, ("take_work", "WHEN s.locked_until > :now", "WHEN s.worker_id IS NOT NULL"))


@defect(
    "provider",
    "11.1 11.2 11.3 11.4 28.1 28.2 28.3 28.5",
    "completed_orchestration_closes_all_sessions",
    caught_by="INV-13",
)
def rows_left_at_the_end() -> Changes:
    """The end of an orchestration leaves its attached sessions to lapse by themselves."""

    def close_unattached(close_all: Original, tables: Tables, instance: str) -> None:
        rows = tables.sessions.get(instance, {})
        attached = {name: row for name, row in rows.items() if row.worker_id is not None}
        close_all(tables, instance)
        if attached:
            tables.sessions[instance] = attached

    yield around(memory_affinity, "close_all", close_unattached)
    yield statements(
        sqlite_acknowledgement,
        ("close_all_sessions", "instance_id = :instance", "instance_id = :instance AND worker_id IS NULL"),
    )


@defect("provider", "10.1 10.4 10.6 27.3 28.10", "session_survives_continue_as_new", caught_by="INV-32")
def continue_as_new_closes_sessions() -> Changes:
    """Continuing as new is taken for an end and closes the sessions that are carried over."""
    ends = frozenset((*TERMINAL_STATUSES, "ContinuedAsNew"))
    yield Change(memory_acknowledgement, "TERMINAL_STATUSES", ends)
    yield Change(sqlite_acknowledgement, "TERMINAL_STATUSES", ends)


@defect(
    "provider",
    "6.2 25.9",
    "graceful_shutdown_inflight_activities_cancelled",
    caught_by="INV-09",
    needs="two workers, one of them shut down",
)
def every_attempt_is_charged() -> Changes:
    """An item given back without fault of its own is charged the attempt all the same."""

    def abandon(before: Original, *given: object) -> None:
        *others, _ignore_attempt = given
        before(*others, False)

    yield around(memory_work, "abandon", abandon)
    yield around(sqlite_work, "abandon", abandon)


@defect(
    "provider",
    "5.3 15.1 19.3",
    "session_activity_routes_to_same_worker",
    caught_by="INV-08",
    needs="two fetches at once",
)
def held_items_are_delivered() -> Changes:
    """A fetch looks at when an item becomes visible and forgets its lock."""

    def eligible_though_held(
        is_eligible: Original, tables: Tables, now: Millis, query: object, row: WorkRow
    ) -> object:
        until, row.locked_until = row.locked_until, 0
        try:
            return is_eligible(tables, now, query, row)
        finally:
            row.locked_until = until

    yield around(memory_work, "_is_eligible", eligible_though_held)
    yield statements(sqlite_work, ("take_work", "AND (w.locked_until IS NULL OR w.locked_until <= :now)", ""))


@defect("provider", "4.1 14.14 15.6 31.5", "session_lock_renewed_during_activity", caught_by="INV-21")
def item_renewal_forgets_the_session() -> Changes:
    """The renewal of an item lock does not extend the session that is to go with it."""

    def renew(before: Original, *given: object) -> None:
        *others, _session = given
        before(*others, Millis(0))

    yield around(memory_work, "renew", renew)
    yield around(sqlite_work, "renew", renew)


@defect("provider", "23.12", "worker_stalls_alone", caught_by="INV-37", needs="a fault: the worker stalls")
def late_turns_are_stored() -> Changes:
    """A turn is stored although the lock of its instance has run out."""
    lock_of = original(sqlite_turns, "_lock")

    def last_lock(tables: Tables, operation: str, token: LockToken, now: int) -> InstanceLock:
        return memory_turns.current_lock(tables, operation, token)

    def last_instance(transaction: Transaction, token: LockToken) -> object:
        return lock_of(transaction, token)[0]

    yield Change(memory_acknowledgement, "held_lock", last_lock)
    yield Change(sqlite_acknowledgement, "held_instance", last_instance)
