"""Defects of providers about locks: when they are over, who may still act, and what a repeated call does."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import Any, Final

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import LockToken, Millis
from holdfast.core.contract.provider import session_not_owned
from holdfast.properties.defects.defect import Change, Defect, Planting, original, replaced
from holdfast.providers.memory import affinity as memory_affinity
from holdfast.providers.memory import work as memory_work
from holdfast.providers.memory.affinity import Claimant
from holdfast.providers.memory.tables import SessionRow, Tables, WorkRow, WorkTable
from holdfast.providers.sqlite import work as sqlite_work
from holdfast.providers.sqlite.database import Transaction


def _sql(module: ModuleType, *parts: tuple[str, str, str]) -> Change:
    """Statements of a module, each with a part replaced."""
    changed: dict[str, str] = dict(_known(module))
    for name, old, new in parts:
        if old not in changed[name]:
            raise LookupError(f"statement {name!r} has no {old!r} any more: adapt the defect")
        changed[name] = changed[name].replace(old, new)
    return Change(module, "SQL", changed)


def _known(module: ModuleType) -> Mapping[str, str]:
    statements: Mapping[str, str] = vars(module)["SQL"]
    return statements


def _expiry_is_included() -> Planting:
    """At the very instant of its expiry a session is still its owner's."""

    def is_live(self: SessionRow, now: int) -> bool:
        return self.locked_until is not None and self.locked_until >= now

    return replaced(
        Change(SessionRow, "is_live", is_live),
        _sql(sqlite_work, ("take_work", "WHEN s.locked_until > :now", "WHEN s.locked_until >= :now")),
    )


def _lapsed_sessions_are_not_renewed() -> Planting:
    """A session that has expired cannot be renewed any more, by whomever."""
    extend, extend_row = original(memory_affinity, "extend"), original(sqlite_work, "_extend")

    def extend_live(tables: Tables, row: SessionRow, until: Millis) -> None:
        if not row.is_live(tables_now[0]):
            raise ProviderError.permanent("renew_session_lock", "the session lock has expired")
        extend(tables, row, until)

    tables_now = [0]
    renew, renew_item = original(memory_affinity, "renew"), original(memory_work, "renew")

    def renew_at(tables: Tables, now: Millis, *rest: Any) -> None:
        tables_now[0] = now
        renew(tables, now, *rest)

    def renew_item_at(tables: Tables, now: Millis, *rest: Any) -> None:
        tables_now[0] = now
        renew_item(tables, now, *rest)

    def extend_live_row(
        transaction: Transaction, instance: str, session_id: str, worker_id: str | None, extend_for: Millis
    ) -> None:
        owner = transaction.one(
            sqlite_work.SQL["session_owner"], {"instance": instance, "session": session_id}
        )
        if owner is None or owner[1] is None or owner[1] <= transaction.now:
            raise session_not_owned(transaction.operation, instance, session_id, str(worker_id))
        extend_row(transaction, instance, session_id, worker_id, extend_for)

    return replaced(
        Change(memory_affinity, "extend", extend_live),
        Change(memory_affinity, "renew", renew_at),
        Change(memory_work, "renew", renew_item_at),
        Change(sqlite_work, "_extend", extend_live_row),
    )


def _own_lapsed_sessions_are_served() -> Planting:
    """A session is its owner's until somebody else takes it: no claim is needed to go on with it."""
    is_open_to = original(memory_affinity, "is_open_to")

    def open_to_its_owner(
        tables: Tables, now: Millis, instance: str, session_id: str, claimant: Claimant
    ) -> bool:
        row = tables.session(instance, session_id)
        own = row is not None and row.worker_id == claimant.worker_id
        return own or bool(is_open_to(tables, now, instance, session_id, claimant))

    return replaced(
        Change(memory_affinity, "is_open_to", open_to_its_owner),
        _sql(
            sqlite_work,
            ("take_work", "ELSE :claim_new END", "ELSE :claim_new OR s.worker_id = :worker END"),
        ),
    )


def _late_results_are_stored() -> Planting:
    """A result is accepted as long as its token is the last one, expired or not."""

    def last_row(tables: Tables, operation: str, token: LockToken, now: int) -> WorkRow:
        return memory_work.current_row(tables, operation, token)

    return replaced(
        Change(memory_work, "held_row", last_row),
        _sql(sqlite_work, ("finish_work", " AND locked_until > :now", "")),
    )


def _results_need_the_session() -> Planting:
    """A result is accepted only from the worker that the session names."""
    in_memory, in_sqlite = original(memory_work, "acknowledge"), original(sqlite_work, "acknowledge")

    def acknowledge_in_memory(tables: Tables, now: Millis, token: LockToken, completion: Any) -> None:
        row = tables.work.by_token.get(token)
        if row is not None and row.session_id is not None:
            session = tables.session(row.identity.instance, row.session_id)
            if session is None or session.worker_id != row.claimed_by:
                raise ProviderError.permanent("ack_work_item", "the session is not the caller's any more")
        in_memory(tables, now, token, completion)

    def acknowledge_in_sqlite(transaction: Transaction, token: LockToken, completion: Any) -> None:
        row = transaction.one(sqlite_work.SQL["work_of_token"], {"token": token})
        if row is not None and row[3] is not None:
            session = transaction.one(
                sqlite_work.SQL["session_owner"], {"instance": row[2], "session": row[3]}
            )
            if session is None or session[0] != row[4]:
                raise transaction.refuse("the session is not the caller's any more")
        in_sqlite(transaction, token, completion)

    return replaced(
        Change(memory_work, "acknowledge", acknowledge_in_memory),
        Change(sqlite_work, "acknowledge", acknowledge_in_sqlite),
    )


def _second_results_are_welcome() -> Planting:
    """The repetition of an acknowledgement succeeds like the first one."""
    in_memory, in_sqlite = original(memory_work, "acknowledge"), original(sqlite_work, "acknowledge")

    def acknowledge_in_memory(tables: Tables, now: Millis, token: LockToken, completion: Any) -> None:
        if token in tables.work.by_token:
            in_memory(tables, now, token, completion)

    def acknowledge_in_sqlite(transaction: Transaction, token: LockToken, completion: Any) -> None:
        if transaction.one(sqlite_work.SQL["work_of_token"], {"token": token}) is not None:
            in_sqlite(transaction, token, completion)

    return replaced(
        Change(memory_work, "acknowledge", acknowledge_in_memory),
        Change(sqlite_work, "acknowledge", acknowledge_in_sqlite),
    )


def _redelivery_is_free() -> Planting:
    """An item that is delivered again because its lock has run out keeps its attempt number."""
    lock = original(WorkTable, "lock")

    def lock_again(
        self: WorkTable, row: WorkRow, token: LockToken, locked_until: int, worker_id: str | None
    ) -> None:
        again = row.token is not None
        lock(self, row, token, locked_until, worker_id)
        if again:
            row.attempt_count -= 1

    counted = "attempt_count = attempt_count + 1"
    once = "attempt_count = attempt_count + (lock_token IS NULL)"
    return replaced(
        Change(WorkTable, "lock", lock_again),
        _sql(sqlite_work, ("take_plain_work", counted, once), ("take_work", counted, once)),
    )


def _held_items_are_never_free() -> Planting:
    """An item is free when its holder has given it back; that a lock may run out is not thought of."""
    is_eligible = original(memory_work, "_is_eligible")

    def eligible_if_given_back(tables: Tables, now: Millis, query: Any, row: WorkRow) -> bool:
        return row.token is None and bool(is_eligible(tables, now, query, row))

    lapsed = "(w.locked_until IS NULL OR w.locked_until <= :now)"
    return replaced(
        Change(memory_work, "_is_eligible", eligible_if_given_back),
        _sql(
            sqlite_work,
            ("take_plain_work", lapsed, "w.locked_until IS NULL"),
            ("take_work", lapsed, "w.locked_until IS NULL"),
        ),
    )


DEFECTS: Final = (
    Defect(
        name="expiry_is_included",
        title="At the very instant of its expiry a session is still its owner's",
        where="provider",
        caught_by="30.3",
        rows=("14.8", "30.3", "30.13"),
        scenario="expiry_boundary",
        needs="a fetch at the instant of expiry",
        planted=_expiry_is_included,
    ),
    Defect(
        name="lapsed_sessions_are_not_renewed",
        title="A session that has expired is not renewed, although it still names the caller",
        where="provider",
        caught_by="30.1",
        rows=("30.1",),
        scenario="forward_clock_jump",
        needs="a fault: the store's clock jumps forward",
        planted=_lapsed_sessions_are_not_renewed,
    ),
    Defect(
        name="own_lapsed_sessions_are_served",
        title="An owned-only fetch gets items of a session that has expired in the caller's name",
        where="provider",
        caught_by="30.13",
        rows=("24.3", "30.13"),
        scenario="claim_by_same_worker_after_expiry",
        needs="an owned-only fetch after the expiry",
        planted=_own_lapsed_sessions_are_served,
    ),
    Defect(
        name="late_results_are_stored",
        title="A result is stored although the lock of its item has run out",
        where="provider",
        caught_by="21.15",
        rows=("21.15",),
        scenario="ack_after_item_lock_expiry_rejected",
        needs="an item lock that runs out",
        planted=_late_results_are_stored,
    ),
    Defect(
        name="results_need_the_session",
        title="A result is refused because the session has moved, although its item lock is valid",
        where="provider",
        caught_by="21.8",
        rows=("21.8",),
        scenario="completion_accepted_after_session_loss",
        needs="two workers and a session that moves",
        planted=_results_need_the_session,
    ),
    Defect(
        name="second_results_are_welcome",
        title="The acknowledgement of an item that is gone succeeds as if it were the first",
        where="provider",
        caught_by="30.10",
        rows=("15.4", "21.11", "30.10"),
        scenario="repeated_calls_change_nothing_more",
        needs="a repeated call",
        planted=_second_results_are_welcome,
    ),
    Defect(
        name="redelivery_is_free",
        title="An item that is delivered again after its lock has run out keeps its attempt number",
        where="provider",
        caught_by="INV-09",
        rows=("5.3", "21.15", "25.9", "30.5", "30.8"),
        scenario="lost_fetch_response",
        needs="an item lock that runs out",
        planted=_redelivery_is_free,
    ),
    Defect(
        name="held_items_are_never_free",
        title="An item whose lock has run out waits for its holder to give it back",
        where="provider",
        caught_by="INV-06",
        rows=("30.5", "30.6", "30.14"),
        scenario="lost_fetch_response",
        needs="a fault: a crash, or an answer that is lost",
        planted=_held_items_are_never_free,
    ),
)
