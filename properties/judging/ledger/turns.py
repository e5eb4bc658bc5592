"""What the ledger takes in of turns: fetched, acknowledged, given back; and of deletions."""

from __future__ import annotations

from holdfast.core.contract.events import Event
from holdfast.core.contract.provider import TERMINAL_STATUSES, FetchedTurn
from holdfast.properties.judging.ledger import facts
from holdfast.properties.judging.ledger.facts import Fact
from holdfast.properties.judging.ledger.instances import Delta, Instance
from holdfast.properties.judging.ledger.items import Item, ItemIdentity
from holdfast.properties.judging.ledger.state import FetchedBatch, LedgerState
from holdfast.traces.calls import (
    AbandonOrchestrationItemCall,
    AckOrchestrationItemCall,
    AppendWithExecutionCall,
    DeleteInstanceBulkCall,
    DeleteInstanceCall,
    DeleteInstancesAtomicCall,
    FetchOrchestrationItemCall,
    RenewOrchestrationItemLockCall,
)
from holdfast.traces.record import Commit

Deletion = DeleteInstanceCall | DeleteInstancesAtomicCall | DeleteInstanceBulkCall


def turn_fetched(
    state: LedgerState, commit: Commit, call: FetchOrchestrationItemCall, ok: bool
) -> Fact | None:
    fetched = commit.result
    if not isinstance(fetched, FetchedTurn):
        return None
    instance = state.instance(fetched.item.instance)
    instance.lock_token = fetched.token
    instance.lock_until = state.now + call.lock_timeout
    batch = FetchedBatch(instance, tuple(fetched.item.messages))
    state.batches[fetched.token] = batch
    state.batches_out.setdefault((commit.process, commit.boot, instance.id), []).append(batch)
    return facts.TurnFetched(instance, fetched, state.worker(commit.process, commit.boot))


def _is_over(state: LedgerState, commit: Commit, batch: FetchedBatch) -> None:
    """Whoever had the batch has disposed of it, with or without success."""
    out = state.batches_out.get((commit.process, commit.boot, batch.instance.id))
    if out is not None and batch in out:
        out.remove(batch)


def turn_given_back(state: LedgerState, commit: Commit, call: AbandonOrchestrationItemCall, ok: bool) -> None:
    batch = state.batches.get(call.token)
    if batch is None:
        return
    _is_over(state, commit, batch)
    if ok and batch.instance.lock_token == call.token:
        batch.instance.lock_token = None


def turn_renewed(state: LedgerState, commit: Commit, call: RenewOrchestrationItemLockCall, ok: bool) -> None:
    batch = state.batches.get(call.token)
    if ok and batch is not None:
        batch.instance.lock_until = state.now + call.extend_for


def acked(state: LedgerState, commit: Commit, call: AckOrchestrationItemCall, ok: bool) -> Fact:
    token = call.token
    worker = state.worker(commit.process, commit.boot)
    batch = state.batches.get(token)
    if batch is not None:
        _is_over(state, commit, batch)
    if not ok:
        return facts.AckRejected(None if batch is None else batch.instance, call.metadata, worker)
    events = call.history_delta
    if batch is None:  # a store that accepts this breaks INV-37; its effects are taken in all the same
        named = next((event.instance_id for event in events if isinstance(event, Event)), "")
        batch = FetchedBatch(state.instance(named), ())
    instance = batch.instance
    fenced = instance.lock_token == token and instance.lock_until > state.now
    instance.lock_token = None
    metadata = call.metadata
    open_before = tuple(instance.open.values())
    delta = Delta(instance, call.execution_id, state.position)
    delta.read(events)
    if metadata.status is not None:
        instance.status = metadata.status
    terminal = metadata.status in TERMINAL_STATUSES
    if terminal:
        _end(state, instance)
    removed, enqueued = _exchange_items(state, instance, call, terminal)
    return facts.Acked(
        instance,
        delta,
        events,
        metadata,
        terminal,
        open_before,
        enqueued,
        removed,
        tuple(call.worker_items),
        batch.messages,
        fenced,
        worker,
    )


def _end(state: LedgerState, instance: Instance) -> None:
    instance.ended_at = state.position
    for incarnation in instance.open.values():
        incarnation.end(state.position)
    instance.open = {}


def _exchange_items(
    state: LedgerState, instance: Instance, call: AckOrchestrationItemCall, terminal: bool
) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    """What the acknowledgement takes out of the queue and puts in (SS-12.10, PV-8.12, PV-25.5)."""
    metadata = call.metadata
    closing = {(key[0], key[1]) for key in metadata.cancelled_sessions}
    opening = () if terminal else {(key[0], key[1]) for key in metadata.opened_sessions}
    removed = []
    if closing or terminal:
        for item in list(state.queue):
            if item.key is not None and (item.key in closing or (terminal and item.key[0] == instance.id)):
                removed.append(item)
    cancelled: dict[ItemIdentity, None] = dict.fromkeys(
        (named.instance, named.execution_id, named.activity_id) for named in call.cancelled_activities
    )
    for identity in cancelled:
        removed += [item for item in state.queue.of_identity(identity) if item not in removed]
    for item in removed:
        state.remove(item, "ack_orchestration_item")
    enqueued = []
    for work in call.worker_items:
        if (work.instance, work.execution_id, work.id) in cancelled:
            continue
        item = state.put(work, instance)
        if item.key is not None and (terminal or (item.key in closing and item.key not in opening)):
            state.unnumbered.remove(item)
            state.queue.remove(item, state.position, "ack_orchestration_item")
        else:
            enqueued.append(item)
    return tuple(removed), tuple(enqueued)


def deleted(state: LedgerState, commit: Commit, call: Deletion, ok: bool) -> Fact | None:
    if not ok:
        return None
    gone = _named_by(state, call)
    removed = [item for item in state.queue if item.identity[0] in gone]
    for item in removed:
        state.remove(item, commit.operation)
    for id in gone:
        state.instances.pop(id, None)
    return facts.Deleted(tuple(gone), tuple(removed))


def _named_by(state: LedgerState, call: Deletion) -> dict[str, None]:
    match call:
        case DeleteInstancesAtomicCall():
            return dict.fromkeys(call.ids)
        case DeleteInstanceCall():
            gone: dict[str, None] = {call.instance_id: None}
            for instance in state.instances.values():  # children are known after their parents
                if instance.parent in gone:
                    gone[instance.id] = None
            return gone
        case DeleteInstanceBulkCall():
            state.unsure = "a bulk deletion does not say which instances it deleted"
            return {}


def appended(state: LedgerState, commit: Commit, call: AppendWithExecutionCall, ok: bool) -> None:
    state.instance(call.instance_id).direct = True
