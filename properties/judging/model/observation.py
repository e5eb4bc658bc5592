"""observe: a state against the rows that a store shows through its inspection hooks.

The store chooses the number of an item, and the token of a lock whose answer was lost: the model learns both
here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from holdfast.properties.judging.model.explanation import item_name
from holdfast.properties.judging.model.move import RuleSubject
from holdfast.properties.judging.model.refusal import Fields, Refusal
from holdfast.properties.judging.model.state import (
    UNHEARD,
    KnownItem,
    KnownRow,
    RowKey,
    StoreState,
    Work,
    with_queue,
)

StoredSession = tuple[str, str, str | None, int | None]
"""A session row as the store shows it: the tuple that a `KnownRow` is."""

StoredItem = tuple[int, Work | None, str | None, str | None, int | None, int, int, str | None]
"""A row of the worker queue: the tuple that a `KnownItem` is."""

StoredSessions = Mapping[RowKey, StoredSession]
StoredItems = Sequence[StoredItem]
"""By number."""


class RowDifference(NamedTuple):
    """Where a state and a store differ: a session row, a field of an item, or an item that is not in both."""

    key: RuleSubject
    field: str | None
    subject: str
    model: Fields
    store: Fields


def observe(state: StoreState, sessions: StoredSessions, items: StoredItems) -> StoreState | RowDifference:
    """The state, with what it has learned; or the first difference."""
    if state.sessions != sessions:
        return _other_session(state.sessions, sessions)
    if [*state.queue] == items:
        return state
    return _learned(state, items)


def _other_session(model: Mapping[RowKey, KnownRow], store: StoredSessions) -> RowDifference:
    for key in (*model, *store):
        if model.get(key) != store.get(key):
            break
    return RowDifference(key, None, f"session {key[0]}/{key[1]}", _row(model.get(key)), _row(store.get(key)))


def _row(row: StoredSession | None) -> Fields:
    return {} if row is None else {"worker_id": row[2], "locked_until": row[3]}


def _learned(state: StoreState, stored: StoredItems) -> StoreState | RowDifference:
    queue = []
    rank = 0
    for item in state.queue:
        if rank == len(stored) or not _is_that(item, stored[rank]):
            if (
                item.work is None
            ):  # set aside, and gone with its session or instance: whose it was is not known
                continue
            return _one_sided(state, stored, rank)
        seen = KnownItem(*stored[rank])
        known = item
        if item.seq is None:
            known = known._replace(seq=seen.seq)
        if item.token == UNHEARD and seen.token is not None:
            known = known._replace(token=seen.token)
        if seen.work is not None and known.work is not None and known != seen:
            return _other_item(known, seen)
        queue.append(known)
        rank += 1
    if rank < len(stored):
        return _one_sided(state, stored, rank)
    return with_queue(state, tuple(queue))


def _is_that(item: KnownItem, stored: StoredItem) -> bool:
    """Whether both are the same item: by number, or by content while the number is unknown."""
    seen = KnownItem(*stored)
    if item.seq is not None:
        return item.seq == seen.seq
    if item.work is None or seen.work is None:
        return True
    return (item.work.instance, item.work.execution_id, item.work.id) == (
        seen.work.instance,
        seen.work.execution_id,
        seen.work.id,
    )


def _one_sided(state: StoreState, stored: StoredItems, rank: int) -> RowDifference:
    """From this rank on the items differ: one is missing, left over, or out of place."""
    ours = state.queue[rank] if rank < len(state.queue) else None
    theirs = KnownItem(*stored[rank]) if rank < len(stored) else None
    same = ours is not None and theirs is not None and ours.work == theirs.work
    one = ours or theirs
    assert one is not None, "they differ at this rank"
    subject = "an item" if one.work is None else f"item {item_name(one.work)}"
    return RowDifference(None, "seq" if same else None, subject, _rank(ours), _rank(theirs))


def _rank(item: KnownItem | None) -> Fields:
    if item is None:
        return {}
    return {"next in the queue": "?" if item.work is None else item_name(item.work), "seq": item.seq}


def _other_item(model: KnownItem, store: KnownItem) -> RowDifference:
    field = next(name for name in KnownItem._fields if getattr(model, name) != getattr(store, name))
    assert model.work is not None, "items that cannot be decoded are not compared"
    return RowDifference(None, field, f"item {item_name(model.work)}", _fields(model), _fields(store))


def _fields(item: KnownItem) -> Fields:
    fields = {name: getattr(item, name) for name in KnownItem._fields if name != "work"}
    if item.work is not None:
        fields["work"] = item_name(item.work)
    return fields


_CLAUSES: Final = {
    "seq": "SS-13.2",
    "work": "PV-10.9",
    "session_id": "SS-10.4",
    "claimed_by": "SS-10.5",
}
"""The clauses that say what these fields of an item must be; for other fields the clause of the call does."""


def refusal(difference: RowDifference, rule: str, rules: Sequence[tuple[RuleSubject, str]]) -> Refusal:
    """The refusal of a call after which a state and the store differ."""
    if difference.key is not None:
        carried_out = (clause for key, clause in reversed(rules) if key == difference.key)
        clause = next(carried_out, "SS-25.22")
    else:
        clause = _CLAUSES.get(difference.field or "", rule)
    return Refusal(clause, difference.subject, difference.model, difference.store)
