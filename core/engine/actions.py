"""What orchestration code asks for during a turn: one closed union of frozen records (RT-4.1, RT-27.4).

An action has no event id while it is only emitted; `scheduling_event_id` is 0 then, and the id of the event
that records it once the engine has given it one (RT-4.44, SS-11.5). An `Operation` is one emitted action on
its way from the code to its answer.
"""

from __future__ import annotations

from typing import Final, NamedTuple, get_args, get_type_hints

import msgspec
from msgspec.structs import replace

from holdfast.core.contract import arguments


class _Action(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The base class of all actions."""

    scheduling_event_id: int = 0


class CallActivity(_Action, frozen=True, kw_only=True, gc=False):
    """Run an activity; on a session if `session_id` is given."""

    name: str
    input: str
    session_id: str | None = None
    tag: str | None = None


class CreateTimer(_Action, frozen=True, kw_only=True, gc=False):
    """Wait until the due time, epoch milliseconds (RT-7.1)."""

    fire_at_ms: int


class WaitExternal(_Action, frozen=True, kw_only=True, gc=False):
    """Wait for the next positional event of a name."""

    name: str


class DequeueEvent(_Action, frozen=True, kw_only=True, gc=False):
    """Wait for the next message of a queue."""

    name: str


class StartSubOrchestration(_Action, frozen=True, kw_only=True, gc=False):
    """Run a child. `instance` is its suffix or explicit id; a placeholder until bound (RT-1.13)."""

    name: str
    instance: str
    input: str
    version: str | None = None


class StartOrchestrationDetached(_Action, frozen=True, kw_only=True, gc=False):
    """Start a root instance without waiting for it (RT-9.20)."""

    name: str
    instance: str
    input: str
    version: str | None = None


class ContinueAsNew(_Action, frozen=True, kw_only=True, gc=False):
    """End this execution and begin the next with this input (RT-10.1)."""

    input: str
    version: str | None = None


class UpdateCustomStatus(_Action, frozen=True, kw_only=True, gc=False):
    """Set the custom status, or clear it with None."""

    status: str | None


class SetKeyValue(_Action, frozen=True, kw_only=True, gc=False):
    key: str
    value: str
    last_updated_at_ms: int


class ClearKeyValue(_Action, frozen=True, kw_only=True, gc=False):
    key: str


class ClearKeyValues(_Action, frozen=True, kw_only=True, gc=False):
    """Clear all keys."""


class OpenSession(_Action, frozen=True, kw_only=True, gc=False):
    """Open a session (SS-5.1)."""

    session_id: str


class CloseSession(_Action, frozen=True, kw_only=True, gc=False):
    """Close a session, open or not (SS-6.1)."""

    session_id: str


Action = (
    CallActivity
    | CreateTimer
    | WaitExternal
    | DequeueEvent
    | StartSubOrchestration
    | StartOrchestrationDetached
    | ContinueAsNew
    | UpdateCustomStatus
    | SetKeyValue
    | ClearKeyValue
    | ClearKeyValues
    | OpenSession
    | CloseSession
)
"""Everything orchestration code can ask for."""


def _texts_of(kind: type[Action]) -> tuple[tuple[str, bool], ...]:
    members = get_type_hints(kind)
    for name, type_ in members.items():
        assert type_ in (int, str, str | None), (
            f"{kind.__name__}.{name} is of type {type_}: nobody checks that it can be stored"
        )
    return tuple((name, type_ == str | None) for name, type_ in members.items() if type_ is not int)


_TEXTS: Final[dict[type[Action], tuple[tuple[str, bool], ...]]] = {
    kind: _texts_of(kind) for kind in get_args(Action)
}
"""The members of each action that are texts, and whether each may be None; the others are numbers of ours."""


def check_texts(action: Action) -> Action:
    """The action with plain texts; raises TypeError or ValueError for a member that is none, naming it.

    Type hints are not enforced, and a wrong value must not become an event that nobody can read back.
    """
    for member, is_optional in _TEXTS[type(action)]:
        value = getattr(action, member)
        if type(value) is str:
            if value.isascii():
                continue
        elif value is None and is_optional:
            continue
        plain = arguments.text(f"{type(action).__name__}.{member}", value)
        if plain is not value:
            action = replace(action, **{member: plain})
    return action


class Answer(NamedTuple):
    """What came back: a text, or the display text of a failure (RT-4.38)."""

    text: str
    is_error: bool


class Operation:
    """An action with its operation token, and what became of it (RT-1.10, RT-4.31).

    Once `dropped`, the code can no longer observe it; once `cancelled`, it takes no part in matching.
    """

    __slots__ = ("action", "answer", "cancelled", "dropped", "observed", "schedule_id", "token")

    def __init__(self, token: int, action: Action) -> None:
        self.token = token
        self.action = action
        self.schedule_id: int | None = None  # None: not bound to an event yet
        self.answer: Answer | None = None
        self.observed = False
        self.dropped = False
        self.cancelled = False

    def bind(self, schedule_id: int) -> None:
        """Note the event that records it (RT-4.31)."""
        assert self.schedule_id is None, f"{self.action!r} is bound to {self.schedule_id} and {schedule_id}"
        assert schedule_id > 0, f"{self.action!r} is bound to event {schedule_id}; the first is 1"
        self.schedule_id = schedule_id

    def resolve(self, text: str, *, is_error: bool = False) -> None:
        """Deliver the answer; legal also when the future was dropped (RT-4.39)."""
        assert self.schedule_id is not None or self.token == 0, (  # token 0: refused, and never emitted
            f"{self.action!r} is answered with {text!r} before it has an event"
        )
        assert self.answer is None, f"{self.action!r} is answered twice: {self.answer.text!r}, {text!r}"
        self.answer = Answer(text, is_error)
