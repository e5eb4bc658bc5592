"""Moves of a turn: its lock, its acknowledgement; and deletion (SS-12.10, SS-25, PV-7, PV-8, PV-20)."""

from __future__ import annotations

from collections.abc import Mapping

from holdfast.properties.judging.model.delivery import new_item
from holdfast.properties.judging.model.move import Move, RuleSubject, refused
from holdfast.properties.judging.model.operations import (
    Acknowledge,
    Call,
    Delete,
    DeleteFinished,
    FetchTurn,
    GiveBackTurn,
    RenewTurn,
    Succeeded,
    TurnDelivered,
)
from holdfast.properties.judging.model.state import (
    UNHEARD,
    KnownInstance,
    KnownItem,
    KnownLock,
    KnownRow,
    RowKey,
    StoreState,
    deadline,
    key_of,
    with_locks,
    with_queue,
)

ENDS = ("Completed", "Failed")
"""The terminal statuses (PV-25.6)."""


# --- the lock of an instance ----------------------------------------------------------------------------


def fetch_turn(state: StoreState, operation: FetchTurn, call: Call) -> Move:
    """Lock an instance that nobody holds (PV-7.6). Which one, the model does not know: it keeps no messages.

    Unheard, it may have superseded any lock that has run out.
    """
    until = deadline(state.now, operation.lock_timeout)
    answer = call.answer
    if type(answer) is Succeeded:
        found = answer.found
        if type(found) is not TurnDelivered:
            return Move(state, None, "PV-7.4")
        held = state.instance_locks.get(found.instance)
        if held is not None and held.locked_until > state.now:
            return refused(state, "PV-7.6", None)
        locks = {**state.instance_locks, found.instance: KnownLock(found.token, until)}
        return Move(with_locks(state, locks), None, "PV-7.6", ((None, "PV-7.6"),), found)
    others = tuple(
        with_locks(state, {**state.instance_locks, instance: KnownLock(UNHEARD, until)})
        for instance, turn in state.instance_locks.items()
        if turn.locked_until <= state.now
    )
    return Move(state, None, "PV-7.6", ((None, "PV-7.6"),), None, others)


def _instance_of(state: StoreState, token: str) -> str | None:
    for instance, turn in state.instance_locks.items():
        if turn.token == token:
            return instance
    return None


def _held_instance(state: StoreState, token: str) -> str | None:
    """The instance this token holds now."""
    instance = _instance_of(state, token)
    if instance is None or state.instance_locks[instance].locked_until <= state.now:
        return None
    return instance


def renew_turn(state: StoreState, operation: RenewTurn, call: Call) -> Move:
    """Extend a live instance lock (PV-9.7)."""
    instance = _held_instance(state, operation.token)
    if instance is None:
        return refused(state, "PV-9.7", None)
    turn = KnownLock(operation.token, deadline(state.now, operation.extend_for))
    return Move(
        with_locks(state, {**state.instance_locks, instance: turn}), None, "PV-9.7", ((None, "PV-9.7"),)
    )


def give_back_turn(state: StoreState, operation: GiveBackTurn, call: Call) -> Move:
    """Release an instance by its latest lock, held or expired (PV-9.1, PV-9.5)."""
    instance = _instance_of(state, operation.token)
    if instance is None:
        return refused(state, "PV-9.5", None)
    return Move(
        with_locks(state, _without(state.instance_locks, instance)), None, "PV-9.1", ((None, "PV-9.1"),)
    )


def _without(locks: Mapping[str, KnownLock], instance: str) -> dict[str, KnownLock]:
    return {name: turn for name, turn in locks.items() if name != instance}


# --- its acknowledgement --------------------------------------------------------------------------------


def acknowledge(state: StoreState, operation: Acknowledge, call: Call) -> Move:
    """Under a live lock: close, open, enqueue, cancel, release, all at once (SS-12.10, SS-12.12)."""
    instance = _held_instance(state, operation.token)
    if instance is None:
        return refused(state, "SS-12.12", None)
    for named in (*operation.opened, *operation.closed):
        if named[0] != instance:
            return refused(state, "PV-25.9", None)
    ends = operation.status in ENDS
    rules: list[tuple[RuleSubject, str]] = []
    sessions = _settle(state, instance, operation, rules)
    closed = operation.closed
    opened = () if ends else operation.opened
    queue = state.queue
    if ends or closed:
        queue = tuple(item for item in queue if not _is_closed(key_of(item), instance, closed, ends))
    if operation.enqueued:
        queue += tuple(_admitted(operation, instance, state.now, closed, opened, ends))
    if operation.cancelled:
        queue = tuple(item for item in queue if _identity(item) not in operation.cancelled)
    locks = _without(state.instance_locks, instance)
    after = StoreState(state.now, sessions, queue, locks, _noted(state.instances, instance, operation))
    return Move(after, None, "SS-12.10", tuple(rules))


def _settle(
    state: StoreState, instance: str, operation: Acknowledge, rules: list[tuple[RuleSubject, str]]
) -> Mapping[RowKey, KnownRow]:
    """The session rows after the acknowledgement (SS-25.1, SS-25.2, SS-25.15 to SS-25.18)."""
    if operation.status in ENDS:
        keys = [key for key in state.sessions if key[0] == instance]
        rules += [(key, "SS-25.17") for key in (*keys, *operation.closed)]
        return (
            {key: row for key, row in state.sessions.items() if key[0] != instance}
            if keys
            else state.sessions
        )
    if operation.status == "ContinuedAsNew":
        named = (*operation.opened, *operation.closed)
        rules += [(key, "SS-25.18") for key in state.sessions if key[0] == instance and key not in named]
    if not operation.closed and not operation.opened:
        return state.sessions
    sessions = dict(state.sessions)
    for key in operation.closed:
        sessions.pop(key, None)
        if key not in operation.opened:
            rules.append((key, "SS-25.15"))
    for key in operation.opened:
        if key in operation.closed:
            rules.append((key, "SS-25.16"))
        else:
            rules.append((key, "SS-25.2" if key in sessions else "SS-25.1"))
        sessions.setdefault(key, KnownRow(key[0], key[1], None, None))
    return sessions


def _is_closed(key: RowKey | None, instance: str, closed: tuple[RowKey, ...], ends: bool) -> bool:
    """Whether items of this session go with the acknowledgement (SS-18.4, PV-25.3)."""
    return key is not None and (key in closed or (ends and key[0] == instance))


def _admitted(
    operation: Acknowledge,
    instance: str,
    now: int,
    closed: tuple[RowKey, ...],
    opened: tuple[RowKey, ...],
    ends: bool,
) -> list[KnownItem]:
    """The new items, except those of sessions it closes without opening them (PV-25.7)."""
    items = []
    for work in operation.enqueued:
        item = new_item(work, now)
        key = key_of(item)
        if key in opened or not _is_closed(key, instance, closed, ends):
            items.append(item)
    return items


def _identity(item: KnownItem) -> tuple[str, int, int] | None:
    work = item.work
    return None if work is None else (work.instance, work.execution_id, work.id)


def _noted(
    instances: Mapping[str, KnownInstance], instance: str, operation: Acknowledge
) -> Mapping[str, KnownInstance]:
    """What deletion will ask of the instance; the same object if nothing is new."""
    known = instances.get(instance)
    parent = operation.parent
    if parent is None and known is not None:
        parent = known.parent
    ended = operation.status in ENDS
    if operation.status is None and known is not None:
        ended = known.ended
    after = KnownInstance(parent, ended)
    return instances if after == known else {**instances, instance: after}


# --- deletion -------------------------------------------------------------------------------------------


def delete(state: StoreState, operation: Delete, call: Call) -> Move:
    """The instances go with all that is theirs (SS-25.17, PV-20.4); whether that is allowed is not judged."""
    gone = list(operation.instances)
    if operation.tree:
        for instance in gone:  # grows as descendants are found
            gone += [
                name
                for name, known in state.instances.items()
                if known.parent == instance and name not in gone
            ]
    rules = tuple((key, "SS-25.17") for key in state.sessions if key[0] in gone)
    return Move(_forgotten(state, gone), None, "PV-20.4", rules)


def delete_finished(state: StoreState, operation: DeleteFinished, call: Call) -> Move:
    """Any ended instance may have gone: for those with items left, both states stay possible."""
    left = dict.fromkeys(item.work.instance for item in state.queue if item.work is not None)
    allowed = [state]
    for name in left:
        known = state.instances.get(name)
        if known is not None and known.ended:
            allowed += [_forgotten(other, [name]) for other in allowed]
    return Move(state, None, "PV-21.1", (), None, tuple(allowed[1:]))


def _forgotten(state: StoreState, gone: list[str]) -> StoreState:
    after = with_queue(
        state, tuple(item for item in state.queue if item.work is None or item.work.instance not in gone)
    )
    return StoreState(
        after.now,
        {key: row for key, row in state.sessions.items() if key[0] not in gone},
        after.queue,
        {name: turn for name, turn in state.instance_locks.items() if name not in gone},
        {name: known for name, known in state.instances.items() if name not in gone},
    )
