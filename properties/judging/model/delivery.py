"""Moves of the worker queue: what is delivered, and what holders may do (SS-13, SS-25, PV-10, PV-11)."""

from __future__ import annotations

from holdfast.properties.judging.model.move import Move, RuleSubject, refused
from holdfast.properties.judging.model.operations import (
    Call,
    Enqueue,
    Fetch,
    Finish,
    GiveBack,
    ItemDelivered,
    Mode,
    RenewItem,
    Succeeded,
)
from holdfast.properties.judging.model.sessions import extended, not_owned
from holdfast.properties.judging.model.state import (
    UNHEARD,
    KnownItem,
    KnownRow,
    RowKey,
    StoreState,
    Work,
    deadline,
    held_by,
    is_held,
    is_live,
    key_of,
    with_item,
    with_queue,
)


def new_item(work: Work, now: int) -> KnownItem:
    """Unlocked, never tried, visible now, the session in its own column (PV-8.9, PV-10.1)."""
    return KnownItem(None, work, work.session_id, None, None, now, 0, None)


def enqueue(state: StoreState, operation: Enqueue, call: Call) -> Move:
    """One item, behind all others."""
    queue = (*state.queue, new_item(operation.work, state.now))
    return Move(with_queue(state, queue), None, "PV-10.1", ((None, "PV-10.1"),))


# --- fetching -------------------------------------------------------------------------------------------


def admits(row: KnownRow | None, worker: str, mode: Mode, now: int) -> bool:
    """Whether items of a session with this row are considered: the right column of section 13's table."""
    if mode == "plain":
        return False
    if row is not None and is_live(row, now):
        return row.worker_id == worker
    return mode == "full"


def is_ready(item: KnownItem, operation: Fetch, now: int) -> bool:
    """Visible, not held, decodable, of a matching tag: the conditions on the item alone."""
    return (
        item.visible_from <= now
        and (item.locked_until is None or item.locked_until <= now)
        and item.work is not None
        and operation.filter.matches(item.work.tag)
    )


def first_eligible(
    state: StoreState, operation: Fetch, passed: list[tuple[RuleSubject, str]]
) -> KnownItem | None:
    """The eligible item of the smallest rank (SS-13.1); `passed` takes in the sessions passed over."""
    now = state.now
    for item in state.queue:
        if not is_ready(item, operation, now):
            continue
        key = key_of(item)
        if key is None:
            return item
        row = state.sessions.get(key)
        if admits(row, operation.worker, operation.mode, now):
            return item
        live = row is not None and is_live(row, now)
        passed.append((key, "SS-25.7" if live and operation.mode != "plain" else "SS-25.22"))
    return None


def fetch(state: StoreState, operation: Fetch, call: Call) -> Move:
    """Deliver the first eligible item, and with it its session, or nothing."""
    rules: list[tuple[RuleSubject, str]] = []
    item = first_eligible(state, operation, rules)
    if item is None:
        return Move(state, None, "SS-13.1", tuple(rules))
    assert item.work is not None, "what cannot be decoded is never eligible"
    key = key_of(item)
    answer = call.answer
    token = answer.found.token if type(answer) is Succeeded and answer.found is not None else UNHEARD
    attempt = item.attempt_count + 1
    locked = KnownItem(
        item.seq,
        item.work,
        item.session_id,
        token,
        deadline(state.now, operation.lock_timeout),
        item.visible_from,
        attempt,
        None if key is None else operation.worker,
    )
    at = state.queue.index(item)
    queue = (*state.queue[:at], locked, *state.queue[at + 1 :])
    sessions = state.sessions
    if key is not None:
        row, rule = attached(sessions.get(key), key, operation, state.now)
        sessions = {**sessions, key: row}
        rules.append((key, rule))
    after = StoreState(state.now, sessions, queue, state.instance_locks, state.instances)
    return Move(after, None, "PV-10.4", tuple(rules), ItemDelivered(item.work, token, attempt))


def attached(row: KnownRow | None, key: RowKey, operation: Fetch, now: int) -> tuple[KnownRow, str]:
    """The row after a delivery to this worker, and the transition (SS-25.3 to SS-25.6, SS-25.21)."""
    worker = operation.worker
    until = deadline(now, operation.duration)
    if row is None:
        return KnownRow(key[0], key[1], worker, until), "SS-25.21"
    if row.worker_id is None:
        return KnownRow(key[0], key[1], worker, until), "SS-25.3"
    if row.worker_id != worker:
        return KnownRow(key[0], key[1], worker, until), "SS-25.4"
    return extended(row, until), "SS-25.6" if is_live(row, now) else "SS-25.5"


# --- holding --------------------------------------------------------------------------------------------


def _about(item: KnownItem) -> RuleSubject:
    return key_of(item)


def finish(state: StoreState, operation: Finish, call: Call) -> Move:
    """Under a live lock the item goes; the session row stays as it is (SS-12.13, SS-12.15)."""
    item = held_by(state, operation.token)
    if item is None or not is_held(item, state.now):
        return refused(state, "SS-12.13", None)
    return Move(with_item(state, item, None), None, "PV-11.1", ((_about(item), "SS-25.22"),))


def give_back(state: StoreState, operation: GiveBack, call: Call) -> Move:
    """The item is free at its old rank after the delay; the session row stays (SS-12.14, PV-11.9)."""
    item = held_by(state, operation.token)
    if item is None:
        return refused(state, "PV-11.11", None)
    attempts = item.attempt_count if operation.charged else max(item.attempt_count - 1, 0)
    visible_from = deadline(state.now, operation.delay)
    free = KnownItem(item.seq, item.work, item.session_id, None, None, visible_from, attempts, None)
    return Move(with_item(state, item, free), None, "PV-11.9", ((_about(item), "SS-25.22"),))


def renew_item(state: StoreState, operation: RenewItem, call: Call) -> Move:
    """Extend a live item lock, and with it the session of its holder, or neither (SS-25.11, SS-25.12)."""
    item = held_by(state, operation.token)
    key = None if item is None else key_of(item)
    if item is None or not is_held(item, state.now):
        return refused(state, "PV-11.7" if key is None else "SS-25.12", key)
    until = deadline(state.now, operation.extend_for)
    renewed = KnownItem(
        item.seq,
        item.work,
        item.session_id,
        item.token,
        until,
        item.visible_from,
        item.attempt_count,
        item.claimed_by,
    )
    after = with_item(state, item, renewed)
    if key is None:
        return Move(after, None, "PV-11.7", ((None, "PV-11.7"),))
    row = state.sessions.get(key)
    if row is None or row.worker_id is None or row.worker_id != item.claimed_by:
        return refused(state, "SS-25.12", key, not_owned(key, item.claimed_by or "nobody"))
    session = extended(row, deadline(state.now, operation.extend_session_for))
    both = StoreState(
        state.now, {**state.sessions, key: session}, after.queue, state.instance_locks, state.instances
    )
    return Move(both, None, "SS-25.11", ((key, "SS-25.11"),))
