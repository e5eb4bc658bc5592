"""A commit, in the words of the reference model: only what its caller asked and saw.

What the store knows beyond that, such as the effect of a call whose answer was lost, is not looked at. This
stands outside the model's room, which knows nothing of the contract's types.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from holdfast.core.contract.provider import FetchedTurn, FetchedWork, ScheduledSessionIdentifier
from holdfast.core.contract.work_items import ActivityCompletedMessage, ActivityFailedMessage
from holdfast.properties.judging.model.operations import (
    Acknowledge,
    Call,
    Delete,
    DeleteFinished,
    Enqueue,
    Fetch,
    FetchTurn,
    Finish,
    GiveBack,
    GiveBackTurn,
    ItemDelivered,
    Other,
    PermanentlyRefused,
    ProviderAnswer,
    ProviderOperation,
    Release,
    RenewItem,
    RenewSession,
    RenewTurn,
    Succeeded,
    TransientlyFailed,
    TurnDelivered,
    Unheard,
)
from holdfast.traces import calls
from holdfast.traces.calls import ProviderCall
from holdfast.traces.record import Commit


def read(commit: Commit) -> Call:
    """The call, as its caller saw it."""
    call = commit.call
    answer = answer_to(commit)
    reading = _READ.get(type(call))
    if reading is None:
        return Call(_OTHER, answer, commit.provider_ms)
    bad = type(answer) is PermanentlyRefused and is_malformed(call)
    return Call(reading(call), answer, commit.provider_ms, bad)


def answer_to(commit: Commit) -> ProviderAnswer:
    """What the caller heard. A call that was never sent and one whose answer was lost sound alike."""
    outcome, error, result = commit.outcome, commit.error, commit.result
    if outcome != "answered":
        return _FAILED if outcome == "refused" else _UNHEARD
    if error is not None:
        return _FAILED if error.retryable else PermanentlyRefused(error.message)
    if isinstance(result, FetchedTurn):
        return Succeeded(TurnDelivered(result.item.instance, result.token))
    if isinstance(result, FetchedWork):
        return Succeeded(ItemDelivered(result.item, result.token, result.attempt_count))
    return _DONE


def is_malformed(call: ProviderCall) -> bool:
    """Whether an argument is one that no provider may accept (PV-3.8, PV-11.6, PV-24.20)."""
    for name in _DURATIONS:
        value = getattr(call, name, None)
        if value is not None and (type(value) is not int or value < 0):
            return True
    match call:
        case calls.EnqueueForWorkerCall():
            return True  # whatever the reason, it is about the item: there is no other
        case calls.AckWorkItemCall(completion=completion):
            return not isinstance(completion, ActivityCompletedMessage | ActivityFailedMessage | None)
        case _:
            return getattr(call, "worker_id", None) == ""


def _fetch(call: calls.FetchWorkItemCall) -> ProviderOperation:
    return Fetch("plain", call.tag_filter, call.lock_timeout, "anybody", 0)


def _fetch_session(call: calls.FetchSessionWorkItemCall) -> ProviderOperation:
    return Fetch(
        "full" if call.claim_new else "owned",
        call.tag_filter,
        call.lock_timeout,
        call.worker_id,
        call.session_lock_duration,
    )


def _give_back(call: calls.AbandonWorkItemCall) -> ProviderOperation:
    return GiveBack(call.token, call.delay or 0, not call.ignore_attempt)


def _renew_item(call: calls.RenewWorkItemLockCall) -> ProviderOperation:
    session = call.extend_session_for
    return RenewItem(call.token, call.extend_for, call.extend_for if session is None else session)


def _renew_session(call: calls.RenewSessionLockCall) -> ProviderOperation:
    return RenewSession((call.instance_id, call.session_id), call.worker_id, call.extend_for)


def _release(call: calls.ReleaseSessionLockCall) -> ProviderOperation:
    return Release((call.instance_id, call.session_id), call.worker_id)


def _acknowledge(call: calls.AckOrchestrationItemCall) -> ProviderOperation:
    metadata = call.metadata
    return Acknowledge(
        call.token,
        metadata.status,
        metadata.parent_instance_id,
        _keys(metadata.opened_sessions),
        _keys(metadata.cancelled_sessions),
        tuple(call.worker_items),
        tuple([(one.instance, one.execution_id, one.activity_id) for one in call.cancelled_activities]),
        bool(call.history_delta),
    )


def _keys(named: Iterable[ScheduledSessionIdentifier]) -> tuple[tuple[str, str], ...]:
    return tuple([(one.instance, one.session_id) for one in named])


_DONE: Final = Succeeded()
_FAILED: Final = TransientlyFailed()
_UNHEARD: Final = Unheard()
_OTHER: Final = Other()
_DURATIONS: Final = ("delay", "lock_timeout", "poll_timeout", "extend_for", "extend_session_for")

_READ: Final[dict[type[ProviderCall], Callable[[Any], ProviderOperation]]] = {
    calls.EnqueueForWorkerCall: lambda call: Enqueue(call.item),
    calls.FetchWorkItemCall: _fetch,
    calls.FetchSessionWorkItemCall: _fetch_session,
    calls.AckWorkItemCall: lambda call: Finish(call.token),
    calls.AbandonWorkItemCall: _give_back,
    calls.RenewWorkItemLockCall: _renew_item,
    calls.RenewSessionLockCall: _renew_session,
    calls.ReleaseSessionLockCall: _release,
    calls.FetchOrchestrationItemCall: lambda call: FetchTurn(call.lock_timeout),
    calls.RenewOrchestrationItemLockCall: lambda call: RenewTurn(call.token, call.extend_for),
    calls.AbandonOrchestrationItemCall: lambda call: GiveBackTurn(call.token),
    calls.AckOrchestrationItemCall: _acknowledge,
    calls.DeleteInstanceCall: lambda call: Delete((call.instance_id,), True),
    calls.DeleteInstancesAtomicCall: lambda call: Delete(tuple(call.ids), False),
    calls.DeleteInstanceBulkCall: lambda call: DeleteFinished(),
}
