"""What travels in the two queues (RT-3, PV-2.11).

`Message` is an entry of the orchestrator queue, `ActivityExecute` the only entry of the worker queue. Four
names of the specification also name an event or an action; here those classes end in `Message`, and
`stored_name` gives the specification's name.
"""

from typing import Any, Final, get_args

import msgspec

from holdfast.core.contract.failures import FailureDetails


def _null() -> Any:
    return None


_NULLABLE: Any = msgspec.field(default_factory=_null)


class _Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Common configuration: optional members are omitted when absent."""


class StartOrchestration(_Entry, frozen=True, kw_only=True):
    """Begin an instance; a parent link makes it a child."""

    instance: str
    orchestration: str
    input: str
    version: str | None = _NULLABLE
    parent_instance: str | None = _NULLABLE
    parent_id: int | None = _NULLABLE
    parent_execution_id: int | None = None
    execution_id: int


def _no_events() -> tuple[tuple[str, str], ...]:
    return ()


class ContinueAsNewMessage(_Entry, frozen=True, kw_only=True):
    """Begin the next execution of an instance, with what it carries over (SS-11.6)."""

    instance: str
    orchestration: str
    input: str
    version: str | None = _NULLABLE
    parent_instance: str | None = None
    parent_id: int | None = None
    parent_execution_id: int | None = None
    carry_forward_events: tuple[tuple[str, str], ...] = msgspec.field(default_factory=_no_events)
    initial_custom_status: str | None = None
    open_sessions: tuple[str, ...] = ()


class ActivityCompletedMessage(_Entry, frozen=True, kw_only=True):
    """A worker's answer: the result of an activity."""

    instance: str
    execution_id: int
    id: int
    result: str


class ActivityFailedMessage(_Entry, frozen=True, kw_only=True):
    """A worker's answer: the failure of an activity."""

    instance: str
    execution_id: int
    id: int
    details: FailureDetails


class TimerFiredMessage(_Entry, frozen=True, kw_only=True):
    """A timer, not visible before `fire_at_ms` on the store's clock (PV-3.9)."""

    instance: str
    execution_id: int
    id: int
    fire_at_ms: int


class ExternalRaised(_Entry, frozen=True, kw_only=True):
    """A positional external event."""

    instance: str
    name: str
    data: str


class QueueMessage(_Entry, frozen=True, kw_only=True):
    """A message for a named queue of an instance."""

    instance: str
    name: str
    data: str


class SubOrchCompleted(_Entry, frozen=True, kw_only=True):
    """A child's result, addressed to its parent (PV-2.10)."""

    parent_instance: str
    parent_execution_id: int
    parent_id: int
    result: str


class SubOrchFailed(_Entry, frozen=True, kw_only=True):
    """A child's failure, addressed to its parent (PV-2.10)."""

    parent_instance: str
    parent_execution_id: int
    parent_id: int
    details: FailureDetails


class CancelInstance(_Entry, frozen=True, kw_only=True):
    """A request to end an instance."""

    instance: str
    reason: str


class ActivityExecute(_Entry, frozen=True, kw_only=True):
    """One activity to run; `session_id` binds it to the session's owner (SS-11.3)."""

    instance: str
    execution_id: int
    id: int
    name: str
    input: str
    session_id: str | None = None
    tag: str | None = None


Message = (
    StartOrchestration
    | ContinueAsNewMessage
    | ActivityCompletedMessage
    | ActivityFailedMessage
    | TimerFiredMessage
    | ExternalRaised
    | QueueMessage
    | SubOrchCompleted
    | SubOrchFailed
    | CancelInstance
)
"""An entry of the orchestrator queue (PV-2.9)."""

WorkItem = Message | ActivityExecute

MESSAGE_KINDS: tuple[type[Message], ...] = (
    StartOrchestration,
    ContinueAsNewMessage,
    ActivityCompletedMessage,
    ActivityFailedMessage,
    TimerFiredMessage,
    ExternalRaised,
    QueueMessage,
    SubOrchCompleted,
    SubOrchFailed,
    CancelInstance,
)

_OTHER_STORED_NAMES: Final[dict[type, str]] = {
    ContinueAsNewMessage: "ContinueAsNew",
    ActivityCompletedMessage: "ActivityCompleted",
    ActivityFailedMessage: "ActivityFailed",
    TimerFiredMessage: "TimerFired",
}


def stored_name(kind: type) -> str:
    """The name under which a kind of item is stored and reported (PV-2.11); for other classes, their own."""
    return _OTHER_STORED_NAMES.get(kind, kind.__name__)


assert set(MESSAGE_KINDS) == set(get_args(Message)), "a kind of message is missing from MESSAGE_KINDS"


def addressee(message: Message) -> str:
    """The instance a message is for (PV-2.10)."""
    if isinstance(message, SubOrchCompleted | SubOrchFailed):
        return message.parent_instance
    return message.instance
