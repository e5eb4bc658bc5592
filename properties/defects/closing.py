"""Defects of providers in what an acknowledgement or a deletion does to sessions, in memory and in SQLite."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import LockToken, Millis
from holdfast.core.contract.provider import TERMINAL_STATUSES, ExecutionMetadata
from holdfast.properties.defects.defect import Change, Defect, Planting, original, replaced, statement
from holdfast.providers.memory import acknowledgement as memory_acknowledgement
from holdfast.providers.memory import affinity as memory_affinity
from holdfast.providers.memory import deletion as memory_deletion
from holdfast.providers.memory import turns as memory_turns
from holdfast.providers.memory.tables import SessionRow, Tables, WorkRow, WorkTable
from holdfast.providers.sqlite import acknowledgement as sqlite_acknowledgement
from holdfast.providers.sqlite import deletion as sqlite_deletion
from holdfast.providers.sqlite import turns as sqlite_turns
from holdfast.providers.sqlite.acknowledgement import ClosedSessions
from holdfast.providers.sqlite.database import Transaction


def _both(first: Change, second: Change) -> Change:
    """Two changes of statements of one module as one."""
    before: dict[str, str] = vars(first.owner)[first.name]
    others: Any = second.value
    changed = {name: text for name, text in others.items() if text != before[name]}
    return first._replace(value={**first.value, **changed})  # type: ignore[dict-item]


def _sessions_are_settled_first() -> Planting:
    """What an acknowledgement does to sessions is committed by itself, before the rest."""
    in_memory = original(memory_acknowledgement, "_write_records")
    in_sqlite = original(sqlite_acknowledgement, "_put_records")

    def settle_in_memory(tables: Tables, now: Millis, instance: str, turn: Any) -> None:
        memory_acknowledgement._settle_sessions(tables, instance, turn.metadata)
        tables.journal._steps.clear()
        in_memory(tables, now, instance, turn)

    def settle_in_sqlite(
        transaction: Transaction, instance: str, execution_id: int, metadata: ExecutionMetadata
    ) -> None:
        sqlite_acknowledgement._close_and_open_sessions(transaction, instance, metadata)
        transaction.execute("COMMIT")
        transaction.execute("BEGIN IMMEDIATE")
        in_sqlite(transaction, instance, execution_id, metadata)

    return replaced(
        Change(memory_acknowledgement, "_write_records", settle_in_memory),
        Change(sqlite_acknowledgement, "_put_records", settle_in_sqlite),
    )


def _first_fetch_makes_the_row() -> Planting:
    """An opening is noted in history; its row is made when a worker claims it."""

    settle = original(memory_acknowledgement, "_settle_sessions")

    def open_later(tables: Tables, instance: str, metadata: ExecutionMetadata) -> None:
        settle(tables, instance, replace(metadata, opened_sessions=()))

    return replaced(
        Change(memory_acknowledgement, "_settle_sessions", open_later),
        statement(
            sqlite_acknowledgement,
            "open_session",
            "VALUES (:instance, :session)",
            "SELECT :instance, :session WHERE 0",
        ),
    )


def _closes_come_last() -> Planting:
    """The sessions of an acknowledgement are opened first and closed then."""

    def settle_in_memory(tables: Tables, instance: str, metadata: ExecutionMetadata) -> None:
        if metadata.status in TERMINAL_STATUSES:
            memory_affinity.close_all(tables, instance)
            return
        for opened in metadata.opened_sessions:
            memory_affinity.open_session(tables, instance, opened.session_id)
        for closed in metadata.cancelled_sessions:
            memory_affinity.close_session(tables, instance, closed.session_id)

    in_sqlite = original(sqlite_acknowledgement, "_close_and_open_sessions")

    def settle_in_sqlite(
        transaction: Transaction, instance: str, metadata: ExecutionMetadata
    ) -> ClosedSessions:
        closed: ClosedSessions = in_sqlite(transaction, instance, metadata)
        if metadata.status not in TERMINAL_STATUSES:
            for each in metadata.cancelled_sessions:
                values = {"instance": instance, "session": each.session_id}
                transaction.execute(sqlite_acknowledgement.SQL["close_session"], values)
        return closed

    return replaced(
        Change(memory_acknowledgement, "_settle_sessions", settle_in_memory),
        Change(sqlite_acknowledgement, "_close_and_open_sessions", settle_in_sqlite),
    )


def _held_items_survive() -> Planting:
    """With a session go the items that wait; one that a worker holds is the worker's to finish."""

    class Sparing(WorkTable):
        def remove(self, row: WorkRow) -> None:
            if row.token is None:
                super().remove(row)

    close, close_all = original(memory_affinity, "close_session"), original(memory_affinity, "close_all")

    def sparing(tables: Tables) -> Any:
        work = object.__new__(Sparing)
        work.__dict__.update(tables.work.__dict__)
        return _Instead(tables, work)

    return replaced(
        Change(
            memory_affinity,
            "close_session",
            lambda tables, instance, session_id: close(sparing(tables), instance, session_id),
        ),
        Change(memory_affinity, "close_all", lambda tables, instance: close_all(sparing(tables), instance)),
        _both(
            statement(
                sqlite_acknowledgement,
                "close_session_rows",
                "session_id = :session",
                "session_id = :session AND lock_token IS NULL",
            ),
            statement(
                sqlite_acknowledgement,
                "close_all_session_rows",
                "session_id IS NOT NULL",
                "session_id IS NOT NULL AND lock_token IS NULL",
            ),
        ),
    )


class _Instead:
    """Tables, with another worker queue."""

    def __init__(self, tables: Tables, work: WorkTable) -> None:
        self._tables = tables
        self.work = work

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tables, name)


def _openings_start_afresh() -> Planting:
    """An opening makes the row as if there were none."""

    settle = original(memory_acknowledgement, "_settle_sessions")

    def open_afresh(tables: Tables, instance: str, metadata: ExecutionMetadata) -> None:
        settle(tables, instance, metadata)
        for opened in metadata.opened_sessions:
            if metadata.status not in TERMINAL_STATUSES:
                rows = tables.of_instance(tables.sessions, instance)
                tables.journal.put(rows, opened.session_id, SessionRow())

    return replaced(
        Change(memory_acknowledgement, "_settle_sessions", open_afresh),
        statement(
            sqlite_acknowledgement,
            "open_session",
            "DO NOTHING",
            "DO UPDATE SET worker_id = NULL, locked_until = NULL",
        ),
    )


def _namesakes_close_too() -> Planting:
    """A close looks for the session id alone."""
    close, close_all = original(memory_affinity, "close_session"), original(memory_affinity, "close_all")

    def close_everywhere(tables: Tables, instance: str, session_id: str) -> None:
        for each in tuple(tables.sessions):
            close(tables, each, session_id)

    def close_all_everywhere(tables: Tables, instance: str) -> None:
        for session_id in tuple(tables.sessions.get(instance, ())):
            close_everywhere(tables, instance, session_id)
        close_all(tables, instance)

    return replaced(
        Change(memory_affinity, "close_session", close_everywhere),
        Change(memory_affinity, "close_all", close_all_everywhere),
        _both(
            _both(
                statement(sqlite_acknowledgement, "close_session_rows", "instance_id = :instance AND", ""),
                statement(sqlite_acknowledgement, "close_session", "instance_id = :instance AND", ""),
            ),
            statement(
                sqlite_acknowledgement,
                "close_all_sessions",
                "instance_id = :instance",
                "session_id IN (SELECT session_id FROM sessions WHERE instance_id = :instance)",
            ),
        ),
    )


def _stale_acks_are_swallowed() -> Planting:
    """A token that holds no lock means that the turn is stored: the acknowledgement reports success."""
    in_memory = original(memory_acknowledgement, "acknowledge")
    in_sqlite = original(sqlite_acknowledgement, "acknowledge")

    def acknowledge_in_memory(tables: Tables, now: Millis, token: LockToken, turn: Any) -> None:
        try:
            memory_turns.held_lock(tables, "ack_orchestration_item", token, now)
        except ProviderError:
            return
        in_memory(tables, now, token, turn)

    def acknowledge_in_sqlite(transaction: Transaction, token: LockToken, conclusions: Any) -> None:
        try:
            sqlite_turns.held_instance(transaction, token)
        except ProviderError:
            return
        in_sqlite(transaction, token, conclusions)

    return replaced(
        Change(memory_acknowledgement, "acknowledge", acknowledge_in_memory),
        Change(sqlite_acknowledgement, "acknowledge", acknowledge_in_sqlite),
    )


def _ends_close_what_is_named() -> Planting:
    """An end closes the sessions that the runtime names, like any other acknowledgement."""
    return replaced(
        Change(memory_acknowledgement, "TERMINAL_STATUSES", frozenset[str]()),
        Change(sqlite_acknowledgement, "TERMINAL_STATUSES", frozenset[str]()),
    )


def _deletion_forgets_sessions() -> Planting:
    """An instance is deleted from every table but that of the sessions."""
    remove = original(memory_deletion, "_remove")

    def remove_all_but_sessions(tables: Tables, instance: str) -> Any:
        kept = tables.sessions.get(instance)
        result = remove(tables, instance)
        if kept:
            tables.sessions[instance] = kept
        return result

    return replaced(
        Change(memory_deletion, "_remove", remove_all_but_sessions),
        statement(sqlite_deletion, "delete_sessions", "instance_id = :instance", "0"),
    )


DEFECTS: Final = (
    Defect(
        name="sessions_are_settled_first",
        title="What an acknowledgement does to sessions is committed by itself, before the rest of it",
        where="provider",
        caught_by="23.1",
        rows=("23.1", "30.12"),
        scenario="cancelled_sessions_atomic_with_ack",
        needs="a fault: the store fails in the middle of the acknowledgement",
        planted=_sessions_are_settled_first,
    ),
    Defect(
        name="first_fetch_makes_the_row",
        title="The provider leaves it to the first claim to make the row of a session that was opened",
        where="provider",
        caught_by="23.2",
        rows=("14.11", "14.12", "15.7", "23.2", "23.3", "23.11", "28.5", "28.10"),
        scenario="open_and_first_item_visible_together",
        needs="nothing",
        planted=_first_fetch_makes_the_row,
    ),
    Defect(
        name="closes_come_last",
        title="The sessions of an acknowledgement are opened first and closed then",
        where="provider",
        caught_by="23.3",
        rows=("15.3", "23.3"),
        scenario="ack_order_delete_insert_enqueue",
        needs="a turn that closes a session and opens it again",
        planted=_closes_come_last,
    ),
    Defect(
        name="held_items_survive",
        title="With a session go the items that wait, not those that a worker holds",
        where="provider",
        caught_by="23.5",
        rows=("23.5", "28.6", "23.3"),
        scenario="close_deletes_delayed_and_locked_items",
        needs="nothing",
        planted=_held_items_survive,
        elsewhere="terminal_cleanup_with_unreadable_history",
    ),
    Defect(
        name="openings_start_afresh",
        title="Opening a session that has a row takes it from its owner",
        where="provider",
        caught_by="23.11",
        rows=("23.11", "30.12"),
        scenario="reopen_leaves_surviving_row_untouched",
        needs="nothing",
        planted=_openings_start_afresh,
    ),
    Defect(
        name="namesakes_close_too",
        title="A close looks for the session id and forgets the instance",
        where="provider",
        caught_by="23.14",
        rows=("1.7", "23.14", "28.9", "28.12"),
        scenario="close_affects_only_its_session",
        needs="two instances with sessions of one id",
        planted=_namesakes_close_too,
    ),
    Defect(
        name="stale_acks_are_swallowed",
        title="An acknowledgement whose token holds no lock is taken for a repetition, and succeeds",
        where="provider",
        caught_by="23.13",
        rows=("15.9", "23.12", "23.13"),
        scenario="retried_ack_is_applied_once",
        needs="a lock that ran out, or an answer that is lost",
        planted=_stale_acks_are_swallowed,
    ),
    Defect(
        name="ends_close_what_is_named",
        title="The end of an instance closes the sessions that the runtime names and looks for no others",
        where="provider",
        caught_by="28.6",
        rows=("28.4", "28.6"),
        scenario="terminal_removes_session_items",
        needs="an end that names no sessions",
        planted=_ends_close_what_is_named,
    ),
    Defect(
        name="deletion_forgets_sessions",
        title="The deletion of an instance leaves its session rows",
        where="provider",
        caught_by="28.11",
        rows=("28.11",),
        scenario="delete_and_prune",
        needs="nothing",
        planted=_deletion_forgets_sessions,
    ),
)
