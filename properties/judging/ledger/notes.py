"""What the ledger takes in of the local events of workers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from holdfast.core.contract.observe import (
    CapacityChanged,
    HandlerSignalled,
    HandlerStarted,
    HandlerStopped,
    LeaseEnded,
    LeaseTaken,
    RenewalAnswered,
    RenewalSent,
    ShutdownBegan,
    ShutdownReturned,
)
from holdfast.properties.judging.ledger.state import LedgerState
from holdfast.properties.judging.ledger.workers import WorkerBoot


def _started(state: LedgerState, worker: WorkerBoot, event: HandlerStarted) -> None:
    attempt = state.attempts.get(event.token)
    if attempt is not None:
        attempt.started_us = state.time_us


def _signalled(state: LedgerState, worker: WorkerBoot, event: HandlerSignalled) -> None:
    attempt = state.attempts.get(event.token)
    if attempt is not None:
        attempt.signalled = event.cause


def _stopped(state: LedgerState, worker: WorkerBoot, event: HandlerStopped) -> None:
    attempt = state.attempts.get(event.token)
    if attempt is not None:
        attempt.stopped = True


def _lease_taken(state: LedgerState, worker: WorkerBoot, event: LeaseTaken) -> None:
    state.identify(worker, event.worker_id)
    worker.leases[event.instance_id, event.session_id] = state.time_us


def _lease_ended(state: LedgerState, worker: WorkerBoot, event: LeaseEnded) -> None:
    key = (event.instance_id, event.session_id)
    worker.leases.pop(key, None)
    worker.ended_leases[key] = event.cause


def _renewal_sent(state: LedgerState, worker: WorkerBoot, event: RenewalSent) -> None:
    key = (event.instance_id, event.session_id)
    worker.renewing[key] = worker.renewing.get(key, 0) + 1


def _renewal_answered(state: LedgerState, worker: WorkerBoot, event: RenewalAnswered) -> None:
    key = (event.instance_id, event.session_id)
    left = worker.renewing.pop(key, 1) - 1
    if left > 0:
        worker.renewing[key] = left


def _capacity(state: LedgerState, worker: WorkerBoot, event: CapacityChanged) -> None:
    worker.units = event


def _shutdown(state: LedgerState, worker: WorkerBoot, event: ShutdownBegan) -> None:
    worker.shutdown = "graceful" if event.graceful else "immediate"


def _returned(state: LedgerState, worker: WorkerBoot, event: ShutdownReturned) -> None:
    worker.returned = True


NOTE: Final[dict[type, Callable[[LedgerState, WorkerBoot, Any], None]]] = {
    HandlerStarted: _started,
    HandlerSignalled: _signalled,
    HandlerStopped: _stopped,
    LeaseTaken: _lease_taken,
    LeaseEnded: _lease_ended,
    RenewalSent: _renewal_sent,
    RenewalAnswered: _renewal_answered,
    CapacityChanged: _capacity,
    ShutdownBegan: _shutdown,
    ShutdownReturned: _returned,
}
