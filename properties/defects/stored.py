"""Defects of what is stored: session rows, type names, wrappers; in the memory and in the SQLite provider."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import apsw

from holdfast.core.contract import events
from holdfast.core.contract.ids import LockToken, Millis
from holdfast.core.contract.provider import FetchedWork, ScheduledSessionIdentifier
from holdfast.core.hosting.forwarding import ForwardingProvider
from holdfast.properties.defects.defect import Change, Defect, Planting, original, replaced
from holdfast.providers.arguments import Conclusions
from holdfast.providers.memory import acknowledgement as memory_acknowledgement
from holdfast.providers.memory import affinity as memory_affinity
from holdfast.providers.memory import store as memory_inspection
from holdfast.providers.memory.tables import SessionRow, Tables
from holdfast.providers.sqlite import acknowledgement as sqlite_acknowledgement
from holdfast.providers.sqlite import memory_image
from holdfast.providers.sqlite import work as sqlite_work
from holdfast.providers.sqlite.database import Transaction


def _listed_by_events() -> Planting:
    """The provider opens and closes what the events of a turn name, whatever the two lists say."""
    in_memory = original(memory_acknowledgement, "acknowledge")
    in_sqlite = original(sqlite_acknowledgement, "acknowledge")

    def listed(conclusions: Any, instance: str) -> Any:
        def named(kind: type[events.Event]) -> list[ScheduledSessionIdentifier]:
            return [
                ScheduledSessionIdentifier(instance, event.session_id)
                for event in conclusions.history_delta
                if isinstance(event, events.SessionOpened | events.SessionClosed) and type(event) is kind
            ]

        opened, closed = named(events.SessionOpened), named(events.SessionClosed)
        metadata = replace(conclusions.metadata, opened_sessions=opened, cancelled_sessions=closed)
        return replace(conclusions, metadata=metadata)

    def acknowledge_in_memory(tables: Tables, now: Millis, token: LockToken, turn: Conclusions) -> None:
        lock = tables.lock_of_token.get(token)
        in_memory(tables, now, token, turn if lock is None else listed(turn, lock.instance))

    def acknowledge_in_sqlite(transaction: Transaction, token: LockToken, conclusions: Conclusions) -> None:
        row = transaction.one(
            "SELECT instance_id FROM instance_locks WHERE lock_token = :token", {"token": token}
        )
        in_sqlite(transaction, token, conclusions if row is None else listed(conclusions, row[0]))

    return replaced(
        Change(memory_acknowledgement, "acknowledge", acknowledge_in_memory),
        Change(sqlite_acknowledgement, "acknowledge", acknowledge_in_sqlite),
    )


def _releases_keep_the_expiry() -> Planting:
    """A release unsets the worker and leaves the expiry to run out."""

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

    return replaced(
        Change(memory_affinity, "release", release_in_memory),
        Change(sqlite_work, "release_session", release_in_sqlite),
    )


def _wrappers_know_fewer_arguments() -> Planting:
    """A wrapper was written when a fetch had no `claim_new` yet, and drops it."""
    fetch = original(ForwardingProvider, "fetch_session_work_item")

    async def fetch_session_work_item(
        wrapper: ForwardingProvider, lock_timeout: Millis, poll_timeout: Millis, **others: Any
    ) -> FetchedWork | None:
        others.pop("claim_new", None)
        found: FetchedWork | None = await fetch(wrapper, lock_timeout, poll_timeout, **others)
        return found

    return replaced(Change(ForwardingProvider, "fetch_session_work_item", fetch_session_work_item))


def _types_lose_their_prefix() -> Planting:
    """The type column of a session event says what happened, but not that it is about a session."""
    kind_of = original(events, "kind_of")

    def short_kind_of(event: events.StoredEvent) -> str:
        return str(kind_of(event)).removeprefix("Session")

    return replaced(
        Change(memory_inspection, "kind_of", short_kind_of),
        Change(sqlite_acknowledgement, "kind_of", short_kind_of),
    )


class _TimedSessionRow(SessionRow):
    duration_ms: int | None = None


def _durations_are_stored() -> Planting:
    """The session row has a column for the duration of its lock."""
    take = original(memory_image, "take_connection")

    def take_altered() -> apsw.Connection:
        connection: apsw.Connection = take()
        connection.execute("ALTER TABLE sessions ADD COLUMN duration_ms INTEGER")
        return connection

    def close(connection: apsw.Connection) -> None:
        connection.close(True)

    return replaced(
        Change(memory_affinity, "SessionRow", _TimedSessionRow),
        Change(memory_inspection, "SessionRow", _TimedSessionRow),
        Change(memory_image, "take_connection", take_altered),
        Change(memory_image, "give_back", close),
    )


DEFECTS: Final = (
    Defect(
        name="listed_by_events",
        title="The provider reads from the events of a turn which sessions it opens and closes",
        where="provider",
        caught_by="19.9",
        rows=("14.11", "14.12", "19.4", "19.9", "19.11", "31.13"),
        scenario="cancelled_list_alone_suffices",
        needs="nothing",
        planted=_listed_by_events,
    ),
    Defect(
        name="releases_keep_the_expiry",
        title="A release unsets the worker of a session and not its expiry",
        where="provider",
        caught_by="31.2",
        rows=("4.4", "14.9", "25.7", "31.2"),
        scenario="null_pairing",
        needs="nothing",
        planted=_releases_keep_the_expiry,
        elsewhere="unstoppable_handler_leaves_session_to_expire",
    ),
    Defect(
        name="wrappers_know_fewer_arguments",
        title="A provider wrapper does not pass on whether a fetch may claim sessions",
        where="provider",
        caught_by="31.6",
        rows=("31.6",),
        scenario="wrappers_forward",
        needs="nothing",
        planted=_wrappers_know_fewer_arguments,
    ),
    Defect(
        name="types_lose_their_prefix",
        title="Session events are stored as Opened and Closed",
        where="provider",
        caught_by="31.10",
        rows=("31.10",),
        scenario="event_type_names",
        needs="nothing",
        planted=_types_lose_their_prefix,
    ),
    Defect(
        name="durations_are_stored",
        title="The session row keeps a duration besides identity, owner and expiry",
        where="provider",
        caught_by="31.7",
        rows=("31.1", "31.7"),
        scenario="no_state_stored",
        needs="nothing",
        planted=_durations_are_stored,
    ),
)
