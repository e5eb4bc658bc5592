"""StoreState: all the model knows of a store, as values that are never changed.

The fields of `KnownRow` and `KnownItem` stand in the order in which the inspection hooks show theirs, so that
a model's row and a store's row are compared as the tuples they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from holdfast.core.contract.ids import INT63_MAX

RowKey = tuple[str, str]
"""Instance id and session id (SS-3.1)."""

UNHEARD = "?"
"""The token of a lock whose answer was lost: somebody's, but nobody can show it."""


class Work(Protocol):
    """An activity to run, as far as the model looks into it."""

    @property
    def instance(self) -> str: ...
    @property
    def execution_id(self) -> int: ...
    @property
    def id(self) -> int: ...
    @property
    def session_id(self) -> str | None: ...
    @property
    def tag(self) -> str | None: ...


class KnownRow(NamedTuple):
    """A session row. Unclaimed: both last fields None; live: now < locked_until; otherwise expired."""

    instance_id: str
    session_id: str
    worker_id: str | None
    locked_until: int | None


class KnownItem(NamedTuple):
    """An item of the worker queue. `seq` is the store's number, None until it has been seen.

    Its place in the queue is its rank; `work` is None if the store can no longer decode it (PV-14.9).
    """

    seq: int | None
    work: Work | None
    session_id: str | None
    token: str | None
    locked_until: int | None
    visible_from: int
    attempt_count: int
    claimed_by: str | None


class KnownLock(NamedTuple):
    """An instance lock (PV-2.6)."""

    token: str
    locked_until: int


class KnownInstance(NamedTuple):
    """What deletion asks of an instance: whose child it is, and whether it has ended."""

    parent: str | None
    ended: bool


class StoreState(NamedTuple):
    """One state the store may be in. `queue` is in order of rank; `instance_locks` are by instance."""

    now: int
    sessions: Mapping[RowKey, KnownRow]
    queue: tuple[KnownItem, ...]
    instance_locks: Mapping[str, KnownLock]
    instances: Mapping[str, KnownInstance]


EMPTY = StoreState(0, {}, (), {}, {})
"""A fresh store."""


def deadline(now: int, duration: int) -> int:
    """A sum beyond the largest number is clamped (PV-3.7)."""
    end = now + duration
    return end if end < INT63_MAX else INT63_MAX


def is_live(row: KnownRow, now: int) -> bool:
    """Whether the row names a worker whose time has not run out; at the expiry itself it has (PV-3.5)."""
    return row.locked_until is not None and now < row.locked_until


def is_held(item: KnownItem, now: int) -> bool:
    """Whether an item lock is live."""
    return item.locked_until is not None and now < item.locked_until


def key_of(item: KnownItem) -> RowKey | None:
    """The session an item is bound to."""
    if item.session_id is None or item.work is None:
        return None
    return (item.work.instance, item.session_id)


def with_row(state: StoreState, key: RowKey, row: KnownRow) -> StoreState:
    """The state with this session row."""
    return StoreState(
        state.now, {**state.sessions, key: row}, state.queue, state.instance_locks, state.instances
    )


def with_queue(state: StoreState, queue: tuple[KnownItem, ...]) -> StoreState:
    """The state with this queue."""
    return StoreState(state.now, state.sessions, queue, state.instance_locks, state.instances)


def with_item(state: StoreState, old: KnownItem, new: KnownItem | None) -> StoreState:
    """The state with one item exchanged at its rank, or removed."""
    at = state.queue.index(old)
    after = state.queue[at + 1 :]
    return with_queue(state, state.queue[:at] + (after if new is None else (new, *after)))


def with_locks(state: StoreState, locks: Mapping[str, KnownLock]) -> StoreState:
    """The state with these instance locks."""
    return StoreState(state.now, state.sessions, state.queue, locks, state.instances)


def held_by(state: StoreState, token: str) -> KnownItem | None:
    """The item this token was the last to lock, held or expired."""
    for item in state.queue:
        if item.token == token:
            return item
    return None
