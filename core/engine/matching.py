"""Which event records an action, and does an emitted action fit a recorded one (RT-4.29 to RT-4.36)."""

from __future__ import annotations

from collections import deque
from typing import Any, assert_never

from holdfast.core.contract import events
from holdfast.core.contract.events import Event
from holdfast.core.engine import actions
from holdfast.core.engine.actions import Action, Operation


class Nondeterminism(Exception):
    """The code does not fit its history; the text is the message of RT-4.80."""


ACTION_EVENTS: frozenset[type[Event]] = frozenset(
    {
        events.ActivityScheduled,
        events.TimerCreated,
        events.ExternalSubscribed,
        events.QueueSubscribed,
        events.SubOrchestrationScheduled,
        events.OrchestrationChained,
        events.CustomStatusUpdated,
        events.KeyValueSet,
        events.KeyValueCleared,
        events.KeyValuesCleared,
        events.SessionOpened,
        events.SessionClosed,
    }
)
"""The events that record an action, one each."""

_FIRE_AND_FORGET: tuple[type[Event], ...] = (
    events.OrchestrationChained,
    events.SessionOpened,
    events.SessionClosed,
)
_TOLERANT: dict[type[Event], str] = {
    events.CustomStatusUpdated: "custom status mismatch",
    events.KeyValueSet: "kv set mismatch",
    events.KeyValueCleared: "kv clear mismatch",
    events.KeyValuesCleared: "kv clear_all mismatch",
}
"""Events that may find no action at all (RT-4.34, RT-4.35), with the message for finding a wrong one."""


def fits(action: Action, event: Event) -> bool:
    """Whether this action may be what the event recorded (RT-4.30, RT-4.33 to RT-4.35, RT-27.4)."""
    match action, event:
        case actions.CallActivity(), events.ActivityScheduled():
            return (action.name, action.input, action.session_id, action.tag) == (
                event.name,
                event.input,
                event.session_id,
                event.tag,
            )
        case actions.CreateTimer(), events.TimerCreated():
            return True
        case actions.WaitExternal(), events.ExternalSubscribed():
            return action.name == event.name
        case actions.DequeueEvent(), events.QueueSubscribed():
            return action.name == event.name
        case actions.StartSubOrchestration(), events.SubOrchestrationScheduled():
            return (action.name, action.input) == (event.name, event.input)
        case actions.StartOrchestrationDetached(), events.OrchestrationChained():
            wanted = (event.name, event.instance, event.input)
            return (action.name, action.instance, action.input) == wanted
        case actions.UpdateCustomStatus(), events.CustomStatusUpdated():
            return True
        case actions.SetKeyValue(), events.KeyValueSet():
            return (action.key, action.value) == (event.key, event.value)
        case actions.ClearKeyValue(), events.KeyValueCleared():
            return action.key == event.key
        case actions.ClearKeyValues(), events.KeyValuesCleared():
            return True
        case actions.OpenSession(), events.SessionOpened():
            return action.session_id == event.session_id
        case actions.CloseSession(), events.SessionClosed():
            return action.session_id == event.session_id
        case _:
            return False


def match_next(unmatched: deque[Operation], event: Event) -> Operation | None:
    """Take the operation that the event recorded off the FIFO; None if the event may go without one.

    Raises Nondeterminism if there is none and must be, or if it does not fit.
    """
    if not unmatched:
        if type(event) in _TOLERANT:
            return None
        what = f"history {events.kind_of(event)}" if type(event) in _FIRE_AND_FORGET else "history schedule"
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
    match action:
        case actions.CallActivity():
            return events.ActivityScheduled, {
                "name": action.name,
                "input": action.input,
                "session_id": action.session_id,
                "tag": action.tag,
            }
        case actions.CreateTimer():
            return events.TimerCreated, {"fire_at_ms": action.fire_at_ms}
        case actions.WaitExternal():
            return events.ExternalSubscribed, {"name": action.name}
        case actions.DequeueEvent():
            return events.QueueSubscribed, {"name": action.name}
        case actions.StartSubOrchestration():
            return events.SubOrchestrationScheduled, _start(action)
        case actions.StartOrchestrationDetached():
            return events.OrchestrationChained, _start(action)
        case actions.ContinueAsNew():
            return None
        case actions.UpdateCustomStatus():
            return events.CustomStatusUpdated, {"status": action.status}
        case actions.SetKeyValue():
            return events.KeyValueSet, {
                "key": action.key,
                "value": action.value,
                "last_updated_at_ms": action.last_updated_at_ms,
            }
        case actions.ClearKeyValue():
            return events.KeyValueCleared, {"key": action.key}
        case actions.ClearKeyValues():
            return events.KeyValuesCleared, {}
        case actions.OpenSession():
            return events.SessionOpened, {"session_id": action.session_id}
        case actions.CloseSession():
            return events.SessionClosed, {"session_id": action.session_id}
        case _:
            assert_never(action)


def _start(action: actions.StartSubOrchestration | actions.StartOrchestrationDetached) -> dict[str, Any]:
    return {"name": action.name, "instance": action.instance, "input": action.input}


def _shown(value: object, length: int = 600) -> str:
    text = repr(value)
    return text if len(text) <= length else text[:length] + "…"
