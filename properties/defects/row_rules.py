"""Defects of session rows that invariants alone are about."""

from __future__ import annotations

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import LockToken, Millis
from holdfast.core.contract.provider import ExecutionMetadata
from holdfast.properties.defects.defect import Change, Changes, Original, around, defect, statements
from holdfast.providers.memory import affinity
from holdfast.providers.memory.affinity import Claimant
from holdfast.providers.memory.provider import MemoryProvider
from holdfast.providers.memory.tables import SessionRow, Tables
from holdfast.providers.sqlite import work as sqlite_work
from holdfast.providers.sqlite.database import Transaction
from holdfast.providers.sqlite.provider import SqliteProvider


@defect(
    "provider",
    "14.10",
    "every_activity_ends",
    caught_by="INV-22",
    needs="a release by a worker that has lost the session",
)
def anybody_releases() -> Changes:
    """A release frees a session whoever owns it."""

    def release(tables: Tables, now: Millis, instance: str, session_id: str, worker_id: str) -> None:
        row = tables.session(instance, session_id)
        if row is not None:
            tables.journal.keep(row)
            row.worker_id = row.locked_until = None

    yield Change(affinity, "release", release)
    yield statements(sqlite_work, ("release_session", "worker_id = :worker", ":worker = :worker"))


@defect(
    "provider",
    "14.8",
    "refused_item_renewal_is_loss_for_that_item",
    caught_by="INV-22",
    needs="a renewal by a worker that has lost the session",
)
def anybody_renews() -> Changes:
    """A renewal extends a session whoever owns it."""

    def renew_any(
        renew: Original,
        tables: Tables,
        now: Millis,
        instance: str,
        session_id: str,
        worker_id: str,
        extend_for: Millis,
    ) -> None:
        row = tables.session(instance, session_id)
        owner = worker_id if row is None or row.worker_id is None else row.worker_id
        renew(tables, now, instance, session_id, owner, extend_for)

    yield around(affinity, "renew", renew_any)
    yield statements(sqlite_work, ("extend_session", "worker_id = :worker", "worker_id IS NOT NULL"))


@defect(
    "provider",
    "4.3 14.7",
    "session_lock_renewal_stops_on_close",
    caught_by="INV-10",
    needs="a renewal after the close",
)
def renewals_make_the_row() -> Changes:
    """A renewal of a session that is gone makes its row anew."""

    def renew_in_memory(
        renew: Original,
        tables: Tables,
        now: Millis,
        instance: str,
        session_id: str,
        worker_id: str,
        extend_for: Millis,
    ) -> None:
        if tables.session(instance, session_id) is None:
            rows = tables.of_instance(tables.sessions, instance)
            tables.journal.put(rows, session_id, SessionRow(worker_id=worker_id, locked_until=now))
        renew(tables, now, instance, session_id, worker_id, extend_for)

    def renew_in_sqlite(renew: Original, transaction: Transaction, *given: object) -> None:
        instance, session_id, worker_id, _ = given
        transaction.execute(
            "INSERT OR IGNORE INTO sessions (instance_id, session_id, worker_id, locked_until) "
            "VALUES (:instance, :session, :worker, :now)",
            {"instance": instance, "session": session_id, "worker": worker_id, "now": transaction.now},
        )
        renew(transaction, *given)

    yield around(affinity, "renew", renew_in_memory)
    yield around(sqlite_work, "renew_session", renew_in_sqlite)


@defect(
    "provider",
    "24.2 24.3 24.4 24.10",
    "two_sessions_and_room_for_one",
    caught_by="INV-05",
    needs="a worker at its capacity",
)
def owned_only_claims() -> Changes:
    """A fetch for owned sessions alone claims one that is free."""

    def is_open_to(tables: Tables, now: Millis, instance: str, session_id: str, claimant: Claimant) -> bool:
        row = tables.session(instance, session_id)
        return row is None or not row.is_live(now) or row.worker_id == claimant.worker_id

    def fetch_anything(fetch: Original, *given: object, **named: object) -> object:
        if "claim_new" in named:
            named["claim_new"] = True
            return fetch(*given, **named)
        return fetch(*(True if isinstance(each, bool) else each for each in given))

    yield Change(affinity, "is_open_to", is_open_to)
    yield around(sqlite_work, "fetch_with_session", fetch_anything)


@defect(
    "provider",
    "23.1",
    "closing_ack_breaks_in_its_middle",
    caught_by="INV-39",
    needs="a refused acknowledgement of a turn that opens a session",
)
def refused_turns_open_their_sessions() -> Changes:
    """A turn opens its sessions although its acknowledgement is refused."""

    async def in_memory(
        acknowledge: Original,
        provider: MemoryProvider,
        token: LockToken,
        *,
        metadata: ExecutionMetadata,
        **turn: object,
    ) -> None:
        try:
            await acknowledge(provider, token, metadata=metadata, **turn)
        except ProviderError:
            for opened in metadata.opened_sessions:
                provider._calls.change(
                    "ack_orchestration_item",
                    lambda tables, now, each: affinity.open_session(tables, each.instance, each.session_id),
                    opened,
                )
            raise

    async def in_sqlite(
        acknowledge: Original,
        provider: SqliteProvider,
        token: LockToken,
        *,
        metadata: ExecutionMetadata,
        **turn: object,
    ) -> None:
        try:
            await acknowledge(provider, token, metadata=metadata, **turn)
        except ProviderError:
            for opened in metadata.opened_sessions:
                await provider._calls.write(
                    "ack_orchestration_item",
                    lambda transaction, each: transaction.execute(
                        "INSERT OR IGNORE INTO sessions (instance_id, session_id)"
                        " VALUES (:instance, :session)",
                        {"instance": each.instance, "session": each.session_id},
                    ),
                    opened,
                )
            raise

    yield around(MemoryProvider, "ack_orchestration_item", in_memory)
    yield around(SqliteProvider, "ack_orchestration_item", in_sqlite)
