"""Calls and states in few words. Times are milliseconds from 0; D, L as in the specification's examples."""

from __future__ import annotations

from typing import Any, NamedTuple

from holdfast.core.contract.provider import DEFAULT_ONLY
from holdfast.properties.judging.model.operations import (
    Acknowledge,
    Answer,
    Call,
    Delivered,
    Done,
    Fetch,
    Mode,
    Operation,
    Refused,
    TurnDelivered,
    Unheard,
)
from holdfast.properties.judging.model.refusal import Refusal
from holdfast.properties.judging.model.state import EMPTY, Instance, Item, Key, Row, State, Turn
from holdfast.properties.judging.model.step import Step, step

D, L = 60_000, 30_000
S: Key = ("i", "s")
T: Key = ("i", "t")
NO = Refused("no")
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


def row(worker: str | None = None, until: int | None = None, key: Key = S) -> Row:
    return Row(*key, worker, until)


def item(work: Activity, **fields: Any) -> Item:
    free = Item(None, work, work.session_id, None, None, 0, 0, None)
    return free._replace(**fields)


def held(work: Activity, by: str = "w", token: str = "k", until: int = L) -> Item:
    owner = None if work.session_id is None else by
    return item(work, token=token, locked_until=until, attempt_count=1, claimed_by=owner)


def state(*rows: Row, queue: tuple[Item, ...] = (), now: int = 0, **fields: Any) -> State:
    sessions = {(one.instance_id, one.session_id): one for one in rows}
    return EMPTY._replace(now=now, sessions=sessions, queue=queue, **fields)


def in_turn(made: State, token: str = "turn", until: int = 1 << 40) -> State:
    """The state with instance i locked."""
    return made._replace(turns={"i": Turn(token, until)}, instances={"i": Instance(None, False)})


def fetch(worker: str, mode: Mode = "full", duration: int = D, lock: int = L) -> Fetch:
    return Fetch(mode, DEFAULT_ONLY, lock, worker, duration)


def got(work: Activity, attempt: int = 1, token: str = "new") -> Done:
    return Done(Delivered(work, token, attempt))


NOTHING = Done(None)


def turn_got(instance: str = "i", token: str = "turn") -> Done:
    return Done(TurnDelivered(instance, token))


def ack(
    opened: tuple[Key, ...] = (),
    closed: tuple[Key, ...] = (),
    *,
    status: str | None = None,
    work: tuple[Activity, ...] = (),
    cancelled: tuple[tuple[str, int, int], ...] = (),
    token: str = "turn",
    excuse: bool = False,
) -> Acknowledge:
    return Acknowledge(token, status, None, opened, closed, work, cancelled, excuse)


def made(before: State, operation: Operation, answer: Answer = NOTHING, now: int | None = None) -> Step:
    """The step; it must be allowed."""
    found = step(before, Call(operation, answer, before.now if now is None else now))
    assert isinstance(found, Step), found
    return found


def after(before: State, operation: Operation, answer: Answer = NOTHING, now: int | None = None) -> State:
    """The only state allowed next."""
    (only,) = made(before, operation, answer, now).states
    return only


def refusal(before: State, operation: Operation, answer: Answer, now: int | None = None) -> Refusal:
    """The refusal; it must be one."""
    found = step(before, Call(operation, answer, before.now if now is None else now))
    assert isinstance(found, Refusal), found
    return found
