"""Defects of providers, each in the memory and in the SQLite provider."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, Final

from holdfast.core.contract.ids import LockToken, Millis
from holdfast.core.contract.observe import Observer
from holdfast.core.contract.provider import TERMINAL_STATUSES
from holdfast.core.contract.work_items import ActivityExecute
from holdfast.properties.defects.defect import Change, Defect, Planting, original, replaced, statement
from holdfast.providers.arguments import Conclusions
from holdfast.providers.memory import acknowledgement as memory_acknowledgement
from holdfast.providers.memory import affinity as memory_affinity
from holdfast.providers.memory import turns as memory_turns
from holdfast.providers.memory import work as memory_work
from holdfast.providers.memory.affinity import Claimant
from holdfast.providers.memory.tables import InstanceLock, Tables, WorkRow
from holdfast.providers.memory.work import WorkQuery
from holdfast.providers.sqlite import acknowledgement as sqlite_acknowledgement
from holdfast.providers.sqlite import turns as sqlite_turns
from holdfast.providers.sqlite import work as sqlite_work
from holdfast.providers.sqlite.database import Transaction


def _items_without_session() -> Planting:
    """The column stays empty; the encoded item still names its session."""
    enqueue = original(memory_acknowledgement, "_enqueue")
    unbound = statement(sqlite_work, "enqueue_work", ":session", "NULL")

    def enqueue_unbound(tables: Tables, now: Millis, instance: str, turn: Conclusions) -> None:
        before = set(tables.work.by_seq)
        enqueue(tables, now, instance, turn)
        for seq, row in tables.work.by_seq.items():
            if seq not in before:
                row.session_id = None

    def put_unbound(transaction: Transaction, items: Sequence[ActivityExecute]) -> None:
        with replaced(unbound):
            sqlite_work.put(transaction, items)

    return replaced(
        Change(memory_acknowledgement, "_enqueue", enqueue_unbound),
        Change(sqlite_acknowledgement, "work", SimpleNamespace(put=put_unbound)),
    )


def _claims_of_taken_sessions() -> Planting:
    """Whoever claims gets the session, also one that is live in another's name."""
    is_open_to, attach = original(memory_affinity, "is_open_to"), original(memory_affinity, "attach")

    def open_to_claims(
        tables: Tables, now: Millis, instance: str, session_id: str, claimant: Claimant
    ) -> bool:
        return claimant.claim_new or bool(is_open_to(tables, now, instance, session_id, claimant))

    def take(
        tables: Tables,
        now: Millis,
        instance: str,
        session_id: str,
        claimant: Claimant,
        observer: Observer | None,
    ) -> None:
        row = tables.session(instance, session_id)
        if row is not None and row.worker_id != claimant.worker_id:
            row.worker_id = row.locked_until = None
        attach(tables, now, instance, session_id, claimant, observer)

    return replaced(
        Change(memory_affinity, "is_open_to", open_to_claims),
        Change(memory_affinity, "attach", take),
        statement(
            sqlite_work, "take_work", "THEN s.worker_id = :worker", "THEN s.worker_id = :worker OR :claim_new"
        ),
    )


def _lapsed_sessions_stay_taken() -> Planting:
    """An expiry that has passed does not free a session; only a release does."""
    is_open_to = original(memory_affinity, "is_open_to")

    def open_if_released(
        tables: Tables, now: Millis, instance: str, session_id: str, claimant: Claimant
    ) -> bool:
        row = tables.session(instance, session_id)
        if row is not None and row.worker_id is not None:
            return row.worker_id == claimant.worker_id
        return bool(is_open_to(tables, now, instance, session_id, claimant))

    return replaced(
        Change(memory_affinity, "is_open_to", open_if_released),
        statement(sqlite_work, "take_work", "WHEN s.locked_until > :now", "WHEN s.worker_id IS NOT NULL"),
    )


def _rows_left_at_the_end() -> Planting:
    """A session that is attached when its orchestration ends is left to lapse."""
    close_all = original(memory_affinity, "close_all")

    def close_unattached(tables: Tables, instance: str) -> None:
        attached = {
            name: row for name, row in tables.sessions.get(instance, {}).items() if row.worker_id is not None
        }
        close_all(tables, instance)
        if attached:
            tables.sessions[instance] = attached

    return replaced(
        Change(memory_affinity, "close_all", close_unattached),
        statement(
            sqlite_acknowledgement,
            "close_all_sessions",
            "instance_id = :instance",
            "instance_id = :instance AND worker_id IS NULL",
        ),
    )


def _continue_as_new_closes_sessions() -> Planting:
    """Continuing as new counts as an end, and takes the sessions along."""
    ends = frozenset((*TERMINAL_STATUSES, "ContinuedAsNew"))
    return replaced(
        Change(memory_acknowledgement, "TERMINAL_STATUSES", ends),
        Change(sqlite_acknowledgement, "TERMINAL_STATUSES", ends),
    )


def _every_attempt_is_charged() -> Planting:
    """`ignore_attempt` of an abandoned item is not looked at."""
    in_memory, in_sqlite = original(memory_work, "abandon"), original(sqlite_work, "abandon")

    def abandon_in_memory(
        tables: Tables, now: Millis, token: LockToken, delay: Millis, ignore_attempt: bool
    ) -> None:
        in_memory(tables, now, token, delay, False)

    def abandon_in_sqlite(
        transaction: Transaction, token: LockToken, delay: Millis, ignore_attempt: bool
    ) -> None:
        in_sqlite(transaction, token, delay, False)

    return replaced(
        Change(memory_work, "abandon", abandon_in_memory), Change(sqlite_work, "abandon", abandon_in_sqlite)
    )


def _held_items_are_delivered() -> Planting:
    """A fetch looks at the visible time of an item and not at its lock."""
    is_eligible = original(memory_work, "_is_eligible")

    def eligible_though_held(tables: Tables, now: Millis, query: WorkQuery, row: WorkRow) -> bool:
        until, row.locked_until = row.locked_until, 0
        try:
            return bool(is_eligible(tables, now, query, row))
        finally:
            row.locked_until = until

    return replaced(
        Change(memory_work, "_is_eligible", eligible_though_held),
        statement(sqlite_work, "take_work", "AND (w.locked_until IS NULL OR w.locked_until <= :now)", ""),
    )


def _item_renewal_forgets_the_session() -> Planting:
    """The renewal of an item lock extends the item alone."""
    in_memory, in_sqlite = original(memory_work, "renew"), original(sqlite_work, "renew")

    def renew_in_memory(
        tables: Tables, now: Millis, token: LockToken, extend_for: Millis, extend_session_for: Millis
    ) -> None:
        in_memory(tables, now, token, extend_for, Millis(0))

    def renew_in_sqlite(
        transaction: Transaction, token: LockToken, extend_for: Millis, extend_session_for: Millis
    ) -> None:
        in_sqlite(transaction, token, extend_for, Millis(0))

    return replaced(
        Change(memory_work, "renew", renew_in_memory), Change(sqlite_work, "renew", renew_in_sqlite)
    )


def _late_turns_are_stored() -> Planting:
    """An acknowledgement is accepted as long as its token is the last one, expired or not."""
    lock_of = original(sqlite_turns, "_lock")

    def last_lock(tables: Tables, operation: str, token: LockToken, now: int) -> InstanceLock:
        return memory_turns.current_lock(tables, operation, token)

    def last_instance(transaction: Transaction, token: LockToken) -> Any:
        return lock_of(transaction, token)[0]

    return replaced(
        Change(memory_acknowledgement, "held_lock", last_lock),
        Change(sqlite_acknowledgement, "held_instance", last_instance),
    )


DEFECTS: Final = (
    Defect(
        name="items_without_session",
        title="The acknowledgement of a turn enqueues worker items without their session id",
        where="provider",
        caught_by="INV-03",
        rows=("2.1", "2.3", "3.5", "12.1", "12.3", "13.4", "14.13", "31.4"),
        scenario="session_activity_routes_to_same_worker",
        needs="nothing",
        planted=_items_without_session,
    ),
    Defect(
        name="claims_of_taken_sessions",
        title="A session claim does not check that it won: it takes a live session from its owner",
        where="provider",
        caught_by="INV-01",
        rows=(
            "3.1",
            "3.2",
            "4.2",
            "5.3",
            "5.4",
            "7.1",
            "12.3",
            "14.4",
            "15.1",
            "15.5",
            "20.4",
            "29.5",
            "30.11",
        ),
        scenario="session_exclusively_owned",
        needs="two workers",
        planted=_claims_of_taken_sessions,
    ),
    Defect(
        name="lapsed_sessions_stay_taken",
        title="A fetch takes a session that names a worker for taken, without a look at its expiry",
        where="provider",
        caught_by="INV-06",
        rows=("5.1", "14.5", "21.14"),
        scenario="crash_then_reclaim",
        needs="two workers and a crash of the owner",
        planted=_lapsed_sessions_stay_taken,
    ),
    Defect(
        name="rows_left_at_the_end",
        title="The end of an orchestration leaves its attached sessions to lapse by themselves",
        where="provider",
        caught_by="INV-13",
        rows=("11.1", "11.2", "11.3", "11.4", "28.1", "28.2", "28.3", "28.5"),
        scenario="completed_orchestration_closes_all_sessions",
        needs="nothing",
        planted=_rows_left_at_the_end,
    ),
    Defect(
        name="continue_as_new_closes_sessions",
        title="Continuing as new is taken for an end and closes the sessions that are carried over",
        where="provider",
        caught_by="INV-32",
        rows=("10.1", "10.4", "10.6", "27.3", "28.10"),
        scenario="session_survives_continue_as_new",
        needs="nothing",
        planted=_continue_as_new_closes_sessions,
    ),
    Defect(
        name="every_attempt_is_charged",
        title="An item given back without fault of its own is charged the attempt all the same",
        where="provider",
        caught_by="INV-09",
        rows=("6.2", "25.9"),
        scenario="graceful_shutdown_inflight_activities_cancelled",
        needs="two workers, one of them shut down",
        planted=_every_attempt_is_charged,
    ),
    Defect(
        name="held_items_are_delivered",
        title="A fetch looks at when an item becomes visible and forgets its lock",
        where="provider",
        caught_by="INV-08",
        rows=("5.3", "15.1", "19.3"),
        scenario="session_activity_routes_to_same_worker",
        needs="two fetches at once",
        planted=_held_items_are_delivered,
    ),
    Defect(
        name="item_renewal_forgets_the_session",
        title="The renewal of an item lock does not extend the session that is to go with it",
        where="provider",
        caught_by="INV-21",
        rows=("4.1", "14.14", "15.6", "31.5"),
        scenario="session_lock_renewed_during_activity",
        needs="nothing",
        planted=_item_renewal_forgets_the_session,
    ),
    Defect(
        name="late_turns_are_stored",
        title="A turn is stored although the lock of its instance has run out",
        where="provider",
        caught_by="INV-37",
        rows=("23.12",),
        scenario="worker_stalls_alone",
        needs="a fault: the worker stalls",
        planted=_late_turns_are_stored,
    ),
)
