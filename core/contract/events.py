"""Event: one frozen record per kind of fact a history can hold (RT-2).

The class name is the wire `type`, except for the queue family, whose historical wire names keep the word
"Persistent" (RT-2.11). Optional members are omitted when absent; nullable ones are always written.
"""

from typing import Any

import msgspec

from holdfast.core.contract.failures import FailureDetails


def _null() -> Any:
    return None


# A member with a plain `None` default is omitted when None; one with this factory is written as null.
_NULLABLE: Any = msgspec.field(default_factory=_null)


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", gc=False):
    """What all events share (RT-2.2). `source_event_id` is the schedule id this event answers."""

    event_id: int
    source_event_id: int | None = _NULLABLE
    instance_id: str
    execution_id: int
    timestamp_ms: int
    duroxide_version: str


class OrchestrationStarted(Event, frozen=True, kw_only=True, tag=True):
    """Always event 1 of an execution. `open_sessions` are the carried ones, in opening order (SS-11.7)."""

    name: str
    version: str
    input: str
    parent_instance: str | None = _NULLABLE
    parent_id: int | None = _NULLABLE
    parent_execution_id: int | None = None
    carry_forward_events: tuple[tuple[str, str], ...] | None = None
    initial_custom_status: str | None = None
    open_sessions: tuple[str, ...] = ()


class OrchestrationCompleted(Event, frozen=True, kw_only=True, tag=True):
    """Terminal: the code returned."""

    output: str


class OrchestrationFailed(Event, frozen=True, kw_only=True, tag=True):
    """Terminal: the code raised, was cancelled, or could not be run."""

    details: FailureDetails


class OrchestrationContinuedAsNew(Event, frozen=True, kw_only=True, tag=True):
    """Terminal for the execution, not for the instance; carries the open sessions (SS-11.7)."""

    input: str
    open_sessions: tuple[str, ...] = ()


class OrchestrationCancelRequested(Event, frozen=True, kw_only=True, tag=True):
    """Cancellation was requested; the turn decides what follows (RT-11)."""

    reason: str


class ActivityScheduled(Event, frozen=True, kw_only=True, tag=True):
    """An activity was asked for; `session_id` when on a session (SS-11.2)."""

    name: str
    input: str
    session_id: str | None = None
    tag: str | None = None


class ActivityCompleted(Event, frozen=True, kw_only=True, tag=True):
    """The activity answered with a result."""

    result: str


class ActivityFailed(Event, frozen=True, kw_only=True, tag=True):
    """The activity answered with a failure."""

    details: FailureDetails


class ActivityCancelRequested(Event, frozen=True, kw_only=True, tag=True):
    """Breadcrumb: the activity was given up, for one of the reasons of RT-2.15."""

    reason: str


class TimerCreated(Event, frozen=True, kw_only=True, tag=True):
    """A durable delay ends at `fire_at_ms`."""

    fire_at_ms: int


class TimerFired(Event, frozen=True, kw_only=True, tag=True):
    """The delay ended; repeats the stored due time (RT-7.3)."""

    fire_at_ms: int


class ExternalSubscribed(Event, frozen=True, kw_only=True, tag=True):
    """The code waits for a positional external event."""

    name: str


class ExternalEvent(Event, frozen=True, kw_only=True, tag=True):
    """A positional external event arrived."""

    name: str
    data: str


class ExternalSubscribedCancelled(Event, frozen=True, kw_only=True, tag=True):
    """Breadcrumb: the wait was given up."""

    reason: str


class QueueSubscribed(Event, frozen=True, kw_only=True, tag="ExternalSubscribedPersistent"):
    """The code waits for the next message of a queue."""

    name: str


class QueueEvent(Event, frozen=True, kw_only=True, tag="ExternalEventPersistent"):
    """A queue message arrived."""

    name: str
    data: str


class QueueSubscribedCancelled(Event, frozen=True, kw_only=True, tag="ExternalSubscribedPersistentCancelled"):
    """Breadcrumb: the dequeue was given up."""

    reason: str


class SubOrchestrationScheduled(Event, frozen=True, kw_only=True, tag=True):
    """A child was asked for; `instance` is its suffix or explicit id (RT-1.15)."""

    name: str
    instance: str
    input: str


class SubOrchestrationCompleted(Event, frozen=True, kw_only=True, tag=True):
    """The child returned."""

    result: str


class SubOrchestrationFailed(Event, frozen=True, kw_only=True, tag=True):
    """The child failed."""

    details: FailureDetails


class SubOrchestrationCancelRequested(Event, frozen=True, kw_only=True, tag=True):
    """Breadcrumb: the child was given up."""

    reason: str


class OrchestrationChained(Event, frozen=True, kw_only=True, tag=True):
    """A detached orchestration was started."""

    name: str
    instance: str
    input: str


class CustomStatusUpdated(Event, frozen=True, kw_only=True, tag=True):
    """The custom status was set, or cleared by null."""

    status: str | None = _NULLABLE


class KeyValueSet(Event, frozen=True, kw_only=True, tag=True):
    """A key was set."""

    key: str
    value: str
    # A default that is never equal to a stored number keeps the member written, and readable when missing.
    last_updated_at_ms: int = msgspec.field(default_factory=int)


class KeyValueCleared(Event, frozen=True, kw_only=True, tag=True):
    """A key was cleared."""

    key: str


class KeyValuesCleared(Event, frozen=True, kw_only=True, tag=True):
    """All keys were cleared."""


class SessionOpened(Event, frozen=True, kw_only=True, tag=True):
    """A session was opened (SS-5.1)."""

    session_id: str


class SessionClosed(Event, frozen=True, kw_only=True, tag=True):
    """A session was closed by the code, open or not (SS-6.1)."""

    session_id: str


class OpaqueEvent(msgspec.Struct, frozen=True, kw_only=True):
    """A stored event of a kind this version does not know: kept whole, never executed.

    A provider stores and returns it field for field (PV-1.4); a runtime refuses a history that holds one
    (RT-2.4). `encoded` is the JSON object as it was given.
    """

    event_id: int
    kind: str
    encoded: bytes


KNOWN_KINDS: tuple[type[Event], ...] = (
    OrchestrationStarted,
    OrchestrationCompleted,
    OrchestrationFailed,
    OrchestrationContinuedAsNew,
    OrchestrationCancelRequested,
    ActivityScheduled,
    ActivityCompleted,
    ActivityFailed,
    ActivityCancelRequested,
    TimerCreated,
    TimerFired,
    ExternalSubscribed,
    ExternalEvent,
    ExternalSubscribedCancelled,
    QueueSubscribed,
    QueueEvent,
    QueueSubscribedCancelled,
    SubOrchestrationScheduled,
    SubOrchestrationCompleted,
    SubOrchestrationFailed,
    SubOrchestrationCancelRequested,
    OrchestrationChained,
    CustomStatusUpdated,
    KeyValueSet,
    KeyValueCleared,
    KeyValuesCleared,
    SessionOpened,
    SessionClosed,
)
"""Every kind a history may hold, in the order of RT-2.2; sessions last."""

StoredEvent = Event | OpaqueEvent
"""What a provider keeps: a known kind, or one it stores without understanding."""


def kind_of(event: StoredEvent) -> str:
    """The wire `type` of an event, as the provider's kind column has it (RT-2.8)."""
    if isinstance(event, OpaqueEvent):
        return event.kind
    return _KIND_NAMES[type(event)]


assert set(KNOWN_KINDS) == set(Event.__subclasses__()), "a kind of event is missing from KNOWN_KINDS"

_KIND_NAMES: dict[type[Event], str] = {kind: str(kind.__struct_config__.tag) for kind in KNOWN_KINDS}
