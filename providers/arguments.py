"""Checks of arguments that all our providers make before a call touches the store.

Each check raises a permanent `ProviderError` that names the value (PV-4.6); none knows of any store.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.events import StoredEvent
from holdfast.core.contract.ids import INT63_MAX, Millis
from holdfast.core.contract.provider import ExecutionMetadata, ScheduledActivityIdentifier
from holdfast.core.contract.work_items import (
    MESSAGE_KINDS,
    ActivityCompletedMessage,
    ActivityExecute,
    ActivityFailedMessage,
    Message,
    stored_name,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusions:
    """The arguments of an acknowledgement besides its token."""

    execution_id: int
    history_delta: Sequence[StoredEvent]
    worker_items: Sequence[ActivityExecute]
    orchestrator_items: Sequence[Message]
    metadata: ExecutionMetadata
    cancelled_activities: Sequence[ScheduledActivityIdentifier]


def duration(operation: str, name: str, value: Millis | None) -> Millis:
    """A duration in whole milliseconds; None means none. Negative or fractional is refused (PV-3.8)."""
    if value is None:
        return Millis(0)
    if type(value) is not int or value < 0:
        raise ProviderError.permanent(
            operation, f"{name} must be a whole number of milliseconds, 0 or more, not {value!r}"
        )
    return value


def deadline(now: Millis, length: Millis) -> Millis:
    """The time a duration from now ends, clamped to what can be stored (PV-3.7)."""
    return Millis(min(now + length, INT63_MAX))


def number(operation: str, name: str, value: int) -> int:
    """An execution, event or activity number. Outside 0 to 2^63-1 it is refused (PV-2.17)."""
    if type(value) is not int or not 0 <= value <= INT63_MAX:
        raise ProviderError.permanent(operation, f"{name} must be from 0 to {INT63_MAX}, not {value!r}")
    return value


def worker_name(operation: str, value: str) -> str:
    """The name of a worker; an empty one is refused (PV-24.20)."""
    if not value:
        raise ProviderError.permanent(operation, "worker_id must not be empty")
    return value


def messages(operation: str, items: Iterable[object]) -> None:
    """Entries for the orchestrator queue; any other kind is refused (PV-8.14)."""
    for item in items:
        if not isinstance(item, MESSAGE_KINDS):
            raise ProviderError.permanent(
                operation, f"{stored_name(type(item))} does not belong in the orchestrator queue"
            )


def activities(operation: str, items: Iterable[object]) -> None:
    """Entries for the worker queue; any other kind is refused (PV-8.14)."""
    for item in items:
        if not isinstance(item, ActivityExecute):
            raise ProviderError.permanent(
                operation, f"{stored_name(type(item))} does not belong in the worker queue"
            )
        number(operation, "execution_id of an activity", item.execution_id)
        number(operation, "id of an activity", item.id)


def completion(operation: str, item: object | None) -> None:
    """How a work item ends: a result, a failure, or nothing to report (PV-11.6)."""
    if item is not None and not isinstance(item, ActivityCompletedMessage | ActivityFailedMessage):
        raise ProviderError.permanent(
            operation, f"a completion is ActivityCompleted or ActivityFailed, not {stored_name(type(item))}"
        )


def events(operation: str, delta: Sequence[StoredEvent]) -> None:
    """Events to be stored: their numbers begin at 1 (PV-5.10)."""
    for event in delta:
        if number(operation, "event_id", event.event_id) == 0:
            raise ProviderError.permanent(operation, "event number 0 is not allowed; the first is 1")


def cancellations(operation: str, activities: Iterable[ScheduledActivityIdentifier]) -> None:
    """Activities to be cancelled: their numbers must be in range, but they need not exist."""
    for each in activities:
        encodable(operation, (each.instance,))
        number(operation, "execution_id of a cancelled activity", each.execution_id)
        number(operation, "activity_id of a cancelled activity", each.activity_id)


def encodable(operation: str, texts: Iterable[str]) -> None:
    """Text in a call must have a UTF-8 form; other text is refused before anything is stored (PV-2.15)."""
    for text in texts:
        if not isinstance(text, str):
            raise ProviderError.permanent(operation, f"text is expected, not {text!r}")
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ProviderError.permanent(operation, f"text cannot be encoded as UTF-8: {error}") from None
