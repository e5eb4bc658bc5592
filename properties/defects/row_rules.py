"""Defects of session rows that invariants alone are about."""

from __future__ import annotations

from typing import Any, Final

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import LockToken, Millis
from holdfast.properties.defects.defect import Change, Defect, Planting, original, replaced, statement
from holdfast.providers.memory import affinity
from holdfast.providers.memory.affinity import Claimant
from holdfast.providers.memory.provider import MemoryProvider
from holdfast.providers.memory.tables import SessionRow, Tables
from holdfast.providers.sqlite import work as sqlite_work
from holdfast.providers.sqlite.database import Transaction
from holdfast.providers.sqlite.provider import SqliteProvider


def _anybody_releases() -> Planting:
    """A release does not look at whose the session is."""

    def release(tables: Tables, now: Millis, instance: str, session_id: str, worker_id: str) -> None:
        row = tables.session(instance, session_id)
        if row is not None:
            tables.journal.keep(row)
            row.worker_id = row.locked_until = None

    return replaced(
        Change(affinity, "release", release),
        statement(sqlite_work, "release_session", "worker_id = :worker", ":worker = :worker"),
    )


def _anybody_renews() -> Planting:
    """A renewal does not look at whose the session is, as long as it is somebody's."""
    renew = original(affinity, "renew")

    def renew_any(
        tables: Tables, now: Millis, instance: str, session_id: str, worker_id: str, extend_for: Millis
    ) -> None:
        row = tables.session(instance, session_id)
        owner = worker_id if row is None or row.worker_id is None else row.worker_id
        renew(tables, now, instance, session_id, owner, extend_for)

    return replaced(
        Change(affinity, "renew", renew_any),
        statement(sqlite_work, "extend_session", "worker_id = :worker", "worker_id IS NOT NULL"),
    )


def _renewals_make_the_row() -> Planting:
    """A renewal is an upsert: it makes the row of a session that is gone, in the caller's name."""
    in_memory, in_sqlite = original(affinity, "renew"), original(sqlite_work, "renew_session")

    def renew_in_memory(
        tables: Tables, now: Millis, instance: str, session_id: str, worker_id: str, extend_for: Millis
    ) -> None:
        if tables.session(instance, session_id) is None:
            rows = tables.of_instance(tables.sessions, instance)
            tables.journal.put(rows, session_id, SessionRow(worker_id=worker_id, locked_until=now))
        in_memory(tables, now, instance, session_id, worker_id, extend_for)

    def renew_in_sqlite(
        transaction: Transaction, instance: str, session_id: str, worker_id: str, extend_for: Millis
    ) -> None:
        transaction.execute(
            "INSERT OR IGNORE INTO sessions (instance_id, session_id, worker_id, locked_until) "
            "VALUES (:instance, :session, :worker, :now)",
            {"instance": instance, "session": session_id, "worker": worker_id, "now": transaction.now},
        )
        in_sqlite(transaction, instance, session_id, worker_id, extend_for)

    return replaced(
        Change(affinity, "renew", renew_in_memory), Change(sqlite_work, "renew_session", renew_in_sqlite)
    )


def _owned_only_claims() -> Planting:
    """A fetch that is to take no new session takes one that is free."""
    fetch = original(sqlite_work, "fetch_with_session")

    def is_open_to(tables: Tables, now: Millis, instance: str, session_id: str, claimant: Claimant) -> bool:
        row = tables.session(instance, session_id)
        return row is None or not row.is_live(now) or row.worker_id == claimant.worker_id

    def fetch_anything(*given: Any, **named: Any) -> Any:
        if "claim_new" in named:
            named["claim_new"] = True
            return fetch(*given, **named)
        return fetch(*(True if isinstance(each, bool) else each for each in given))

    return replaced(
        Change(affinity, "is_open_to", is_open_to), Change(sqlite_work, "fetch_with_session", fetch_anything)
    )


def _refused_turns_open_their_sessions() -> Planting:
    """The sessions of a turn are opened whether or not its ack is accepted."""
    in_memory = original(MemoryProvider, "ack_orchestration_item")
    in_sqlite = original(SqliteProvider, "ack_orchestration_item")

    async def acknowledge_in_memory(self: MemoryProvider, token: LockToken, **turn: Any) -> None:
        try:
            await in_memory(self, token, **turn)
        except ProviderError:
            for opened in turn["metadata"].opened_sessions:
                self._calls.change(
                    "ack_orchestration_item",
                    lambda tables, now, each: affinity.open_session(tables, each.instance, each.session_id),
                    opened,
                )
            raise

    async def acknowledge_in_sqlite(self: SqliteProvider, token: LockToken, **turn: Any) -> None:
        try:
            await in_sqlite(self, token, **turn)
        except ProviderError:
            for opened in turn["metadata"].opened_sessions:
                await self._calls.write(
                    "ack_orchestration_item",
                    lambda transaction, each: transaction.execute(
                        "INSERT OR IGNORE INTO sessions (instance_id, session_id)"
                        " VALUES (:instance, :session)",
                        {"instance": each.instance, "session": each.session_id},
                    ),
                    opened,
                )
            raise

    return replaced(
        Change(MemoryProvider, "ack_orchestration_item", acknowledge_in_memory),
        Change(SqliteProvider, "ack_orchestration_item", acknowledge_in_sqlite),
    )


DEFECTS: Final = (
    Defect(
        name="refused_turns_open_their_sessions",
        title="A turn opens its sessions although its acknowledgement is refused",
        where="provider",
        caught_by="INV-39",
        rows=("23.1",),
        scenario="closing_ack_breaks_in_its_middle",
        needs="a refused acknowledgement of a turn that opens a session",
        planted=_refused_turns_open_their_sessions,
    ),
    Defect(
        name="anybody_releases",
        title="A release frees a session whoever owns it",
        where="provider",
        caught_by="INV-22",
        rows=("14.10",),
        scenario="every_activity_ends",
        needs="a release by a worker that has lost the session",
        planted=_anybody_releases,
    ),
    Defect(
        name="anybody_renews",
        title="A renewal extends a session whoever owns it",
        where="provider",
        caught_by="INV-22",
        rows=("14.8",),
        scenario="refused_item_renewal_is_loss_for_that_item",
        needs="a renewal by a worker that has lost the session",
        planted=_anybody_renews,
    ),
    Defect(
        name="renewals_make_the_row",
        title="A renewal of a session that is gone makes its row anew",
        where="provider",
        caught_by="INV-10",
        rows=("4.3", "14.7"),
        scenario="session_lock_renewal_stops_on_close",
        needs="a renewal after the close",
        planted=_renewals_make_the_row,
    ),
    Defect(
        name="owned_only_claims",
        title="A fetch for owned sessions alone claims one that is free",
        where="provider",
        caught_by="INV-05",
        rows=("24.2", "24.3", "24.4", "24.10"),
        scenario="two_sessions_and_room_for_one",
        needs="a worker at its capacity",
        planted=_owned_only_claims,
    ),
)
