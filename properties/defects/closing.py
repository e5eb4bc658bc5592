"""Defects of providers in what an acknowledgement or a deletion does to sessions, in memory and in SQLite."""

from __future__ import annotations

from dataclasses import replace

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import LockToken, Millis
from holdfast.core.contract.provider import TERMINAL_STATUSES, ExecutionMetadata
from holdfast.properties.defects.defect import Change, Changes, Original, around, defect, original, statements
from holdfast.providers.arguments import Conclusions
from holdfast.providers.memory import acknowledgement as memory_acknowledgement
from holdfast.providers.memory import affinity as memory_affinity
from holdfast.providers.memory import deletion as memory_deletion
from holdfast.providers.memory import turns as memory_turns
from holdfast.providers.memory.tables import SessionRow, Tables, WorkRow, WorkTable
from holdfast.providers.sqlite import acknowledgement as sqlite_acknowledgement
from holdfast.providers.sqlite import deletion as sqlite_deletion
from holdfast.providers.sqlite import turns as sqlite_turns
from holdfast.providers.sqlite.database import Transaction


@defect(
    "provider",
    "23.1 30.12",
    "cancelled_sessions_atomic_with_ack",
    needs="a fault: the store fails in the middle of the acknowledgement",
)
def sessions_are_settled_first() -> Changes:
    """What an acknowledgement does to sessions is committed separately, before the rest of it."""

    def in_memory(
        write: Original, tables: Tables, now: Millis, instance: str, conclusions: Conclusions
    ) -> None:
        memory_acknowledgement._settle_sessions(tables, instance, conclusions.metadata)
        tables.journal._steps.clear()
        write(tables, now, instance, conclusions)

    def in_sqlite(
        put: Original, transaction: Transaction, instance: str, execution_id: int, metadata: ExecutionMetadata
    ) -> None:
        sqlite_acknowledgement._close_and_open_sessions(transaction, instance, metadata)
        transaction.execute("COMMIT")
        transaction.execute("BEGIN IMMEDIATE")
        put(transaction, instance, execution_id, metadata)

    yield around(memory_acknowledgement, "_write_records", in_memory)
    yield around(sqlite_acknowledgement, "_put_records", in_sqlite)


@defect(
    "provider",
    "14.11 14.12 15.7 23.2 23.3 23.11 28.5 28.10",
    "open_and_first_item_visible_together",
    caught_by="23.2",
)
def first_fetch_makes_the_row() -> Changes:
    """The provider leaves it to the first claim to make the row of a session that was opened."""

    def open_later(settle: Original, tables: Tables, instance: str, metadata: ExecutionMetadata) -> None:
        settle(tables, instance, replace(metadata, opened_sessions=()))

    yield around(memory_acknowledgement, "_settle_sessions", open_later)
    yield statements(
        sqlite_acknowledgement,
        ("open_session", "VALUES (:instance, :session)", "SELECT :instance, :session WHERE 0"),
    )


@defect(
    "provider",
    "15.3 23.3",
    "ack_order_delete_insert_enqueue",
    caught_by="23.3",
    needs="a turn that closes a session and opens it again",
)
def closes_come_last() -> Changes:
    """The sessions of an acknowledgement are opened first and closed afterwards."""

    def settle_in_memory(tables: Tables, instance: str, metadata: ExecutionMetadata) -> None:
        if metadata.status in TERMINAL_STATUSES:
            memory_affinity.close_all(tables, instance)
            return
        for opened in metadata.opened_sessions:
            memory_affinity.open_session(tables, instance, opened.session_id)
        for closed in metadata.cancelled_sessions:
            memory_affinity.close_session(tables, instance, closed.session_id)

    def settle_in_sqlite(
        settle: Original, transaction: Transaction, instance: str, metadata: ExecutionMetadata
    ) -> object:
        closed = settle(transaction, instance, metadata)
        if metadata.status not in TERMINAL_STATUSES:
            for each in metadata.cancelled_sessions:
                values = {"instance": instance, "session": each.session_id}
                transaction.execute(sqlite_acknowledgement.SQL["close_session"], values)
        return closed

    yield Change(memory_acknowledgement, "_settle_sessions", settle_in_memory)
    yield around(sqlite_acknowledgement, "_close_and_open_sessions", settle_in_sqlite)


@defect(
    "provider",
    "23.5 28.6 23.3",
    "close_deletes_delayed_and_locked_items",
    elsewhere="terminal_cleanup_with_unreadable_history",
)
def held_items_survive() -> Changes:
    """A close removes the items of a session that wait, not those that a worker holds."""

    class Sparing(WorkTable):
        def remove(self, row: WorkRow) -> None:
            if row.token is None:
                super().remove(row)

    def sparing(tables: Tables) -> object:
        work = object.__new__(Sparing)
        work.__dict__.update(tables.work.__dict__)
        return _Instead(tables, work)

    def close(before: Original, tables: Tables, *which: str) -> None:
        before(sparing(tables), *which)

    yield around(memory_affinity, "close_session", close)
    yield around(memory_affinity, "close_all", close)
    by_id, of_any = "session_id = :session", "session_id IS NOT NULL"
    yield statements(
        sqlite_acknowledgement,
        ("close_session_rows", by_id, f"{by_id} AND lock_token IS NULL"),
        ("close_all_session_rows", of_any, f"{of_any} AND lock_token IS NULL"),
    )


class _Instead:
    """Tables, with another worker queue."""

    def __init__(self, tables: Tables, work: WorkTable) -> None:
        self._tables = tables
        self.work = work

    def __getattr__(self, name: str) -> object:
        return getattr(self._tables, name)


@defect("provider", "23.11 30.12", "reopen_leaves_surviving_row_untouched")
def openings_start_afresh() -> Changes:
    """Opening a session that has a row takes it from its owner."""

    def open_afresh(settle: Original, tables: Tables, instance: str, metadata: ExecutionMetadata) -> None:
        settle(tables, instance, metadata)
        for opened in metadata.opened_sessions:
            if metadata.status not in TERMINAL_STATUSES:
                rows = tables.of_instance(tables.sessions, instance)
                tables.journal.put(rows, opened.session_id, SessionRow())

    yield around(memory_acknowledgement, "_settle_sessions", open_afresh)
    yield statements(
        sqlite_acknowledgement,
        ("open_session", "DO NOTHING", "DO UPDATE SET worker_id = NULL, locked_until = NULL"),
    )


@defect(
    "provider",
    "1.7 23.14 28.9 28.12",
    "close_affects_only_its_session",
    caught_by="23.14",
    needs="two instances with sessions of one id",
)
def namesakes_close_too() -> Changes:
    """A close looks for the session id and forgets the instance."""
    close, close_all = original(memory_affinity, "close_session"), original(memory_affinity, "close_all")

    def close_everywhere(tables: Tables, instance: str, session_id: str) -> None:
        for each in tuple(tables.sessions):
            close(tables, each, session_id)

    def close_all_everywhere(tables: Tables, instance: str) -> None:
        for session_id in tuple(tables.sessions.get(instance, ())):
            close_everywhere(tables, instance, session_id)
        close_all(tables, instance)

    yield Change(memory_affinity, "close_session", close_everywhere)
    yield Change(memory_affinity, "close_all", close_all_everywhere)
    mine = "instance_id = :instance"
    yield statements(
        sqlite_acknowledgement,
        ("close_session_rows", f"{mine} AND", ""),
        ("close_session", f"{mine} AND", ""),
        ("close_all_sessions", mine, f"session_id IN (SELECT session_id FROM sessions WHERE {mine})"),
    )


@defect(
    "provider",
    "15.9 23.12 23.13",
    "retried_ack_is_applied_once",
    caught_by="23.13",
    needs="a lock that ran out, or an answer that is lost",
)
def stale_acks_are_swallowed() -> Changes:
    """An acknowledgement whose token holds no lock is taken for a repetition, and succeeds."""

    def in_memory(
        acknowledge: Original, tables: Tables, now: Millis, token: LockToken, conclusions: Conclusions
    ) -> None:
        try:
            memory_turns.held_lock(tables, "ack_orchestration_item", token, now)
        except ProviderError:
            return
        acknowledge(tables, now, token, conclusions)

    def in_sqlite(
        acknowledge: Original, transaction: Transaction, token: LockToken, conclusions: Conclusions
    ) -> None:
        try:
            sqlite_turns.held_instance(transaction, token)
        except ProviderError:
            return
        acknowledge(transaction, token, conclusions)

    yield around(memory_acknowledgement, "acknowledge", in_memory)
    yield around(sqlite_acknowledgement, "acknowledge", in_sqlite)


@defect(
    "provider",
    "28.4 28.6",
    "terminal_removes_session_items",
    caught_by="28.6",
    needs="an end that names no sessions",
)
def ends_close_what_is_named() -> Changes:
    """The end of an instance closes the sessions that the runtime names and looks for no others."""
    yield Change(memory_acknowledgement, "TERMINAL_STATUSES", frozenset[str]())
    yield Change(sqlite_acknowledgement, "TERMINAL_STATUSES", frozenset[str]())


@defect("provider", "28.11", "delete_and_prune")
def deletion_forgets_sessions() -> Changes:
    """The deletion of an instance leaves its session rows."""

    def remove_all_but_sessions(remove: Original, tables: Tables, instance: str) -> object:
        kept = tables.sessions.get(instance)
        result = remove(tables, instance)
        if kept:
            tables.sessions[instance] = kept
        return result

    yield around(memory_deletion, "_remove", remove_all_but_sessions)
    yield statements(sqlite_deletion, ("delete_sessions", "instance_id = :instance", "0"))
