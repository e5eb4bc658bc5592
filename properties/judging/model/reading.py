"""A record of a call, in the model's words: only what its caller asked and saw.

What the store knows beyond that, such as the effect of a call whose answer was lost, is not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

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

CallArguments = Any  # by parameter name, of the types of the contract


class Error(Protocol):
    """What a failed call was answered with."""

    @property
    def message(self) -> str: ...
    @property
    def retryable(self) -> bool: ...


class CallSeen(Protocol):
    """One provider call at its place in the total order."""

    @property
    def operation(self) -> str: ...
    @property
    def arguments(self) -> Mapping[str, object]: ...
    @property
    def outcome(self) -> str: ...
    @property
    def result(self) -> object: ...
    @property
    def error(self) -> Error | None: ...
    @property
    def provider_ms(self) -> int: ...


def read(record: CallSeen) -> Call:
    """The call, as its caller saw it."""
    name, arguments = record.operation, record.arguments
    reading = _READ.get(name)
    if reading is None:
        return Call(_OTHER, answer_to(record), record.provider_ms)
    answer = answer_to(record)
    bad = type(answer) is PermanentlyRefused and is_malformed(name, arguments)
    return Call(reading(arguments), answer, record.provider_ms, bad)


def answer_to(record: CallSeen) -> ProviderAnswer:
    """What the caller heard. A call that was never sent and one whose answer was lost sound alike."""
    outcome, error = record.outcome, record.error
    if outcome != "answered":
        return _FAILED if outcome == "refused" else _UNHEARD
    if error is not None:
        return _FAILED if error.retryable else PermanentlyRefused(error.message)
    result: Any = record.result
    if result is None:
        return _DONE
    if record.operation == "fetch_orchestration_item":
        return Succeeded(TurnDelivered(result.item.instance, result.token))
    if record.operation in ("fetch_work_item", "fetch_session_work_item"):
        return Succeeded(ItemDelivered(result.item, result.token, result.attempt_count))
    return _DONE


def is_malformed(operation: str, arguments: CallArguments) -> bool:
    """Whether an argument is one that no provider may accept (PV-3.8, PV-11.6, PV-24.20)."""
    for name in ("delay", "lock_timeout", "poll_timeout", "extend_for", "extend_session_for"):
        value = arguments.get(name, 0)
        if value is not None and (type(value) is not int or value < 0):
            return True
    if operation == "enqueue_for_worker":
        return True  # whatever the reason, it is about the item: there is no other
    if operation == "ack_work_item":
        completion = arguments["completion"]
        return completion is not None and type(completion).__name__ not in _COMPLETIONS
    return bool(arguments.get("worker_id") == "")


def _fetch(arguments: CallArguments) -> ProviderOperation:
    return Fetch("plain", arguments["tag_filter"], arguments["lock_timeout"], "anybody", 0)


def _fetch_session(arguments: CallArguments) -> ProviderOperation:
    return Fetch(
        "full" if arguments["claim_new"] else "owned",
        arguments["tag_filter"],
        arguments["lock_timeout"],
        arguments["worker_id"],
        arguments["session_lock_duration"],
    )


def _renew_item(arguments: CallArguments) -> ProviderOperation:
    extend_for, session = arguments["extend_for"], arguments["extend_session_for"]
    return RenewItem(arguments["token"], extend_for, extend_for if session is None else session)


def _renew_session(arguments: CallArguments) -> ProviderOperation:
    key = (arguments["instance_id"], arguments["session_id"])
    return RenewSession(key, arguments["worker_id"], arguments["extend_for"])


def _release(arguments: CallArguments) -> ProviderOperation:
    return Release((arguments["instance_id"], arguments["session_id"]), arguments["worker_id"])


def _acknowledge(arguments: CallArguments) -> ProviderOperation:
    metadata = arguments["metadata"]
    return Acknowledge(
        arguments["token"],
        metadata.status,
        metadata.parent_instance_id,
        tuple(map(tuple, metadata.opened_sessions)),
        tuple(map(tuple, metadata.cancelled_sessions)),
        tuple(arguments["worker_items"]),
        tuple(map(tuple, arguments["cancelled_activities"])),
        bool(arguments["history_delta"]),
    )


_DONE: Final = Succeeded()
_FAILED: Final = TransientlyFailed()
_UNHEARD: Final = Unheard()
_OTHER: Final = Other()
_COMPLETIONS: Final = ("ActivityCompletedMessage", "ActivityFailedMessage")

_READ: Final[dict[str, Callable[[CallArguments], ProviderOperation]]] = {
    "enqueue_for_worker": lambda given: Enqueue(given["item"]),
    "fetch_work_item": _fetch,
    "fetch_session_work_item": _fetch_session,
    "ack_work_item": lambda given: Finish(given["token"]),
    "abandon_work_item": lambda given: GiveBack(
        given["token"], given["delay"] or 0, not given["ignore_attempt"]
    ),
    "renew_work_item_lock": _renew_item,
    "renew_session_lock": _renew_session,
    "release_session_lock": _release,
    "fetch_orchestration_item": lambda given: FetchTurn(given["lock_timeout"]),
    "renew_orchestration_item_lock": lambda given: RenewTurn(given["token"], given["extend_for"]),
    "abandon_orchestration_item": lambda given: GiveBackTurn(given["token"]),
    "ack_orchestration_item": _acknowledge,
    "management.delete_instance": lambda given: Delete((given["instance_id"],), True),
    "management.delete_instances_atomic": lambda given: Delete(tuple(given["ids"]), False),
    "management.delete_instance_bulk": lambda given: DeleteFinished(),
}
