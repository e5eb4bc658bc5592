"""Defects of deliveries, in the memory and in the SQLite provider: what goes out, and what moves with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Final

from holdfast.core.contract.ids import LockToken, Millis
from holdfast.core.contract.observe import Observer
from holdfast.core.contract.provider import FetchedWork, TagFilter
from holdfast.core.contract.work_items import (
    ActivityCompletedMessage,
    ActivityExecute,
    ActivityFailedMessage,
    Message,
)
from holdfast.core.working.activity_run import ActivityRunner
from holdfast.core.working.attempt import Attempt
from holdfast.properties.defects.defect import Change, Defect, Planting, original, replaced, statement
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

NewToken = Callable[[], LockToken]
CANDIDATES: Final = 100


def _plain_fetches_take_anything() -> Planting:
    """A fetch without worker name delivers session items, too, and attaches nothing."""
    fetch = original(memory_work, "fetch")

    def fetch_anything(
        tables: Tables, now: Millis, query: WorkQuery, new_token: NewToken, observer: Observer | None
    ) -> FetchedWork | None:
        rows = list(tables.work.by_seq.values())
        bound_to = [row.session_id for row in rows]
        if query.claimant is None:
            for row in rows:
                row.session_id = None
        found: FetchedWork | None = fetch(tables, now, query, new_token, observer)
        for row, session_id in zip(rows, bound_to, strict=True):
            row.session_id = session_id
        return found

    return replaced(
        Change(memory_work, "fetch", fetch_anything),
        statement(sqlite_work, "take_plain_work", "AND w.session_id IS NULL", ""),
    )


def _fetching_from(choose: Callable[[list[WorkRow], Millis], list[WorkRow]]) -> Change:
    """A fetch of the memory provider that looks at these rows only, in this order."""
    fetch = original(memory_work, "fetch")

    def fetch_chosen(
        tables: Tables, now: Millis, query: WorkQuery, new_token: NewToken, observer: Observer | None
    ) -> FetchedWork | None:
        kept = tables.work.by_seq
        tables.work.by_seq = {row.seq: row for row in choose(list(kept.values()), now)}
        try:
            found: FetchedWork | None = fetch(tables, now, query, new_token, observer)
        finally:
            tables.work.by_seq = kept
        return found

    return Change(memory_work, "fetch", fetch_chosen)


def _sessions_go_first() -> Planting:
    """Session items are served before plain ones."""
    return replaced(
        _fetching_from(lambda rows, now: sorted(rows, key=lambda row: (row.session_id is None, row.seq))),
        statement(sqlite_work, "take_work", "ORDER BY w.id", "ORDER BY w.session_id IS NULL, w.id"),
    )


def _candidates_come_in_a_window() -> Planting:
    """A fetch reads the first hundred free items and looks among them for one it may have."""

    def first(rows: list[WorkRow], now: Millis) -> list[WorkRow]:
        return [row for row in rows if row.visible_from <= now and row.locked_until <= now][:CANDIDATES]

    free = "visible_at <= :now AND (locked_until IS NULL OR locked_until <= :now)"
    window = f"(SELECT * FROM worker_queue WHERE {free} ORDER BY id LIMIT {CANDIDATES}) AS w"
    return replaced(
        _fetching_from(first),
        statement(
            sqlite_work,
            "take_work",
            "SELECT w.id FROM worker_queue AS w",
            f"SELECT w.id FROM {window}",
        ),
    )


def _claims_last_as_long_as_the_item() -> Planting:
    """The item-lock timeout is passed on as the duration of the session."""
    in_memory, in_sqlite = original(memory_work, "fetch"), original(sqlite_work, "fetch_with_session")

    def fetch_in_memory(
        tables: Tables, now: Millis, query: WorkQuery, new_token: NewToken, observer: Observer | None
    ) -> FetchedWork | None:
        if query.claimant is not None:
            claimant = query.claimant._replace(session_lock_duration=query.lock_timeout)
            query = replace(query, claimant=claimant)
        found: FetchedWork | None = in_memory(tables, now, query, new_token, observer)
        return found

    def fetch_in_sqlite(
        transaction: Transaction, lock_timeout: Millis, tags: TagFilter, **others: Any
    ) -> FetchedWork | None:
        others["session_lock_duration"] = lock_timeout
        found: FetchedWork | None = in_sqlite(transaction, lock_timeout, tags, **others)
        return found

    return replaced(
        Change(memory_work, "fetch", fetch_in_memory),
        Change(sqlite_work, "fetch_with_session", fetch_in_sqlite),
    )


def _owners_are_not_extended() -> Planting:
    """A fetch for a session that is the worker's already leaves its expiry as it is."""
    attach = original(memory_affinity, "attach")

    def attach_once(
        tables: Tables,
        now: Millis,
        instance: str,
        session_id: str,
        claimant: Claimant,
        observer: Observer | None,
    ) -> None:
        row = tables.session(instance, session_id)
        if row is None or row.worker_id != claimant.worker_id or not row.is_live(now):
            attach(tables, now, instance, session_id, claimant, observer)

    return replaced(
        Change(memory_affinity, "attach", attach_once),
        statement(
            sqlite_work,
            "attach_session",
            "THEN max(locked_until, excluded.locked_until)",
            "THEN locked_until",
        ),
    )


def _given_back_means_enqueued_again() -> Planting:
    """An item given back gets a new number, behind all others."""
    in_memory = original(memory_work, "abandon")

    def abandon_in_memory(
        tables: Tables, now: Millis, token: LockToken, delay: Millis, ignore_attempt: bool
    ) -> None:
        row = tables.work.by_token.get(token)
        in_memory(tables, now, token, delay, ignore_attempt)
        assert row is not None, "a token that names no row is refused"
        for rows in (tables.work.by_seq, tables.work._of_instance[row.identity.instance]):
            del rows[row.seq]
            rows[tables.work._last_seq + 1] = row
        tables.work._last_seq += 1
        row.seq = tables.work._last_seq

    number = "(SELECT max(id) + 1 FROM worker_queue)"
    return replaced(
        Change(memory_work, "abandon", abandon_in_memory),
        statement(
            sqlite_work, "give_work_back", "SET lock_token = NULL", f"SET id = {number}, lock_token = NULL"
        ),
    )


def _turns_enqueue_sessions_first() -> Planting:
    """The worker items of a turn are enqueued session by session, plain ones last."""
    in_memory = original(memory_acknowledgement, "_enqueue")

    def by_session(items: Sequence[ActivityExecute]) -> list[ActivityExecute]:
        return sorted(items, key=lambda item: (item.session_id is None, item.session_id or ""))

    def enqueue_in_memory(tables: Tables, now: Millis, instance: str, turn: Conclusions) -> None:
        in_memory(tables, now, instance, replace(turn, worker_items=by_session(turn.worker_items)))

    def put_in_sqlite(transaction: Transaction, items: Sequence[ActivityExecute]) -> None:
        sqlite_work.put(transaction, by_session(items))

    return replaced(
        Change(memory_acknowledgement, "_enqueue", enqueue_in_memory),
        Change(sqlite_acknowledgement, "work", SimpleNamespace(put=put_in_sqlite)),
    )


def _finished_items_free_their_session() -> Planting:
    """The acknowledgement of an item releases its session, so that others may have the next."""
    in_memory, in_sqlite = original(memory_work, "acknowledge"), original(sqlite_work, "acknowledge")

    def acknowledge_in_memory(
        tables: Tables,
        now: Millis,
        token: LockToken,
        completion: ActivityCompletedMessage | ActivityFailedMessage | None,
    ) -> None:
        row = tables.work.by_token.get(token)
        key = (row.identity.instance, row.session_id, row.claimed_by) if row is not None else None
        in_memory(tables, now, token, completion)
        if key is not None and key[1] is not None and key[2] is not None:
            memory_affinity.release(tables, now, key[0], key[1], key[2])

    def acknowledge_in_sqlite(transaction: Transaction, token: LockToken, completion: Message | None) -> None:
        row = transaction.one(sqlite_work.SQL["work_of_token"], {"token": token})
        in_sqlite(transaction, token, completion)
        if row is not None and row[3] is not None:
            sqlite_work.release_session(transaction, row[2], row[3], row[4])

    return replaced(
        Change(memory_work, "acknowledge", acknowledge_in_memory),
        Change(sqlite_work, "acknowledge", acknowledge_in_sqlite),
    )


def _sessions_run_one_at_a_time() -> Planting:
    """A worker runs the activities of a session one after the other, in order of delivery."""
    run = original(ActivityRunner, "run")

    async def run_in_turn(runner: ActivityRunner, attempt: Attempt) -> None:
        if attempt.session is None:
            await run(runner, attempt)
            return
        locks: dict[Any, asyncio.Lock] = vars(runner).setdefault("_one_at_a_time", {})
        async with locks.setdefault(attempt.session, asyncio.Lock()):
            await run(runner, attempt)

    return replaced(Change(ActivityRunner, "run", run_in_turn))


DEFECTS: Final = (
    Defect(
        name="plain_fetches_take_anything",
        title="A plain fetch does not ask whether an item is bound to a session",
        where="provider",
        caught_by="19.1",
        rows=("12.1", "14.1", "19.1", "24.8", "31.11"),
        scenario="plain_fetch_only_non_session",
        needs="nothing",
        planted=_plain_fetches_take_anything,
    ),
    Defect(
        name="sessions_go_first",
        title="Session items are delivered before plain ones that have waited longer",
        where="provider",
        caught_by="19.6",
        rows=("14.2", "19.2", "19.6", "19.8", "25.5"),
        scenario="session_fifo_no_starvation",
        needs="nothing",
        planted=_sessions_go_first,
    ),
    Defect(
        name="candidates_come_in_a_window",
        title="A fetch looks among the first hundred free items for one that it may have",
        where="provider",
        caught_by="25.4",
        rows=("25.4",),
        scenario="no_candidate_window",
        needs="more than a hundred items of sessions of others",
        planted=_candidates_come_in_a_window,
    ),
    Defect(
        name="claims_last_as_long_as_the_item",
        title="A fetch locks the session for the item-lock timeout",
        where="provider",
        caught_by="19.10",
        rows=("14.3", "15.8", "19.3", "19.5", "19.7", "19.10", "27.3", "31.1"),
        scenario="claim_uses_given_session_duration",
        needs="nothing",
        planted=_claims_last_as_long_as_the_item,
    ),
    Defect(
        name="owners_are_not_extended",
        title="A fetch for a session that the worker owns does not extend it",
        where="provider",
        caught_by="19.7",
        rows=("19.5", "19.7", "27.8", "31.12"),
        scenario="session_lock_extended_on_fetch",
        needs="nothing",
        planted=_owners_are_not_extended,
    ),
    Defect(
        name="given_back_means_enqueued_again",
        title="An item given back goes to the end of the queue",
        where="provider",
        caught_by="25.2",
        rows=("25.1", "25.2", "25.3", "31.5"),
        scenario="redelivery_keeps_rank",
        needs="nothing",
        planted=_given_back_means_enqueued_again,
        elsewhere="unstoppable_handler_leaves_session_to_expire",
    ),
    Defect(
        name="turns_enqueue_sessions_first",
        title="The items of a turn are enqueued session by session, not as they were scheduled",
        where="provider",
        caught_by="25.5",
        rows=("19.2", "19.6", "19.8", "25.5", "31.4"),
        scenario="ack_enqueue_order",
        needs="nothing",
        planted=_turns_enqueue_sessions_first,
    ),
    Defect(
        name="finished_items_free_their_session",
        title="The acknowledgement of an item releases the session that it is bound to",
        where="provider",
        caught_by="25.8",
        rows=("2.2", "3.1", "3.5", "4.2", "4.5", "7.1", "13.2", "15.8", "25.8", "31.13"),
        scenario="item_ops_do_not_touch_row",
        needs="nothing",
        planted=_finished_items_free_their_session,
    ),
    Defect(
        name="sessions_run_one_at_a_time",
        title="A worker runs one activity of a session at a time",
        where="worker",
        caught_by="25.6",
        rows=("15.2", "15.9", "24.5", "25.6"),
        scenario="delivery_order_only",
        needs="two slots",
        planted=_sessions_run_one_at_a_time,
    ),
)
