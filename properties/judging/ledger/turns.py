"""What the ledger takes in of turns: fetched, acknowledged, given back; and of deletions."""

from __future__ import annotations

from holdfast.core.contract.provider import TERMINAL_STATUSES, FetchedTurn
from holdfast.properties.judging.ledger import facts
from holdfast.properties.judging.ledger.facts import Fact
from holdfast.properties.judging.ledger.instances import Delta, Instance
from holdfast.properties.judging.ledger.items import Item, ItemIdentity
from holdfast.properties.judging.ledger.state import FetchedBatch, LedgerState
from holdfast.properties.judging.ledger.work import Arguments
from holdfast.traces.record import Commit


def turn_fetched(state: LedgerState, commit: Commit, arguments: Arguments, ok: bool) -> Fact | None:
    turn = commit.result
    if not isinstance(turn, FetchedTurn):
        return None
    instance = state.instance(turn.item.instance)
    instance.lock_token = turn.token
    instance.lock_until = state.now + arguments["lock_timeout"]
    out = FetchedBatch(instance, tuple(turn.item.messages))
    state.turns[turn.token] = out
    state.turns_out.setdefault((commit.process, commit.boot, instance.id), []).append(out)
    return facts.TurnFetched(instance, turn, state.worker(commit.process, commit.boot))


def _is_over(state: LedgerState, commit: Commit, turn: FetchedBatch) -> None:
    """Whoever had the turn has disposed of it, with or without success."""
    out = state.turns_out.get((commit.process, commit.boot, turn.instance.id))
    if out is not None and turn in out:
        out.remove(turn)


def turn_given_back(state: LedgerState, commit: Commit, arguments: Arguments, ok: bool) -> None:
    turn = state.turns.get(arguments["token"])
    if turn is None:
        return
    _is_over(state, commit, turn)
    if ok and turn.instance.lock_token == arguments["token"]:
        turn.instance.lock_token = None


def turn_renewed(state: LedgerState, commit: Commit, arguments: Arguments, ok: bool) -> None:
    turn = state.turns.get(arguments["token"])
    if ok and turn is not None:
        turn.instance.lock_until = state.now + arguments["extend_for"]


def acked(state: LedgerState, commit: Commit, arguments: Arguments, ok: bool) -> Fact:
    token = arguments["token"]
    worker = state.worker(commit.process, commit.boot)
    turn = state.turns.get(token)
    if turn is not None:
        _is_over(state, commit, turn)
    if not ok:
        return facts.AckRejected(None if turn is None else turn.instance, arguments["metadata"], worker)
    events = arguments["history_delta"]
    if turn is None:  # a store that accepts this breaks INV-37; its effects are taken in all the same
        turn = FetchedBatch(state.instance(events[0].instance_id if events else ""), ())
    instance = turn.instance
    fenced = instance.lock_token == token and instance.lock_until > state.now
    instance.lock_token = None
    metadata = arguments["metadata"]
    open_before = tuple(instance.open.values())
    delta = Delta(instance, arguments["execution_id"], state.position)
    delta.read(events)
    if metadata.status is not None:
        instance.status = metadata.status
    terminal = metadata.status in TERMINAL_STATUSES
    if terminal:
        _end(state, instance)
    removed, enqueued = _exchange_items(state, instance, arguments, terminal)
    return facts.Acked(
        instance,
        delta,
        events,
        metadata,
        terminal,
        open_before,
        enqueued,
        removed,
        tuple(arguments["worker_items"]),
        turn.messages,
        fenced,
        worker,
    )


def _end(state: LedgerState, instance: Instance) -> None:
    instance.ended_at = state.position
    for incarnation in instance.open.values():
        incarnation.ended_at = state.position
    instance.open = {}


def _exchange_items(
    state: LedgerState, instance: Instance, arguments: Arguments, terminal: bool
) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    """What the acknowledgement takes out of the queue and puts in (SS-12.10, PV-8.12, PV-25.5)."""
    metadata = arguments["metadata"]
    closing = {(key[0], key[1]) for key in metadata.cancelled_sessions}
    opening = () if terminal else {(key[0], key[1]) for key in metadata.opened_sessions}
    removed = []
    if closing or terminal:
        for item in list(state.queue):
            if item.key is not None and (item.key in closing or (terminal and item.key[0] == instance.id)):
                removed.append(item)
    cancelled: dict[ItemIdentity, None] = dict.fromkeys(
        (named.instance, named.execution_id, named.activity_id) for named in arguments["cancelled_activities"]
    )
    for identity in cancelled:
        removed += [item for item in state.queue.of_identity(identity) if item not in removed]
    for item in removed:
        state.remove(item, "ack_orchestration_item")
    enqueued = []
    for work in arguments["worker_items"]:
        if (work.instance, work.execution_id, work.id) in cancelled:
            continue
        item = state.put(work, instance)
        if item.key is not None and (terminal or (item.key in closing and item.key not in opening)):
            state.unnumbered.remove(item)
            state.queue.remove(item, state.position, "ack_orchestration_item")
        else:
            enqueued.append(item)
    return tuple(removed), tuple(enqueued)


def deleted(state: LedgerState, commit: Commit, arguments: Arguments, ok: bool) -> Fact | None:
    if not ok:
        return None
    gone = _named_by(state, commit.operation, arguments)
    removed = [item for item in state.queue if item.identity[0] in gone]
    for item in removed:
        state.remove(item, commit.operation)
    for id in gone:
        state.instances.pop(id, None)
    return facts.Deleted(tuple(gone), tuple(removed))


def _named_by(state: LedgerState, operation: str, arguments: Arguments) -> dict[str, None]:
    if operation == "management.delete_instances_atomic":
        return dict.fromkeys(arguments["ids"])
    if operation == "management.delete_instance":
        gone = {arguments["instance_id"]: None}
        for instance in state.instances.values():  # children are known after their parents
            if instance.parent in gone:
                gone[instance.id] = None
        return gone
    state.unsure = "a bulk deletion does not say which instances it deleted"
    return {}


def appended(state: LedgerState, commit: Commit, arguments: Arguments, ok: bool) -> None:
    state.instance(arguments["instance_id"]).direct = True
