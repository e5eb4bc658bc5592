"""The table of actions and events: nothing is forgotten in it, and all lists of events derive from it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from holdfast.core import dispatching, engine
from holdfast.core.contract import events, work_items
from holdfast.core.contract.events import Event
from holdfast.core.dispatching import execution_end
from holdfast.core.engine import actions, matching
from holdfast.core.engine.matching import ACTION_KINDS, KIND_OF, NO_ACTION, event_roles, require_all


def event_classes() -> set[type[Event]]:
    """Every class of the events module that a history can hold."""
    return {
        found
        for found in vars(events).values()
        if isinstance(found, type) and issubclass(found, Event) and found is not Event
    }


@pytest.mark.parametrize("event", sorted(event_classes(), key=str))
def test_every_event_is_about_an_action_or_named_as_about_none(event: type[Event]) -> None:
    role = event_roles()[event]
    assert (role == "of the execution") == (event in NO_ACTION), role
    assert event in events.KNOWN_KINDS, "no history is read that holds it"


@pytest.mark.parametrize("forgotten", ACTION_KINDS, ids=lambda kind: kind.action.__name__)
def test_a_forgotten_action_is_named_at_import(forgotten: matching.ActionKind) -> None:
    others = [kind for kind in ACTION_KINDS if kind is not forgotten]
    with pytest.raises(AssertionError, match=f"{forgotten.action.__name__} has 0 rows"):
        require_all(others)


@pytest.mark.parametrize(
    ("action", "lost", "forgotten"),
    [
        (actions.CreateTimer, {"completions": (), "completed": ""}, "TimerFired"),
        (actions.WaitExternal, {"breadcrumb": None, "operations": ""}, "ExternalSubscribedCancelled"),
        (actions.WaitExternal, {"arrival": None, "breadcrumb": None, "operations": ""}, "ExternalEvent"),
    ],
)
def test_a_forgotten_event_is_named_at_import(
    action: type[actions.Action], lost: dict[str, object], forgotten: str
) -> None:
    short = [replace(kind, **lost) if kind.action is action else kind for kind in ACTION_KINDS]  # type: ignore[arg-type]
    with pytest.raises(AssertionError, match=f"{forgotten} is in no row of ACTION_KINDS"):
        require_all(short)


def test_an_event_has_one_role() -> None:
    timer = KIND_OF[actions.CreateTimer]
    twice = [*ACTION_KINDS, timer]
    with pytest.raises(AssertionError, match="TimerCreated records CreateTimer, and records CreateTimer"):
        event_roles(twice)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"members": ("name",)}, "ActivityScheduled takes"),
        ({"members": ("name", "input", "session_id", "label")}, "CallActivity has no"),
        ({"compared": ("fire_at_ms",)}, "are compared"),
        ({"arrival": events.ExternalEvent}, "answered by schedule id and by name"),
        ({"tolerated": "activity mismatch"}, "awaited and may be missing"),
        ({"completions": (), "completed": ""}, "never awaited, and given up"),
        ({"breadcrumb": None}, "'activities'"),
        ({"completed": ""}, "CallActivity: ''"),
        ({"event": None, "members": ()}, "leaves no event"),
    ],
)
def test_a_row_that_contradicts_itself_cannot_be_made(change: dict[str, object], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        replace(KIND_OF[actions.CallActivity], **change)  # type: ignore[arg-type]


def test_every_list_derives_from_the_table() -> None:
    assert set(KIND_OF) == set(get_args(actions.Action))
    assert {kind.event for kind in ACTION_KINDS} - {None} == matching.ACTION_EVENTS
    answers = {completion.event for kind in ACTION_KINDS for completion in kind.completions}
    assert set(matching.COMPLETION_OF_EVENT) == answers
    assert set(matching.COMPLETION_OF_MESSAGE) == set(get_args(matching.Completion))
    assert {breadcrumb for _, breadcrumb in matching.DROPPABLE} == set(get_args(matching.Breadcrumb))
    waits = {kind.breadcrumb for kind in ACTION_KINDS if kind.arrival is not None}
    assert waits == matching.WAIT_BREADCRUMBS
    assert set(execution_end._ACTIVITY_REASON) == set(matching.EXECUTION_ENDS)


def test_breadcrumbs_of_dropped_futures_come_in_the_order_of_rt_4_60() -> None:
    assert [kind.operations for kind, _ in matching.DROPPABLE] == [
        "activities",
        "sub-orchestrations",
        "external waits",
        "persistent waits",
    ]


def test_a_message_and_the_event_it_becomes_share_the_member_that_is_taken_over() -> None:
    for message, (_, completion) in matching.COMPLETION_OF_MESSAGE.items():
        assert completion.member in {member.name for member in msgspec.structs.fields(message)}
        assert completion.member in {member.name for member in msgspec.structs.fields(completion.event)}
    assert set(matching.COMPLETION_OF_MESSAGE) < set(work_items.MESSAGE_KINDS)


ALLOWED = {
    "execution_end: OrchestrationCompleted, OrchestrationFailed, OrchestrationContinuedAsNew",  # its reasons
    "settlement: SessionOpened, SessionClosed",  # what is logged under which name
}


def test_no_other_module_lists_kinds_of_events() -> None:
    """A list outside the table is one in which a new kind can be forgotten."""
    names = {event.__name__ for event in event_classes()}
    found = set()
    for room in (engine, dispatching):
        for path in Path(room.__path__[0]).glob("*.py"):
            if path.stem != "matching":
                for listed in _lists_in(ast.parse(path.read_text(encoding="utf-8")), names):
                    found.add(f"{path.stem}: {', '.join(listed)}")
    assert found == ALLOWED


def _lists_in(tree: ast.AST, names: set[str]) -> Iterator[list[str]]:
    """Unions, tuples, sets and dict keys that name two events or more."""
    for node in ast.walk(tree):
        parts: list[ast.expr | None]
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
            parts = [node.left, node.right]
        elif isinstance(node, ast.Tuple | ast.Set | ast.List):
            parts = list(node.elts)
        elif isinstance(node, ast.Dict):
            parts = list(node.keys)
        else:
            continue
        listed = [part.attr if isinstance(part, ast.Attribute) else getattr(part, "id", "") for part in parts]
        if len(listed) > 1 and set(listed) <= names:
            yield listed
