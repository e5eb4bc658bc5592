"""Calls and states in few words. Times are milliseconds from 0; D, L as in the specification's examples."""

from __future__ import annotations

from typing import Any, NamedTuple

from holdfast.core.contract.provider import DEFAULT_ONLY
from holdfast.properties.judging.model.operations import (
    Acknowledge,
    Call,
    Fetch,
    ItemDelivered,
    Mode,
    PermanentlyRefused,
    ProviderAnswer,
    ProviderOperation,
    Succeeded,
    TurnDelivered,
    Unheard,
)
from holdfast.properties.judging.model.refusal import Refusal
from holdfast.properties.judging.model.state import (
    EMPTY,
    KnownInstance,
    KnownItem,
    KnownLock,
    KnownRow,
    RowKey,
    StoreState,
)
from holdfast.properties.judging.model.step import Allowed, step

D, L = 60_000, 30_000
S: RowKey = ("i", "s")
T: RowKey = ("i", "t")
NO = PermanentlyRefused("no")
UNHEARD = Unheard()


class Activity(NamedTuple):
    """What the model looks at of an item."""

    instance: str
    execution_id: int
    id: int
    session_id: str | None
    tag: str | None = None


Q = Activity("i", 1, 2, "s")
Q2 = Activity("i", 1, 3, "s")
PLAIN = Activity("i", 1, 4, None)


def row(worker: str | None = None, until: int | None = None, key: RowKey = S) -> KnownRow:
    return KnownRow(*key, worker, until)


def item(work: Activity, **fields: Any) -> KnownItem:
    free = KnownItem(None, work, work.session_id, None, None, 0, 0, None)
    return free._replace(**fields)


def held(work: Activity, by: str = "w", token: str = "k", until: int = L) -> KnownItem:
    owner = None if work.session_id is None else by
    return item(work, token=token, locked_until=until, attempt_count=1, claimed_by=owner)


def state(*rows: KnownRow, queue: tuple[KnownItem, ...] = (), now: int = 0, **fields: Any) -> StoreState:
    sessions = {(one.instance_id, one.session_id): one for one in rows}
    return EMPTY._replace(now=now, sessions=sessions, queue=queue, **fields)


def in_turn(made: StoreState, token: str = "turn", until: int = 1 << 40) -> StoreState:
    """The state with instance i locked."""
    return made._replace(
        instance_locks={"i": KnownLock(token, until)}, instances={"i": KnownInstance(None, False)}
    )


def fetch(worker: str, mode: Mode = "full", duration: int = D, lock: int = L) -> Fetch:
    return Fetch(mode, DEFAULT_ONLY, lock, worker, duration)


def got(work: Activity, attempt: int = 1, token: str = "new") -> Succeeded:
    return Succeeded(ItemDelivered(work, token, attempt))


NOTHING = Succeeded(None)


def turn_got(instance: str = "i", token: str = "turn") -> Succeeded:
    return Succeeded(TurnDelivered(instance, token))


def ack(
    opened: tuple[RowKey, ...] = (),
    closed: tuple[RowKey, ...] = (),
    *,
    status: str | None = None,
    work: tuple[Activity, ...] = (),
    cancelled: tuple[tuple[str, int, int], ...] = (),
    token: str = "turn",
    excuse: bool = False,
) -> Acknowledge:
    return Acknowledge(token, status, None, opened, closed, work, cancelled, excuse)


def made(
    before: StoreState, operation: ProviderOperation, answer: ProviderAnswer = NOTHING, now: int | None = None
) -> Allowed:
    """The step; it must be allowed."""
    found = step(before, Call(operation, answer, before.now if now is None else now))
    assert isinstance(found, Allowed), found
    return found


def after(
    before: StoreState, operation: ProviderOperation, answer: ProviderAnswer = NOTHING, now: int | None = None
) -> StoreState:
    """The only state allowed next."""
    (only,) = made(before, operation, answer, now).states
    return only


def refusal(
    before: StoreState, operation: ProviderOperation, answer: ProviderAnswer, now: int | None = None
) -> Refusal:
    """The refusal; it must be one."""
    found = step(before, Call(operation, answer, before.now if now is None else now))
    assert isinstance(found, Refusal), found
    return found
