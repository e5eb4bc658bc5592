"""What the ledger takes in of worker items and of the sessions they are bound to."""

from __future__ import annotations

from typing import Any

from holdfast.properties.judging.ledger import facts
from holdfast.properties.judging.ledger.facts import Fact, FetchMode
from holdfast.properties.judging.ledger.state import LedgerState, deadline
from holdfast.properties.judging.ledger.workers import AttemptRecord, WorkerBoot
from holdfast.traces.record import Commit

Arguments = Any  # of a commit, by parameter name: what is in them is the contract's business


def enqueued(state: LedgerState, commit: Commit, arguments: Arguments, ok: bool) -> Fact | None:
    if not ok:
        return None
    instance = state.instance(arguments["item"].instance)
    instance.direct = True
    return facts.Enqueued(state.put(arguments["item"], instance))


def fetched(state: LedgerState, commit: Commit, arguments: Arguments, ok: bool) -> Fact:
    worker = state.worker(commit.process, commit.boot)
    mode: FetchMode = "plain"
    if commit.operation != "fetch_work_item":
        mode = "full" if arguments["claim_new"] else "owned"
        if worker.owner != arguments["worker_id"]:
            state.identify(worker, arguments["worker_id"])
    if not ok:
        return facts.FetchRefused(mode)
    owner = worker.process if worker.owner is None else worker.owner
    result: Any = commit.result
    if result is None:
        return facts.Nothing(worker, owner, mode, arguments["tag_filter"])
    return _delivered(state, commit, arguments, result, worker, owner, mode)


def _delivered(
    state: LedgerState,
    commit: Commit,
    arguments: Arguments,
    result: Any,
    worker: WorkerBoot,
    owner: str,
    mode: FetchMode,
) -> Fact:
    work, token, count = result
    item = state.queue.delivered(work, state.now)
    if item is None:  # handed out without ever having been enqueued: taken in as it comes
        item = state.put(work, state.instance(work.instance))
    was_attempt = None if item.token is None else state.attempts.get(item.token)
    before = (item.removed_at is None, item.token, item.until, item.visible_from, item.attempts)
    if was_attempt is not None and was_attempt.item_gone_at is None:
        was_attempt.item_gone_at = state.position
    lock_timeout = arguments["lock_timeout"]
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
    duration = 0 if mode == "plain" else arguments["session_lock_duration"]
    return facts.Delivered(
        item,
        worker,
        owner,
        mode,
        arguments["tag_filter"],
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
        attempt.worker.attempts.pop(token, None)
    return attempt


def finished(state: LedgerState, commit: Commit, arguments: Arguments, ok: bool) -> Fact:
    token = arguments["token"]
    worker = state.worker(commit.process, commit.boot)
    attempt = _final(state, token)
    completion = arguments["completion"]
    if not ok:
        return facts.DoneRejected(attempt, worker, completion)
    item = state.queue.by_token.get(token)
    was_until = 0
    if item is not None:
        was_until = item.until
        state.queue.remove(item, state.position, "ack_work_item")
    return facts.Done(item, attempt, worker, completion, was_until)


def given_back(state: LedgerState, commit: Commit, arguments: Arguments, ok: bool) -> Fact:
    token = arguments["token"]
    worker = state.worker(commit.process, commit.boot)
    attempt = _final(state, token)
    if not ok:
        return facts.AbandonRejected(attempt, worker)
    item = state.queue.by_token.get(token)
    delay = arguments["delay"] or 0
    charged = not arguments["ignore_attempt"]
    if item is not None:
        state.queue.give_back(item, deadline(state.now, delay), charged=charged)
    return facts.Abandoned(item, attempt, worker, delay, charged)


def item_renewed(state: LedgerState, commit: Commit, arguments: Arguments, ok: bool) -> Fact:
    token = arguments["token"]
    worker = state.worker(commit.process, commit.boot)
    item = state.queue.by_token.get(token)
    attempt = state.attempts.get(token)
    extend_for = arguments["extend_for"]
    duration = arguments["extend_session_for"]
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


def session_renewed(state: LedgerState, commit: Commit, arguments: Arguments, ok: bool) -> Fact:
    key = (arguments["instance_id"], arguments["session_id"])
    owner = arguments["worker_id"]
    worker = state.worker(commit.process, commit.boot)
    if worker.owner is None:
        state.identify(worker, owner)
    if ok:
        worker.extended_us[key] = state.time_us
    return facts.Renewed(
        key,
        worker,
        owner,
        arguments["extend_for"],
        ok,
        state.rows.before.get(key),
        state.rows.sessions.get(key),
    )


def session_released(state: LedgerState, commit: Commit, arguments: Arguments, ok: bool) -> Fact:
    key = (arguments["instance_id"], arguments["session_id"])
    worker = state.worker(commit.process, commit.boot)
    return facts.Released(
        key, worker, arguments["worker_id"], ok, state.rows.before.get(key), state.rows.sessions.get(key)
    )
