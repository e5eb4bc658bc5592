"""Defects of providers about locks: when they are over, who may still act, and what a repeated call does."""

from __future__ import annotations

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import LockToken, Millis
from holdfast.core.contract.provider import session_not_owned
from holdfast.core.contract.work_items import Message
from holdfast.properties.defects.defect import Change, Changes, Original, around, defect, statements
from holdfast.properties.defects.replacements import session_owner
from holdfast.providers.memory import affinity as memory_affinity
from holdfast.providers.memory import work as memory_work
from holdfast.providers.memory.affinity import Claimant
from holdfast.providers.memory.tables import SessionRow, Tables, WorkRow, WorkTable
from holdfast.providers.sqlite import work as sqlite_work
from holdfast.providers.sqlite.database import Transaction


@defect(
    "provider",
    "14.8 30.3 30.13",
    "expiry_boundary",
    caught_by="30.3",
    needs="a fetch at the instant of expiry",
)
def expiry_is_included() -> Changes:
    """At the very instant of its expiry a session is still its owner's."""

    def is_live(self: SessionRow, now: int) -> bool:
        return self.locked_until is not None and self.locked_until >= now

    yield Change(SessionRow, "is_live", is_live)
    yield statements(sqlite_work, ("take_work", "WHEN s.locked_until > :now", "WHEN s.locked_until >= :now"))


@defect("provider", "30.1", "forward_clock_jump", needs="a fault: the store's clock jumps forward")
def lapsed_sessions_are_not_renewed() -> Changes:
    """A session that has expired is not renewed, although it still names the caller."""
    tables_now = [0]

    def extend_live(extend: Original, tables: Tables, row: SessionRow, until: Millis) -> None:
        if not row.is_live(tables_now[0]):
            raise ProviderError.permanent("renew_session_lock", "the session lock has expired")
        extend(tables, row, until)

    def renew_at(renew: Original, tables: Tables, now: Millis, *rest: object) -> None:
        tables_now[0] = now
        renew(tables, now, *rest)

    def extend_live_row(
        extend: Original,
        transaction: Transaction,
        instance: str,
        session_id: str,
        worker_id: str | None,
        extend_for: Millis,
    ) -> None:
        owner = session_owner(transaction, instance, session_id)
        if owner is None or owner[1] is None or owner[1] <= transaction.now:
            raise session_not_owned(transaction.operation, instance, session_id, str(worker_id))
        extend(transaction, instance, session_id, worker_id, extend_for)

    yield around(memory_affinity, "extend", extend_live)
    yield around(memory_affinity, "renew", renew_at)
    yield around(memory_work, "renew", renew_at)
    yield around(sqlite_work, "_extend", extend_live_row)


@defect(
    "provider",
    "24.3 30.13",
    "claim_by_same_worker_after_expiry",
    caught_by="30.13",
    needs="an owned-only fetch after the expiry",
)
def own_lapsed_sessions_are_served() -> Changes:
    """An owned-only fetch gets items of a session that has expired in the caller's name."""

    def open_to_its_owner(
        is_open_to: Original, tables: Tables, now: Millis, instance: str, session_id: str, claimant: Claimant
    ) -> object:
        row = tables.session(instance, session_id)
        own = row is not None and row.worker_id == claimant.worker_id
        return own or is_open_to(tables, now, instance, session_id, claimant)

    yield around(memory_affinity, "is_open_to", open_to_its_owner)
    yield statements(
        sqlite_work,
        ("take_work", "ELSE :claim_new END", "ELSE :claim_new OR s.worker_id = :worker END"),
    )


@defect("provider", "21.15", "ack_after_item_lock_expiry_rejected", needs="an item lock that runs out")
def late_results_are_stored() -> Changes:
    """A result is stored although the lock of its item has run out."""

    def last_row(tables: Tables, operation: str, token: LockToken, now: int) -> WorkRow:
        return memory_work.current_row(tables, operation, token)

    yield Change(memory_work, "held_row", last_row)
    yield statements(sqlite_work, ("finish_work", " AND locked_until > :now", ""))


@defect(
    "provider", "21.8", "completion_accepted_after_session_loss", needs="two workers and a session that moves"
)
def results_need_the_session() -> Changes:
    """A result is refused because the session has moved, although its item lock is valid."""

    def in_memory(
        acknowledge: Original, tables: Tables, now: Millis, token: LockToken, completion: Message | None
    ) -> None:
        row = tables.work.by_token.get(token)
        if row is not None and row.session_id is not None:
            session = tables.session(row.identity.instance, row.session_id)
            if session is None or session.worker_id != row.claimed_by:
                raise ProviderError.permanent("ack_work_item", "the session is not the caller's any more")
        acknowledge(tables, now, token, completion)

    def in_sqlite(
        acknowledge: Original, transaction: Transaction, token: LockToken, completion: Message | None
    ) -> None:
        row = transaction.one(sqlite_work.SQL["work_of_token"], {"token": token})
        if row is not None and row[3] is not None:
            session = session_owner(transaction, row[2], row[3])
            if session is None or session[0] != row[4]:
                raise transaction.refuse("the session is not the caller's any more")
        acknowledge(transaction, token, completion)

    yield around(memory_work, "acknowledge", in_memory)
    yield around(sqlite_work, "acknowledge", in_sqlite)


@defect(
    "provider",
    "15.4 21.11 30.10",
    "repeated_calls_change_nothing_more",
    caught_by="30.10",
    needs="a repeated call",
)
def second_results_are_welcome() -> Changes:
    """The acknowledgement of an item that is gone succeeds as if it were the first."""

    def in_memory(
        acknowledge: Original, tables: Tables, now: Millis, token: LockToken, completion: Message | None
    ) -> None:
        if token in tables.work.by_token:
            acknowledge(tables, now, token, completion)

    def in_sqlite(
        acknowledge: Original, transaction: Transaction, token: LockToken, completion: Message | None
    ) -> None:
        if transaction.one(sqlite_work.SQL["work_of_token"], {"token": token}) is not None:
            acknowledge(transaction, token, completion)

    yield around(memory_work, "acknowledge", in_memory)
    yield around(sqlite_work, "acknowledge", in_sqlite)


@defect(
    "provider",
    "5.3 21.15 25.9 30.5 30.8",
    "lost_fetch_response",
    caught_by="INV-09",
    needs="an item lock that runs out",
)
def redelivery_is_free() -> Changes:
    """An item that is delivered again after its lock has run out keeps its attempt number."""

    def lock_again(lock: Original, work: WorkTable, row: WorkRow, *given: object) -> None:
        again = row.token is not None
        lock(work, row, *given)
        if again:
            row.attempt_count -= 1

    counted = "attempt_count = attempt_count + 1"
    once = "attempt_count = attempt_count + (lock_token IS NULL)"
    yield around(WorkTable, "lock", lock_again)
    yield statements(sqlite_work, ("take_plain_work", counted, once), ("take_work", counted, once))


@defect(
    "provider",
    "30.5 30.6 30.14",
    "lost_fetch_response",
    caught_by="INV-06",
    needs="a fault: a crash, or an answer that is lost",
)
def held_items_are_never_free() -> Changes:
    """An item whose lock has run out waits for its holder to give it back."""

    def eligible_if_given_back(
        is_eligible: Original, tables: Tables, now: Millis, query: object, row: WorkRow
    ) -> object:
        return row.token is None and is_eligible(tables, now, query, row)

    lapsed = "(w.locked_until IS NULL OR w.locked_until <= :now)"
    yield around(memory_work, "_is_eligible", eligible_if_given_back)
    yield statements(
        sqlite_work,
        ("take_plain_work", lapsed, "w.locked_until IS NULL"),
        ("take_work", lapsed, "w.locked_until IS NULL"),
    )
