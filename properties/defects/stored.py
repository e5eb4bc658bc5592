"""Defects of what is stored: session rows, type names, wrappers; in the memory and in the SQLite provider."""

from __future__ import annotations

from dataclasses import replace

import apsw

from holdfast.core.contract import events
from holdfast.core.contract.ids import LockToken, Millis
from holdfast.core.contract.provider import ScheduledSessionIdentifier
from holdfast.core.hosting.forwarding import ForwardingProvider
from holdfast.properties.defects.defect import Change, Changes, Original, around, defect
from holdfast.providers.arguments import Conclusions
from holdfast.providers.memory import acknowledgement as memory_acknowledgement
from holdfast.providers.memory import affinity as memory_affinity
from holdfast.providers.memory import store as memory_inspection
from holdfast.providers.memory.tables import SessionRow, Tables
from holdfast.providers.sqlite import acknowledgement as sqlite_acknowledgement
from holdfast.providers.sqlite import memory_image
from holdfast.providers.sqlite import work as sqlite_work
from holdfast.providers.sqlite.database import Transaction


@defect("provider", "14.11 14.12 19.4 19.9 19.11 31.13", "cancelled_list_alone_suffices", caught_by="19.9")
def listed_by_events() -> Changes:
    """The provider reads from the events of a turn which sessions it opens and closes."""

    def listed(conclusions: Conclusions, instance: str) -> object:
        def named(kind: type[events.Event]) -> list[ScheduledSessionIdentifier]:
            return [
                ScheduledSessionIdentifier(instance, event.session_id)
                for event in conclusions.history_delta
                if isinstance(event, events.SessionOpened | events.SessionClosed) and type(event) is kind
            ]

        opened, closed = named(events.SessionOpened), named(events.SessionClosed)
        metadata = replace(conclusions.metadata, opened_sessions=opened, cancelled_sessions=closed)
        return replace(conclusions, metadata=metadata)

    def in_memory(
        acknowledge: Original, tables: Tables, now: Millis, token: LockToken, conclusions: Conclusions
    ) -> None:
        lock = tables.lock_of_token.get(token)
        acknowledge(tables, now, token, conclusions if lock is None else listed(conclusions, lock.instance))

    def in_sqlite(
        acknowledge: Original, transaction: Transaction, token: LockToken, conclusions: Conclusions
    ) -> None:
        row = transaction.one(
            "SELECT instance_id FROM instance_locks WHERE lock_token = :token", {"token": token}
        )
        acknowledge(transaction, token, conclusions if row is None else listed(conclusions, row[0]))

    yield around(memory_acknowledgement, "acknowledge", in_memory)
    yield around(sqlite_acknowledgement, "acknowledge", in_sqlite)


@defect(
    "provider",
    "4.4 14.9 25.7 31.2",
    "null_pairing",
    caught_by="31.2",
    elsewhere="unstoppable_handler_leaves_session_to_expire",
)
def releases_keep_the_expiry() -> Changes:
    """A release unsets the worker of a session and not its expiry."""

    def release_in_memory(
        tables: Tables, now: Millis, instance: str, session_id: str, worker_id: str
    ) -> None:
        row = tables.session(instance, session_id)
        if row is not None and row.worker_id == worker_id:
            tables.journal.keep(row)
            row.worker_id = None

    def release_in_sqlite(transaction: Transaction, instance: str, session_id: str, worker_id: str) -> None:
        transaction.execute("PRAGMA ignore_check_constraints = 1")
        try:
            transaction.execute(
                sqlite_work.SQL["release_session"].replace(", locked_until = NULL", ""),
                {"instance": instance, "session": session_id, "worker": worker_id},
            )
        finally:
            transaction.execute("PRAGMA ignore_check_constraints = 0")

    def is_live(self: SessionRow, now: int) -> bool:
        return self.locked_until is not None and self.locked_until > now

    yield Change(memory_affinity, "release", release_in_memory)
    yield Change(sqlite_work, "release_session", release_in_sqlite)
    # Neither store's own check of half a lock is on: the rules must see it without that help.
    yield Change(SessionRow, "is_live", is_live)


@defect("provider", "31.6", "wrappers_forward")
def wrappers_know_fewer_arguments() -> Changes:
    """A provider wrapper does not pass on whether a fetch may claim sessions."""

    async def fetch_without(
        fetch: Original, *given: object, claim_new: bool = True, **others: object
    ) -> object:
        return await fetch(*given, **others)

    yield around(ForwardingProvider, "fetch_session_work_item", fetch_without)


@defect("provider", "31.10", "event_type_names")
def types_lose_their_prefix() -> Changes:
    """Session events are stored as Opened and Closed."""

    def short_kind_of(event: events.StoredEvent) -> str:
        return events.kind_of(event).removeprefix("Session")

    yield Change(memory_inspection, "kind_of", short_kind_of)
    yield Change(sqlite_acknowledgement, "kind_of", short_kind_of)


class _TimedSessionRow(SessionRow):
    duration_ms: int | None = None


@defect("provider", "31.1 31.7", "no_state_stored", caught_by="31.7")
def durations_are_stored() -> Changes:
    """The session row keeps a duration besides identity, owner and expiry."""

    def take_altered(take: Original) -> apsw.Connection:
        connection: apsw.Connection = take()
        connection.execute("ALTER TABLE sessions ADD COLUMN duration_ms INTEGER")
        return connection

    yield Change(memory_affinity, "SessionRow", _TimedSessionRow)
    yield Change(memory_inspection, "SessionRow", _TimedSessionRow)
    yield around(memory_image, "take_connection", take_altered)
    yield Change(memory_image, "give_back", lambda connection: connection.close(True))
