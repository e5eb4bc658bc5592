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
from holdfast.properties.judging.ledger.state import State
from holdfast.properties.judging.ledger.workers import Worker


def _started(state: State, worker: Worker, event: HandlerStarted) -> None:
    attempt = state.attempts.get(event.token)
    if attempt is not None:
        attempt.started_us = state.time_us


def _signalled(state: State, worker: Worker, event: HandlerSignalled) -> None:
    attempt = state.attempts.get(event.token)
    if attempt is not None:
        attempt.signalled = event.cause


def _stopped(state: State, worker: Worker, event: HandlerStopped) -> None:
    attempt = state.attempts.get(event.token)
    if attempt is not None:
        attempt.stopped = True


def _lease_taken(state: State, worker: Worker, event: LeaseTaken) -> None:
    state.identify(worker, event.worker_id)
    worker.leases[event.instance_id, event.session_id] = state.time_us


def _lease_ended(state: State, worker: Worker, event: LeaseEnded) -> None:
    key = (event.instance_id, event.session_id)
    worker.leases.pop(key, None)
    worker.ended_leases[key] = event.cause


def _renewal_sent(state: State, worker: Worker, event: RenewalSent) -> None:
    key = (event.instance_id, event.session_id)
    worker.renewing[key] = worker.renewing.get(key, 0) + 1


def _renewal_answered(state: State, worker: Worker, event: RenewalAnswered) -> None:
    key = (event.instance_id, event.session_id)
    left = worker.renewing.pop(key, 1) - 1
    if left > 0:
        worker.renewing[key] = left


def _capacity(state: State, worker: Worker, event: CapacityChanged) -> None:
    worker.units = event


def _shutdown(state: State, worker: Worker, event: ShutdownBegan) -> None:
    worker.shutdown = "graceful" if event.graceful else "immediate"


def _returned(state: State, worker: Worker, event: ShutdownReturned) -> None:
    worker.returned = True


NOTE: Final[dict[type, Callable[[State, Worker, Any], None]]] = {
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
