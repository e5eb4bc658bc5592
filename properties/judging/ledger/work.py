"""What the ledger takes in of worker items and of the sessions they are bound to."""

from __future__ import annotations

from holdfast.core.contract.provider import FetchedWork
from holdfast.properties.judging.ledger import facts
from holdfast.properties.judging.ledger.facts import Fact, FetchMode
from holdfast.properties.judging.ledger.state import LedgerState, deadline
from holdfast.properties.judging.ledger.workers import AttemptRecord, WorkerBoot
from holdfast.traces.calls import (
    AbandonWorkItemCall,
    AckWorkItemCall,
    EnqueueForWorkerCall,
    FetchSessionWorkItemCall,
    FetchWorkItemCall,
    ReleaseSessionLockCall,
    RenewSessionLockCall,
    RenewWorkItemLockCall,
)
from holdfast.traces.record import Commit

AnyFetchCall = FetchWorkItemCall | FetchSessionWorkItemCall


def enqueued(state: LedgerState, commit: Commit, call: EnqueueForWorkerCall, ok: bool) -> Fact | None:
    if not ok:
        return None
    instance = state.instance(call.item.instance)
    instance.direct = True
    return facts.Enqueued(state.put(call.item, instance))


def fetched(state: LedgerState, commit: Commit, call: AnyFetchCall, ok: bool) -> Fact | None:
    worker = state.worker(commit.process, commit.boot)
    mode: FetchMode = "plain"
    if isinstance(call, FetchSessionWorkItemCall):
        mode = "full" if call.claim_new else "owned"
        if worker.owner != call.worker_id:
            state.identify(worker, call.worker_id)
    if not ok:
        return facts.FetchRefused(mode)
    owner = worker.process if worker.owner is None else worker.owner
    found = commit.result
    if found is None:
        return facts.Nothing(worker, owner, mode, call.tag_filter)
    if not isinstance(found, FetchedWork):
        state.unsure = f"commit {commit.position}, a fetch of a worker item, was answered with {found!r}"
        return None
    return _delivered(state, commit, call, found, worker, owner, mode)


def _delivered(
    state: LedgerState,
    commit: Commit,
    call: AnyFetchCall,
    found: FetchedWork,
    worker: WorkerBoot,
    owner: str,
    mode: FetchMode,
) -> Fact:
    work, token, count = found
    item = state.queue.delivered(work, state.now)
    if item is None:  # handed out without ever having been enqueued: taken in as it comes
        item = state.put(work, state.instance(work.instance))
    was_attempt = None if item.token is None else state.attempts.get(item.token)
    before = (item.removed_at is None, item.token, item.until, item.visible_from, item.attempts)
    if was_attempt is not None and was_attempt.item_gone_at is None:
        was_attempt.item_gone_at = state.position
    lock_timeout = call.lock_timeout
    attempt = AttemptRecord(
        token, item.number, item.key, worker, state.time_us, known=commit.outcome == "answered"
    )
    state.queue.lock(item, token, deadline(state.now, lock_timeout), None if item.key is None else owner)
    state.attempts[token] = attempt
    worker.attempts[token] = attempt
    key = item.key
    if key is None:
        row_before = row_after = None
    else:
        row_before = state.rows.before.get(key)
        row_after = state.rows.sessions.get(key)
        worker.extended_us[key] = state.time_us
    duration = call.session_lock_duration if isinstance(call, FetchSessionWorkItemCall) else 0
    return facts.Delivered(
        item,
        worker,
        owner,
        mode,
        call.tag_filter,
        attempt,
        count,
        work,
        duration,
        lock_timeout,
        *before,
        was_attempt,
        row_before,
        row_after,
    )


def _final(state: LedgerState, token: str) -> AttemptRecord | None:
    attempt = state.attempts.get(token)
    if attempt is not None and attempt.final_at is None:
        attempt.final_at = state.position
        in_flight = attempt.worker.attempts.pop(token, None)
        assert in_flight is attempt, (
            f"{attempt.name()} is over at commit {state.position}, but its worker has "
            f"{in_flight and in_flight.name()} in flight under that token"
        )
    return attempt


def finished(state: LedgerState, commit: Commit, call: AckWorkItemCall, ok: bool) -> Fact:
    token = call.token
    worker = state.worker(commit.process, commit.boot)
    attempt = _final(state, token)
    completion = call.completion
    if not ok:
        return facts.DoneRejected(attempt, worker, completion)
    item = state.queue.by_token.get(token)
    was_until = 0
    if item is not None:
        was_until = item.until
        state.queue.remove(item, state.position, "ack_work_item")
    return facts.Done(item, attempt, worker, completion, was_until)


def given_back(state: LedgerState, commit: Commit, call: AbandonWorkItemCall, ok: bool) -> Fact:
    token = call.token
    worker = state.worker(commit.process, commit.boot)
    attempt = _final(state, token)
    if not ok:
        return facts.AbandonRejected(attempt, worker)
    item = state.queue.by_token.get(token)
    delay = call.delay or 0
    charged = not call.ignore_attempt
    if item is not None:
        state.queue.give_back(item, deadline(state.now, delay), charged=charged)
    return facts.Abandoned(item, attempt, worker, delay, charged)


def item_renewed(state: LedgerState, commit: Commit, call: RenewWorkItemLockCall, ok: bool) -> Fact:
    token = call.token
    worker = state.worker(commit.process, commit.boot)
    item = state.queue.by_token.get(token)
    attempt = state.attempts.get(token)
    extend_for = call.extend_for
    duration = call.extend_session_for
    if duration is None:
        duration = extend_for
    was_until = 0
    row_before = row_after = None
    if item is not None:
        was_until = item.until
        if ok:
            item.until = deadline(state.now, extend_for)
        if item.key is not None:
            row_before = state.rows.before.get(item.key)
            row_after = state.rows.sessions.get(item.key)
            if ok:
                worker.extended_us[item.key] = state.time_us
    if not ok and attempt is not None:
        attempt.refused = True
    return facts.ItemRenewed(item, attempt, worker, ok, was_until, duration, row_before, row_after)


def session_renewed(state: LedgerState, commit: Commit, call: RenewSessionLockCall, ok: bool) -> Fact:
    key = (call.instance_id, call.session_id)
    owner = call.worker_id
    worker = state.worker(commit.process, commit.boot)
    if worker.owner is None:
        state.identify(worker, owner)
    if ok:
        worker.extended_us[key] = state.time_us
    return facts.Renewed(
        key,
        worker,
        owner,
        call.extend_for,
        ok,
        state.rows.before.get(key),
        state.rows.sessions.get(key),
    )


def session_released(state: LedgerState, commit: Commit, call: ReleaseSessionLockCall, ok: bool) -> Fact:
    key = (call.instance_id, call.session_id)
    worker = state.worker(commit.process, commit.boot)
    return facts.Released(
        key, worker, call.worker_id, ok, state.rows.before.get(key), state.rows.sessions.get(key)
    )
