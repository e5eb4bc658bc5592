"""Which events belong to which action, and whether an action fits a recorded one (RT-4.29 to RT-4.36).

`ACTION_KINDS` is the one table of both: a row for each action, with the event that records it, the messages
and events that answer it, and the breadcrumb of giving it up. Replay, intake, dropped futures, history scans
and limit checks ask the table; none has a list of its own. An event that is neither in the table nor listed
in `NO_ACTION` fails the import.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final, Literal, NamedTuple, get_args

import msgspec

from holdfast.core.contract import events, work_items
from holdfast.core.contract.events import KNOWN_KINDS, Event
from holdfast.core.contract.user_texts import excerpt
from holdfast.core.engine import actions
from holdfast.core.engine.actions import Action, Operation
from holdfast.core.program.registry import SYSCALL_PREFIX

Completion = (
    work_items.ActivityCompletedMessage
    | work_items.ActivityFailedMessage
    | work_items.TimerFiredMessage
    | work_items.SubOrchCompleted
    | work_items.SubOrchFailed
)
"""The messages that answer one operation, by schedule id."""

Breadcrumb = (
    events.ActivityCancelRequested
    | events.SubOrchestrationCancelRequested
    | events.ExternalSubscribedCancelled
    | events.QueueSubscribedCancelled
)
"""The events that say an operation was given up."""


class Nondeterminism(Exception):
    """The code does not fit its history; the text is the message of RT-4.80."""


# --- the table ------------------------------------------------------------------------------------------


class CompletionKind(NamedTuple):
    """One way an operation is answered: by message, by event, and the member that both have."""

    message: type[Completion]
    event: type[Event]
    member: Literal["result", "details", "fire_at_ms"]


class SizeLimit(NamedTuple):
    """A text of the recording event that must not be too long (RT-22)."""

    member: str
    limit: Literal["custom_status_bytes_max", "tag_bytes_max", "kv_value_bytes_max"]
    what: str
    """Its name in the message, as a format string for the event."""
    only_last: bool = False
    """Whether a later event of the turn makes up for an earlier one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionKind:
    """What the engine knows about one kind of action."""

    action: type[Action]
    event: type[Event] | None
    """Records it; None if nothing does (RT-4.44)."""
    members: tuple[str, ...] = ()
    """What the event takes over from the action."""
    compared: tuple[str, ...] = ()
    """Those of them that must be equal on replay (RT-4.30)."""
    tolerated: str | None = None
    """Set if the code need not emit it again; begins the message for emitting another instead."""
    completions: tuple[CompletionKind, ...] = ()
    """What answers it, by schedule id."""
    completed: str = ""
    """What is completed, in the messages of RT-4.9: `no matching schedule for <completed> id=`."""
    arrival: type[Event] | None = None
    """What answers it, by name and position."""
    operation: str = ""
    """What awaits an answer, in the messages of RT-4.10 and RT-4.62."""
    operations: str = ""
    breadcrumb: type[Breadcrumb] | None = None
    """Says that it was given up. None: giving it up leaves it as it is (RT-4.59)."""
    needs_sessions: bool = False
    """Whether only a provider with sessions can do it, if it names a session (RT-27.12)."""
    size: SizeLimit | None = None

    def __post_init__(self) -> None:
        name = self.action.__name__
        taken = set(self.members)
        assert taken <= _members_of(self.action), f"{name} has no {taken - _members_of(self.action)}"
        if self.event is None:
            assert not (taken or self.is_awaited), f"{name} leaves no event: nothing can answer it"
        else:
            assert taken == set(self.event.__struct_fields__) - set(Event.__struct_fields__), (
                f"{self.event.__name__} takes {sorted(taken)} of {name}, its own members are others"
            )
        assert set(self.compared) <= taken, f"{name}: {self.compared} are compared, {self.members} recorded"
        assert not (self.completions and self.arrival), f"{name} is answered by schedule id and by name"
        assert not (self.tolerated and self.is_awaited), f"{name} is awaited and may be missing from replay"
        assert self.breadcrumb is None or self.is_awaited, f"{name} is never awaited, and given up"
        assert bool(self.operations) == (self.breadcrumb is not None), f"{name}: {self.operations!r}"
        assert bool(self.completed) == bool(self.completions), f"{name}: {self.completed!r}"

    @property
    def is_awaited(self) -> bool:
        """Whether something answers it."""
        return bool(self.completions) or self.arrival is not None

    @property
    def settled_by(self) -> tuple[type[Event], ...]:
        """The events after which no completion of it is wanted any more."""
        answers = tuple(completion.event for completion in self.completions)
        return answers if self.breadcrumb is None else (*answers, self.breadcrumb)


def _members_of(action: type[Action]) -> set[str]:
    return {*action.__struct_fields__} - {"scheduling_event_id"}


# The order of the rows is that of the limits in RT-22 (the first one exceeded is reported), and that of
# RT-4.60 for the breadcrumbs of dropped futures. Both show in histories and messages, so it must not change.
ACTION_KINDS: Final = (
    ActionKind(
        action=actions.UpdateCustomStatus,
        event=events.CustomStatusUpdated,
        members=("status",),
        tolerated="custom status mismatch",
        size=SizeLimit("status", "custom_status_bytes_max", "Custom status size", only_last=True),
    ),
    ActionKind(
        action=actions.CallActivity,
        event=events.ActivityScheduled,
        members=("name", "input", "session_id", "tag"),
        compared=("name", "input", "session_id", "tag"),
        completions=(
            CompletionKind(work_items.ActivityCompletedMessage, events.ActivityCompleted, "result"),
            CompletionKind(work_items.ActivityFailedMessage, events.ActivityFailed, "details"),
        ),
        completed="completion",
        operation="activity",
        operations="activities",
        breadcrumb=events.ActivityCancelRequested,
        needs_sessions=True,
        size=SizeLimit("tag", "tag_bytes_max", "Activity '{0.name}' tag size"),
    ),
    ActionKind(
        action=actions.CreateTimer,
        event=events.TimerCreated,
        members=("fire_at_ms",),
        completions=(CompletionKind(work_items.TimerFiredMessage, events.TimerFired, "fire_at_ms"),),
        completed="timer",
        operation="timer",
    ),
    ActionKind(
        action=actions.StartSubOrchestration,
        event=events.SubOrchestrationScheduled,
        members=("name", "instance", "input"),
        compared=("name", "input"),
        completions=(
            CompletionKind(work_items.SubOrchCompleted, events.SubOrchestrationCompleted, "result"),
            CompletionKind(work_items.SubOrchFailed, events.SubOrchestrationFailed, "details"),
        ),
        completed="sub-orchestration",
        operation="suborchestration",
        operations="sub-orchestrations",
        breadcrumb=events.SubOrchestrationCancelRequested,
    ),
    ActionKind(
        action=actions.WaitExternal,
        event=events.ExternalSubscribed,
        members=("name",),
        compared=("name",),
        arrival=events.ExternalEvent,
        operations="external waits",
        breadcrumb=events.ExternalSubscribedCancelled,
    ),
    ActionKind(
        action=actions.DequeueEvent,
        event=events.QueueSubscribed,
        members=("name",),
        compared=("name",),
        arrival=events.QueueEvent,
        operations="persistent waits",
        breadcrumb=events.QueueSubscribedCancelled,
    ),
    ActionKind(
        action=actions.StartOrchestrationDetached,
        event=events.OrchestrationChained,
        members=("name", "instance", "input"),
        compared=("name", "instance", "input"),
    ),
    ActionKind(action=actions.ContinueAsNew, event=None),
    ActionKind(
        action=actions.SetKeyValue,
        event=events.KeyValueSet,
        members=("key", "value", "last_updated_at_ms"),
        compared=("key", "value"),
        tolerated="kv set mismatch",
        size=SizeLimit("value", "kv_value_bytes_max", "KV value for key '{0.key}'"),
    ),
    ActionKind(
        action=actions.ClearKeyValue,
        event=events.KeyValueCleared,
        members=("key",),
        compared=("key",),
        tolerated="kv clear mismatch",
    ),
    ActionKind(
        action=actions.ClearKeyValues,
        event=events.KeyValuesCleared,
        tolerated="kv clear_all mismatch",
    ),
    ActionKind(
        action=actions.OpenSession,
        event=events.SessionOpened,
        members=("session_id",),
        compared=("session_id",),
        needs_sessions=True,
    ),
    ActionKind(
        action=actions.CloseSession,
        event=events.SessionClosed,
        members=("session_id",),
        compared=("session_id",),
    ),
)

INSTANCE_ENDS: Final = (events.OrchestrationCompleted, events.OrchestrationFailed)
EXECUTION_ENDS: Final = (*INSTANCE_ENDS, events.OrchestrationContinuedAsNew)
"""Terminal events: only cancel requests of activities may follow one."""

NO_ACTION: Final[tuple[type[Event], ...]] = (
    events.OrchestrationStarted,
    events.OrchestrationCancelRequested,
    *EXECUTION_ENDS,
)
"""The events that concern the execution itself, and no action."""


# --- the lists that derive from it ----------------------------------------------------------------------


def event_roles(kinds: Iterable[ActionKind] = ACTION_KINDS) -> dict[type[Event], str]:
    """What each event is for; an event has one role."""
    roles: dict[type[Event], str] = dict.fromkeys(NO_ACTION, "of the execution")
    for kind in kinds:
        name = kind.action.__name__
        for event, role in (
            (kind.event, f"records {name}"),
            (kind.arrival, f"answers {name}"),
            (kind.breadcrumb, f"gives up {name}"),
            *((completion.event, f"answers {name}") for completion in kind.completions),
        ):
            if event is not None:
                assert event not in roles, f"{event.__name__} {role}, and {roles[event]}"
                roles[event] = role
    return roles


def require_all(kinds: Iterable[ActionKind] = ACTION_KINDS) -> None:
    """No action without a row, no event without a role."""
    kinds = tuple(kinds)
    rows = [kind.action for kind in kinds]
    for action in get_args(Action):
        assert rows.count(action) == 1, f"{action.__name__} has {rows.count(action)} rows in ACTION_KINDS"
    roles = event_roles(kinds)
    for event in KNOWN_KINDS:
        assert event in roles, f"{event.__name__} is in no row of ACTION_KINDS, and not in NO_ACTION"


require_all()

KIND_OF: Final[dict[type[Action], ActionKind]] = {kind.action: kind for kind in ACTION_KINDS}
RECORDED_BY: Final[dict[type[Event], ActionKind]] = {
    kind.event: kind for kind in ACTION_KINDS if kind.event is not None
}
"""Rows by the event that records the action."""

ACTION_EVENTS: Final[frozenset[type[Event]]] = frozenset(RECORDED_BY)
"""The events that record an action, one each."""

COMPLETION_OF_MESSAGE: Final[dict[type[Completion], tuple[ActionKind, CompletionKind]]] = {
    completion.message: (kind, completion) for kind in ACTION_KINDS for completion in kind.completions
}
COMPLETION_OF_EVENT: Final[dict[type[Event], tuple[ActionKind, CompletionKind]]] = {
    completion.event: (kind, completion) for kind in ACTION_KINDS for completion in kind.completions
}
DROPPABLE: Final = tuple((kind, kind.breadcrumb) for kind in ACTION_KINDS if kind.breadcrumb is not None)
"""The rows whose dropped futures leave a breadcrumb, with it, in the order of RT-4.60."""

WAIT_BREADCRUMBS: Final[frozenset[type[Event]]] = frozenset(
    breadcrumb for kind, breadcrumb in DROPPABLE if kind.arrival is not None
)
"""The breadcrumbs that take a wait out of matching; the others mean nothing to the code (RT-4.42)."""

SESSION_EVENTS: Final = frozenset(kind.event for kind in ACTION_KINDS if kind.needs_sessions)
SIZE_LIMITS: Final = tuple((kind.event, kind.size) for kind in ACTION_KINDS if kind.size is not None)

_TOLERANT: dict[type[Event], str] = {
    event: kind.tolerated for event, kind in RECORDED_BY.items() if kind.tolerated is not None
}
"""Events that may find no action at all (RT-4.34, RT-4.35), with the message for finding a wrong one."""

_COMPARED: Final[dict[type[Action], Callable[[object], object]]] = {
    kind.action: attrgetter(*kind.compared) if kind.compared else lambda _: () for kind in ACTION_KINDS
}


# --- matching -------------------------------------------------------------------------------------------


def fits(action: Action, event: Event) -> bool:
    """Whether this action may be what the event recorded (RT-4.30, RT-4.33 to RT-4.35, RT-27.4)."""
    kind = RECORDED_BY.get(type(event))
    if kind is None or kind.action is not type(action):
        return False
    compared = _COMPARED[kind.action]
    return compared(action) == compared(event) or _is_that_system_call(action, event)


def _is_that_system_call(action: Action, event: Event) -> bool:
    """Whether both are one system call, whose inputs are compared as JSON: other writers of the format put
    blanks (RT-18.5)."""
    if not isinstance(action, actions.CallActivity) or not action.name.startswith(SYSCALL_PREFIX):
        return False
    assert isinstance(event, events.ActivityScheduled), f"{event!r} records an activity"
    recorded = (event.name, event.session_id, event.tag)
    if recorded != (action.name, action.session_id, action.tag):
        return False
    try:
        sent, stored = (msgspec.json.decode(text) for text in (action.input, event.input))
    except (msgspec.DecodeError, ValueError, RecursionError):
        return False
    return _canonical(sent) == _canonical(stored)


def _canonical(value: object) -> bytes:
    """One text for equal values: 1, 1.0 and true are three."""
    return msgspec.json.encode(value, order="sorted")


def match_next(unmatched: deque[Operation], event: Event) -> Operation | None:
    """Take the operation that the event recorded off the FIFO; None if the event may go without one.

    Raises Nondeterminism if there is none and must be, or if it does not fit.
    """
    kind = RECORDED_BY.get(type(event))
    assert kind is not None, f"{event!r} records no action"
    if not unmatched:
        if type(event) in _TOLERANT:
            return None
        awaited = kind.is_awaited
        what = "history schedule" if awaited else f"history {events.kind_of(event)}"
        raise Nondeterminism(f"{what} but no emitted action")
    if fits(unmatched[0].action, event):
        return unmatched.popleft()
    if isinstance(event, events.KeyValueCleared):
        commuted = _leading_clear(unmatched, event.key)
        if commuted is not None:
            unmatched.remove(commuted)
            return commuted
    prefix = _TOLERANT.get(type(event), "schedule mismatch")
    raise Nondeterminism(f"{prefix}: action={_shown(unmatched[0].action)} vs event={_shown(event)}")


def _leading_clear(unmatched: deque[Operation], key: str) -> Operation | None:
    """A clear of the key within the leading run of clears: clears of different keys commute (RT-4.36)."""
    for operation in unmatched:
        if not isinstance(operation.action, actions.ClearKeyValue):
            return None
        if operation.action.key == key:
            return operation
    return None


def recording_event(action: Action) -> tuple[type[Event], dict[str, Any]] | None:
    """Kind and members of the event that records a new action; None if it has none (RT-4.44)."""
    kind = KIND_OF[type(action)]
    if kind.event is None:
        return None
    return kind.event, {member: getattr(action, member) for member in kind.members}


def _shown(value: object) -> str:
    return excerpt(repr(value), 600)
