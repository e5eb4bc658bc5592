"""Defects of deliveries, in the memory and in the SQLite provider: what goes out, and what moves with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Final

from holdfast.core.contract.ids import LockToken, Millis
from holdfast.core.contract.provider import TagFilter
from holdfast.core.contract.work_items import (
    ActivityExecute,
    Message,
)
from holdfast.core.working.activity_run import ActivityRunner
from holdfast.core.working.attempt import Attempt
from holdfast.properties.defects.defect import Change, Changes, Original, around, defect, statements
from holdfast.providers.arguments import Conclusions
from holdfast.providers.memory import acknowledgement as memory_acknowledgement
from holdfast.providers.memory import affinity as memory_affinity
from holdfast.providers.memory import work as memory_work
from holdfast.providers.memory.affinity import Claimant
from holdfast.providers.memory.tables import Tables, WorkRow
from holdfast.providers.memory.work import WorkQuery
from holdfast.providers.sqlite import acknowledgement as sqlite_acknowledgement
from holdfast.providers.sqlite import work as sqlite_work
from holdfast.providers.sqlite.database import Transaction

CANDIDATES: Final = 100


@defect("provider", "12.1 14.1 19.1 24.8 31.11", "plain_fetch_only_non_session", caught_by="19.1")
def plain_fetches_take_anything() -> Changes:
    """A plain fetch does not ask whether an item is bound to a session."""

    def fetch_anything(
        fetch: Original, tables: Tables, now: Millis, query: WorkQuery, *rest: object
    ) -> object:
        rows = list(tables.work.by_seq.values())
        bound_to = [row.session_id for row in rows]
        if query.claimant is None:
            for row in rows:
                row.session_id = None
        found = fetch(tables, now, query, *rest)
        for row, session_id in zip(rows, bound_to, strict=True):
            row.session_id = session_id
        return found

    yield around(memory_work, "fetch", fetch_anything)
    yield statements(sqlite_work, ("take_plain_work", "AND w.session_id IS NULL", ""))


def _fetching_from(choose: Callable[[list[WorkRow], Millis], list[WorkRow]]) -> Change:
    """A fetch of the memory provider that looks at these rows only, in this order."""

    def fetch_chosen(fetch: Original, tables: Tables, now: Millis, *rest: object) -> object:
        kept = tables.work.by_seq
        tables.work.by_seq = {row.seq: row for row in choose(list(kept.values()), now)}
        try:
            return fetch(tables, now, *rest)
        finally:
            tables.work.by_seq = kept

    return around(memory_work, "fetch", fetch_chosen)


@defect("provider", "14.2 19.2 19.6 19.8 25.5", "session_fifo_no_starvation", caught_by="19.6")
def sessions_go_first() -> Changes:
    """Session items are delivered before plain ones that have waited longer."""
    yield _fetching_from(lambda rows, now: sorted(rows, key=lambda row: (row.session_id is None, row.seq)))
    yield statements(sqlite_work, ("take_work", "ORDER BY w.id", "ORDER BY w.session_id IS NULL, w.id"))


@defect("provider", "25.4", "no_candidate_window", needs="more than a hundred items of sessions of others")
def candidates_come_in_a_window() -> Changes:
    """A fetch looks among the first hundred free items for one that it may have."""

    def first(rows: list[WorkRow], now: Millis) -> list[WorkRow]:
        return [row for row in rows if row.visible_from <= now and row.locked_until <= now][:CANDIDATES]

    free = "visible_at <= :now AND (locked_until IS NULL OR locked_until <= :now)"
    window = f"(SELECT * FROM worker_queue WHERE {free} ORDER BY id LIMIT {CANDIDATES}) AS w"
    yield _fetching_from(first)
    yield statements(
        sqlite_work, ("take_work", "SELECT w.id FROM worker_queue AS w", f"SELECT w.id FROM {window}")
    )


@defect(
    "provider",
    "14.3 15.8 19.3 19.5 19.7 19.10 27.3 31.1",
    "claim_uses_given_session_duration",
    caught_by="19.10",
)
def claims_last_as_long_as_the_item() -> Changes:
    """A fetch locks the session for the item-lock timeout."""

    def in_memory(fetch: Original, tables: Tables, now: Millis, query: WorkQuery, *rest: object) -> object:
        if query.claimant is not None:
            claimant = query.claimant._replace(session_lock_duration=query.lock_timeout)
            query = replace(query, claimant=claimant)
        return fetch(tables, now, query, *rest)

    def in_sqlite(
        fetch: Original, transaction: Transaction, lock: Millis, tags: TagFilter, **rest: object
    ) -> object:
        return fetch(transaction, lock, tags, **{**rest, "session_lock_duration": lock})

    yield around(memory_work, "fetch", in_memory)
    yield around(sqlite_work, "fetch_with_session", in_sqlite)


@defect("provider", "19.5 19.7 27.8 31.12", "session_lock_extended_on_fetch", caught_by="19.7")
def owners_are_not_extended() -> Changes:
    """A fetch for a session that the worker owns does not extend it."""

    def attach_once(
        attach: Original,
        tables: Tables,
        now: Millis,
        instance: str,
        session_id: str,
        claimant: Claimant,
        observer: object,
    ) -> None:
        row = tables.session(instance, session_id)
        if row is None or row.worker_id != claimant.worker_id or not row.is_live(now):
            attach(tables, now, instance, session_id, claimant, observer)

    yield around(memory_affinity, "attach", attach_once)
    yield statements(
        sqlite_work, ("attach_session", "THEN max(locked_until, excluded.locked_until)", "THEN locked_until")
    )


@defect(
    "provider",
    "25.1 25.2 25.3 31.5",
    "redelivery_keeps_rank",
    caught_by="25.2",
    elsewhere="unstoppable_handler_leaves_session_to_expire",
)
def given_back_means_enqueued_again() -> Changes:
    """An item given back goes to the end of the queue."""

    def in_memory(abandon: Original, tables: Tables, now: Millis, token: LockToken, *how: object) -> None:
        row = tables.work.by_token.get(token)
        abandon(tables, now, token, *how)
        assert row is not None, "a token that names no row is refused"
        for rows in (tables.work.by_seq, tables.work._of_instance[row.identity.instance]):
            del rows[row.seq]
            rows[tables.work._last_seq + 1] = row
        tables.work._last_seq += 1
        row.seq = tables.work._last_seq

    number = "(SELECT max(id) + 1 FROM worker_queue)"
    yield around(memory_work, "abandon", in_memory)
    yield statements(
        sqlite_work, ("give_work_back", "SET lock_token = NULL", f"SET id = {number}, lock_token = NULL")
    )


@defect("provider", "19.2 19.6 19.8 25.5 31.4", "ack_enqueue_order", caught_by="25.5")
def turns_enqueue_sessions_first() -> Changes:
    """The items of a turn are enqueued session by session, not as they were scheduled."""

    def by_session(items: Sequence[ActivityExecute]) -> list[ActivityExecute]:
        return sorted(items, key=lambda item: (item.session_id is None, item.session_id or ""))

    def in_memory(
        enqueue: Original, tables: Tables, now: Millis, instance: str, conclusions: Conclusions
    ) -> None:
        enqueue(
            tables, now, instance, replace(conclusions, worker_items=by_session(conclusions.worker_items))
        )

    def put_in_sqlite(transaction: Transaction, items: Sequence[ActivityExecute]) -> None:
        sqlite_work.put(transaction, by_session(items))

    yield around(memory_acknowledgement, "_enqueue", in_memory)
    yield Change(sqlite_acknowledgement, "work", SimpleNamespace(put=put_in_sqlite))


@defect(
    "provider", "2.2 3.1 3.5 4.2 4.5 7.1 13.2 15.8 25.8 31.13", "item_ops_do_not_touch_row", caught_by="25.8"
)
def finished_items_free_their_session() -> Changes:
    """The acknowledgement of an item releases the session that it is bound to."""

    def in_memory(
        acknowledge: Original, tables: Tables, now: Millis, token: LockToken, completion: Message | None
    ) -> None:
        row = tables.work.by_token.get(token)
        key = (row.identity.instance, row.session_id, row.claimed_by) if row is not None else None
        acknowledge(tables, now, token, completion)
        if key is not None and key[1] is not None and key[2] is not None:
            memory_affinity.release(tables, now, key[0], key[1], key[2])

    def in_sqlite(
        acknowledge: Original, transaction: Transaction, token: LockToken, completion: Message | None
    ) -> None:
        row = transaction.one(sqlite_work.SQL["work_of_token"], {"token": token})
        acknowledge(transaction, token, completion)
        if row is not None and row[3] is not None:
            sqlite_work.release_session(transaction, row[2], row[3], row[4])

    yield around(memory_work, "acknowledge", in_memory)
    yield around(sqlite_work, "acknowledge", in_sqlite)


@defect("worker", "15.2 15.9 24.5 25.6", "delivery_order_only", caught_by="25.6", needs="two slots")
def sessions_run_one_at_a_time() -> Changes:
    """A worker runs one activity of a session at a time."""

    async def run_in_turn(run: Original, runner: ActivityRunner, attempt: Attempt) -> None:
        if attempt.session is None:
            await run(runner, attempt)
            return
        locks: dict[object, asyncio.Lock] = vars(runner).setdefault("_one_at_a_time", {})
        async with locks.setdefault(attempt.session, asyncio.Lock()):
            await run(runner, attempt)

    yield around(ActivityRunner, "run", run_in_turn)
