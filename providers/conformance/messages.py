"""Messages, activities and events, built with as few arguments as a check needs.

The instance is "i" unless a check has several; whatever instance an event mentions, it is stored under the
locked one (PV-5.9).
"""

from __future__ import annotations

import json
from typing import Any

from holdfast.core.contract import events, work_items
from holdfast.core.contract.codec import decode_event, decode_message
from holdfast.core.contract.events import Event
from holdfast.core.contract.provider import ScheduledActivityIdentifier, ScheduledSessionIdentifier
from holdfast.core.contract.work_items import (
    ActivityExecute,
    CancelInstance,
    ContinueAsNewMessage,
    ExternalRaised,
    Message,
    QueueMessage,
    StartOrchestration,
    SubOrchCompleted,
)

FLOW = "Flow"
VERSION = "1.0.0"
WRITTEN_BY = "0.1.32"
FAILURE = {"Application": {"kind": "ActivityFailed", "message": "boom", "retryable": False}}


# --- the orchestrator queue -------------------------------------------------------------------------------


def start(instance: str = "i", *, version: str | None = VERSION, parent: str | None = None) -> Message:
    """A start message; with `parent`, of a child."""
    return StartOrchestration(
        instance=instance,
        orchestration=FLOW,
        input="{}",
        version=version,
        parent_instance=parent,
        parent_id=None if parent is None else 2,
        execution_id=1,
    )


def external(instance: str = "i", data: str = "data", name: str = "signal") -> Message:
    """An external event: the plainest message there is."""
    return ExternalRaised(instance=instance, name=name, data=data)


def queued(instance: str = "i", data: str = "data") -> Message:
    """A message for a named queue of an instance."""
    return QueueMessage(instance=instance, name="inbox", data=data)


def cancel(instance: str = "i") -> Message:
    """A request to end an instance."""
    return CancelInstance(instance=instance, reason="enough")


def completed(instance: str = "i", id: int = 2, result: str = "done", execution_id: int = 1) -> Message:
    """A worker's answer."""
    return work_items.ActivityCompletedMessage(
        instance=instance, execution_id=execution_id, id=id, result=result
    )


def failed(instance: str = "i", id: int = 2, execution_id: int = 1) -> Message:
    """A worker's failure."""
    return _message("ActivityFailed", instance=instance, execution_id=execution_id, id=id, details=FAILURE)


def timer(instance: str = "i", *, fire_at_ms: int, id: int = 2) -> Message:
    """A timer that fires at that time when an acknowledgement brings it."""
    return work_items.TimerFiredMessage(instance=instance, execution_id=1, id=id, fire_at_ms=fire_at_ms)


def child_completed(parent: str = "i", result: str = "done") -> Message:
    """A child's result, addressed to its parent."""
    return SubOrchCompleted(parent_instance=parent, parent_execution_id=1, parent_id=2, result=result)


def child_failed(parent: str = "i") -> Message:
    """A child's failure, addressed to its parent."""
    return _message(
        "SubOrchFailed", parent_instance=parent, parent_execution_id=1, parent_id=2, details=FAILURE
    )


def continue_as_new(instance: str = "i", **members: Any) -> Message:
    """The message that begins the next execution."""
    return ContinueAsNewMessage(
        instance=instance, orchestration=FLOW, input="next", version=VERSION, **members
    )


def _message(kind: str, **members: object) -> Message:
    return decode_message(json.dumps({kind: members}))


# --- the worker queue -------------------------------------------------------------------------------------


def activity(
    id: int = 2,
    instance: str = "i",
    *,
    session: str | None = None,
    tag: str | None = None,
    execution_id: int = 1,
    input: str = "{}",
) -> ActivityExecute:
    """An activity; with `session`, bound to that session of its instance."""
    return ActivityExecute(
        instance=instance,
        execution_id=execution_id,
        id=id,
        name="Task",
        input=input,
        session_id=session,
        tag=tag,
    )


def named(id: int = 2, instance: str = "i", *, execution_id: int = 1) -> ScheduledActivityIdentifier:
    """How an acknowledgement names an activity that it cancels."""
    return ScheduledActivityIdentifier(instance, execution_id, id)


def session(session_id: str = "s", instance: str = "i") -> ScheduledSessionIdentifier:
    """How an acknowledgement names a session that it opens or closes."""
    return ScheduledSessionIdentifier(instance, session_id)


# --- history ----------------------------------------------------------------------------------------------


def started(event_id: int = 1, *, execution_id: int = 1, name: str = FLOW, version: str = VERSION) -> Event:
    """The first event of an execution."""
    return events.OrchestrationStarted(
        **_common(event_id, execution_id), name=name, version=version, input="{}"
    )


def note(event_id: int, data: str = "data", *, execution_id: int = 1, instance: str = "i") -> Event:
    """An event that means nothing to a provider."""
    return events.ExternalEvent(**_common(event_id, execution_id, instance), name="note", data=data)


def failure(event_id: int) -> Event:
    """The event that ends an execution as failed."""
    members = {**_common(event_id, 1), "type": "OrchestrationFailed", "details": FAILURE}
    return decode_event(json.dumps(members))


def status(event_id: int, text: str | None) -> Event:
    """The custom status is set, or cleared."""
    return events.CustomStatusUpdated(**_common(event_id), status=text)


def kv_set(event_id: int, key: str, value: str, *, at_ms: int = 1) -> Event:
    """A key is set."""
    return events.KeyValueSet(**_common(event_id), key=key, value=value, last_updated_at_ms=at_ms)


def kv_clear(event_id: int, key: str) -> Event:
    """A key is cleared."""
    return events.KeyValueCleared(**_common(event_id), key=key)


def kv_clear_all(event_id: int) -> Event:
    """All keys are cleared."""
    return events.KeyValuesCleared(**_common(event_id))


def session_opened(event_id: int, session_id: str = "s") -> Event:
    """The event that a session was opened."""
    return events.SessionOpened(**_common(event_id), session_id=session_id)


def session_closed(event_id: int, session_id: str = "s") -> Event:
    """The event that a session was closed."""
    return events.SessionClosed(**_common(event_id), session_id=session_id)


def _common(event_id: int, execution_id: int = 1, instance: str = "i") -> dict[str, Any]:
    return {
        "event_id": event_id,
        "instance_id": instance,
        "execution_id": execution_id,
        "timestamp_ms": 1,
        "duroxide_version": WRITTEN_BY,
    }
