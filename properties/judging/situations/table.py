"""SITUATIONS: the table of all situations, by subject."""

from __future__ import annotations

from typing import Final

from holdfast.core.contract.observe import (
    CapacityChanged,
    HandlerSignalled,
    HandlerStopped,
    LeaseEnded,
    RenewalAnswered,
)
from holdfast.properties.judging.invariants.session_rows.inv_40_refused_means_nothing_enqueued import (
    is_refusal,
)
from holdfast.properties.judging.ledger.facts import (
    Abandoned,
    Acked,
    AckRejected,
    Deleted,
    Delivered,
    Done,
    DoneRejected,
    ItemRenewed,
    Nothing,
    Released,
    Renewed,
    TurnFetched,
)
from holdfast.properties.judging.situations import deliveries, turns, workers
from holdfast.properties.judging.situations.scene import Situation
from holdfast.traces.record import Commit, Fault

_FETCH = (Delivered, Nothing)

SITUATIONS: Final[dict[str, Situation]] = {
    # --- opening, closing, carrying over ---
    "session.opened": Situation(
        "a session was opened", (Acked,), lambda scene, fact: bool(fact.delta.opened)
    ),
    "session.several_open": Situation(
        "an instance had several sessions open at once",
        (Acked,),
        lambda scene, fact: len(fact.instance.open) > 1,
    ),
    "session.closed": Situation(
        "an open session was closed", (Acked,), lambda scene, fact: bool(fact.delta.closed)
    ),
    "session.closed_again": Situation(
        "a close named an id that was not open", (Acked,), lambda scene, fact: fact.delta.idle_closes > 0
    ),
    "session.reopened": Situation(
        "an id that had been closed was opened again",
        (Acked,),
        lambda scene, fact: any(incarnation.number > 1 for incarnation in fact.delta.opened),
    ),
    "session.reopened_same_turn": Situation(
        "one turn closed a session and opened it again", (Acked,), turns.reopened_same_turn
    ),
    "session.opened_and_closed_same_turn": Situation(
        "one turn opened a session and closed it", (Acked,), turns.opened_and_closed_same_turn
    ),
    "session.closed_while_running": Situation(
        "a session was closed while a handler ran for it", (Acked,), turns.closed_while_running
    ),
    "session.closed_while_queued": Situation(
        "a session was closed while an item of it waited in the queue", (Acked,), turns.closed_while_queued
    ),
    "session.late_completion_refused": Situation(
        "a handler's result was refused because its item was gone",
        (DoneRejected,),
        workers.late_completion_refused,
    ),
    "session.late_completion_dropped": Situation(
        "a turn read a completion of a closed session and recorded nothing",
        (Acked,),
        turns.late_completion_dropped,
    ),
    "session.carried_over": Situation(
        "an execution continued as new with a session open",
        (Acked,),
        lambda scene, fact: turns.continued(fact) and bool(fact.instance.open),
    ),
    "session.several_carried_over": Situation(
        "an execution continued as new with several sessions open",
        (Acked,),
        lambda scene, fact: turns.continued(fact) and len(fact.instance.open) > 1,
    ),
    "session.owned_across_continue": Situation(
        "a session was live and somebody's when its instance continued as new",
        (Acked,),
        turns.owned_across_continue,
        needs_rows=True,
    ),
    "session.used_after_carry": Situation(
        "an item of a later execution was delivered on a session that an earlier one had used",
        (Delivered,),
        deliveries.carry_followed,
    ),
    "session.closed_after_carry": Situation(
        "a carried session was closed by a later execution", (Acked,), turns.closed_after_carry
    ),
    "session.refused": Situation(
        "a session check, or missing session support, ended an instance",
        (Acked,),
        lambda scene, fact: is_refusal(fact),
    ),
    # --- claims and deliveries ---
    "session.claimed": Situation(
        "a fetch made a session the worker's", (Delivered,), deliveries.claimed, needs_rows=True
    ),
    "session.served_again": Situation(
        "a further item of a live session went to its owner",
        (Delivered,),
        lambda scene, fact: fact.item.key is not None and scene.is_extension(fact),
        needs_rows=True,
    ),
    "session.used_across_turns": Situation(
        "an item that a later turn scheduled went to the owner of the session",
        (Delivered,),
        deliveries.used_across_turns,
        needs_rows=True,
    ),
    "session.migrated": Situation(
        "a claim replaced a different, expired owner", (Delivered,), deliveries.migrated, needs_rows=True
    ),
    "session.taken_over_after_crash": Situation(
        "a claim replaced an owner that had crashed",
        (Delivered,),
        deliveries.taken_over_after_crash,
        needs_rows=True,
    ),
    "session.several_taken_over": Situation(
        "several sessions of one crashed owner were claimed by others",
        (Delivered,),
        deliveries.several_taken_over,
        needs_rows=True,
    ),
    "session.reclaimed_by_owner": Situation(
        "a worker claimed a session that had expired in its own name",
        (Delivered,),
        deliveries.reclaimed,
        needs_rows=True,
    ),
    "session.claimed_after_release": Situation(
        "a session that one worker had released was claimed by another",
        (Delivered,),
        deliveries.claimed_after_release,
        needs_rows=True,
    ),
    "session.claim_raced": Situation(
        "fetches of two workers competed for one free session",
        _FETCH,
        deliveries.claim_raced,
        needs_rows=True,
    ),
    "session.passed_over": Situation(
        "a fetch passed over an item because its session was another worker's",
        _FETCH,
        deliveries.passed_over,
        needs_rows=True,
    ),
    "session.shared_by_slots": Situation(
        "two slots of one worker ran items of one session at once", (Delivered,), deliveries.shared_by_slots
    ),
    "session.same_id_in_two_instances": Situation(
        "sessions of one id in two instances had different owners",
        (Delivered,),
        deliveries.same_id_twice,
        needs_rows=True,
    ),
    "two_sessions.two_owners": Situation(
        "two sessions were live with different owners", (Delivered,), deliveries.two_owners, needs_rows=True
    ),
    "plain.delivered_elsewhere": Situation(
        "an item without session went to another worker than the owner of its instance's session",
        (Delivered,),
        deliveries.plain_elsewhere,
        needs_rows=True,
    ),
    "plain.passed_session_item": Situation(
        "a plain fetch passed over a session item that was free", _FETCH, deliveries.plain_passes_session_item
    ),
    "lock.expired_under_live_owner": Situation(
        "a session expired and was claimed while its live owner ran an item of it",
        (Delivered,),
        deliveries.expired_under_live_owner,
        needs_rows=True,
    ),
    # --- items ---
    "item.redelivered": Situation(
        "an item was delivered again after its lock had expired",
        (Delivered,),
        lambda scene, fact: fact.was_token is not None,
    ),
    "item.redelivered_after_crash": Situation(
        "an item in flight on a crashed worker was delivered again",
        (Delivered,),
        deliveries.redelivered_after_crash,
    ),
    "item.same_attempt_again": Situation(
        "an item given back uncharged was delivered under the same attempt number",
        (Delivered,),
        deliveries.same_attempt_again,
    ),
    "item.abandoned_uncharged": Situation(
        "an item was given back without charging the attempt",
        (Abandoned,),
        lambda scene, fact: not fact.charged,
    ),
    "item.abandoned_backoff": Situation(
        "an item was given back with a delay", (Abandoned,), lambda scene, fact: fact.delay > 0
    ),
    "item.poisoned": Situation("an item was failed as poison", (Done,), workers.poisoned),
    "item.renewal_refused": Situation(
        "the renewal of an item was refused", (ItemRenewed,), lambda scene, fact: not fact.ok
    ),
    # --- leases, renewals, capacity ---
    "session.renewed": Situation("a stand-alone renewal succeeded", (Renewed,), lambda scene, fact: fact.ok),
    "session.renewed_between": Situation(
        "a session was renewed with nothing of it in flight", (Renewed,), workers.renewed_between
    ),
    "session.renewed_by_item": Situation(
        "the renewal of an item renewed its session", (ItemRenewed,), workers.session_of_item_renewed
    ),
    "session.renewed_late": Situation(
        "a renewal made an expired session live again",
        (Renewed, ItemRenewed),
        workers.renewed_late,
        needs_rows=True,
    ),
    "session.renewal_refused": Situation(
        "a stand-alone renewal was refused", (Renewed,), lambda scene, fact: not fact.ok
    ),
    "session.renewal_refused_stolen": Situation(
        "a stand-alone renewal was refused because the session was another's",
        (Renewed,),
        workers.stolen,
        needs_rows=True,
    ),
    "session.renewal_failed": Situation(
        "a worker learnt that a stand-alone renewal had failed",
        (RenewalAnswered,),
        lambda scene, local: local.event.error is not None,
    ),
    "session.lost": Situation(
        "a lease was lost, by refusal or by the local deadline",
        (LeaseEnded,),
        workers.lease_ended("lost", "deadline"),
    ),
    "session.deadline_passed": Situation(
        "a lease was lost by its local deadline", (LeaseEnded,), workers.lease_ended("deadline")
    ),
    "session.given_back": Situation(
        "a session was given back because no unit was free", (LeaseEnded,), workers.lease_ended("given_back")
    ),
    "session.released_idle": Situation(
        "an owner released a session for idleness", (Released,), workers.released("idle"), needs_rows=True
    ),
    "session.released_shutdown": Situation(
        "an owner released a session in its shutdown",
        (Released,),
        workers.released("shutdown"),
        needs_rows=True,
    ),
    "session.release_missed": Situation(
        "a release found a session that was not the caller's",
        (Released,),
        lambda scene, fact: fact.ok and not fact.hit,
        needs_rows=True,
    ),
    "lease.dropped_after_end": Situation(
        "a lease was lost because its instance had ended", (LeaseEnded,), workers.lease_ended_after_end
    ),
    "worker.at_capacity": Situation(
        "a worker's sessions reached its limit", (CapacityChanged,), workers.full
    ),
    "worker.served_owned_at_capacity": Situation(
        "a worker at its limit got an item of a session it owned",
        (Delivered,),
        lambda scene, fact: fact.mode == "owned" and fact.item.key is not None,
    ),
    "worker.served_plain_at_capacity": Situation(
        "a worker at its limit got an item without session",
        (Delivered,),
        lambda scene, fact: fact.mode == "owned" and fact.item.key is None,
    ),
    "worker.passed_free_session_at_capacity": Situation(
        "a worker at its limit passed over an item of a free session",
        _FETCH,
        deliveries.unclaimed_passed_over,
        needs_rows=True,
    ),
    # --- handlers ---
    "handler.signalled_lost": Situation(
        "a handler was signalled because its item or session was lost",
        (HandlerSignalled,),
        workers.signalled("item_lost", "session_lost", "deadline"),
    ),
    "handler.signalled_shutdown": Situation(
        "a handler was signalled by its worker's shutdown", (HandlerSignalled,), workers.signalled("shutdown")
    ),
    "handler.discarded": Situation(
        "a handler's result was discarded after a signal", (HandlerStopped,), workers.stopped("discarded")
    ),
    "handler.aborted": Situation(
        "a handler was aborted after the grace period", (HandlerStopped,), workers.stopped("aborted")
    ),
    # --- turns and instances ---
    "turn.redone": Situation(
        "a batch was handed out a second time",
        (TurnFetched,),
        lambda scene, fact: fact.fetched.attempt_count > 1,
    ),
    "ack.rejected": Situation("the ack of a turn was rejected", (AckRejected,), lambda scene, fact: True),
    "instance.continued": Situation(
        "an execution continued as new with no session open",
        (Acked,),
        lambda scene, fact: turns.continued(fact) and not fact.instance.open,
    ),
    "instance.continued_while_running": Situation(
        "an execution continued as new while a handler ran for one of its sessions",
        (Acked,),
        turns.continued_while_running,
    ),
    "instance.completed_with_open_session": Situation(
        "an instance completed with sessions open", (Acked,), turns.ended("Completed")
    ),
    "instance.failed_with_open_session": Situation(
        "an instance failed with sessions open", (Acked,), turns.ended("Failed")
    ),
    "instance.cancelled_with_open_session": Situation(
        "an instance was cancelled with sessions open", (Acked,), turns.ended("Cancelled")
    ),
    "instance.deleted": Situation("an instance was deleted", (Deleted,), lambda scene, fact: True),
    # --- faults ---
    "owner.crashed_with_item": Situation(
        "the owner of a session crashed with an item of it in flight",
        (Fault,),
        workers.crashed(with_item=True),
        needs_rows=True,
    ),
    "owner.crashed_idle": Situation(
        "the owner of a session crashed with no item of it in flight",
        (Fault,),
        workers.crashed(with_item=False),
        needs_rows=True,
    ),
    "process.stalled": Situation("a process stood still", (Fault,), workers.struck("stall")),
    "clock.jumped_forward": Situation(
        "the store's clock jumped forward", (Fault,), workers.struck("provider_clock", forward=True)
    ),
    "clock.jumped_back": Situation(
        "the store's clock jumped back", (Fault,), workers.struck("provider_clock", forward=False)
    ),
    "completion.duplicated": Situation(
        "a completion was delivered twice", (Fault,), workers.struck("duplicate")
    ),
    "answer.lost": Situation("a call was done and its answer lost", (Commit,), workers.outcome("lost")),
    "answer.of_ack_lost": Situation(
        "a turn was committed and its ack's answer lost",
        (Commit,),
        workers.outcome("lost", "ack_orchestration_item"),
    ),
    "answer.of_claim_lost": Situation(
        "the answer of a session-aware fetch was lost",
        (Commit,),
        workers.outcome("lost", "fetch_session_work_item"),
    ),
    "call.refused": Situation("the store refused a call for now", (Commit,), workers.outcome("refused")),
    "call.unsent": Situation("a call never reached the store", (Commit,), workers.outcome("unsent")),
}
"""Name to situation."""
