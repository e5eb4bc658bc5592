"""Figures of an execution for records and metrics, from its history alone: several runtimes may share one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from holdfast.core.contract.events import (
    Event,
    OrchestrationCancelRequested,
    SubOrchestrationCompleted,
    SubOrchestrationScheduled,
)
from holdfast.core.dispatching.history_scan import started_of
from holdfast.core.engine.actions import StartSubOrchestration
from holdfast.core.engine.matching import ACTION_KINDS, KIND_OF

_ARRIVALS: Final = frozenset(
    {OrchestrationCancelRequested}
    | {kind.arrival for kind in ACTION_KINDS}
    | {completion.event for kind in ACTION_KINDS for completion in kind.completions}
)
"""The kinds of events that a message becomes, at the beginning of a turn."""

_CHILD_ANSWERS: Final = frozenset(
    completion.event for completion in KIND_OF[StartSubOrchestration].completions
)


def execution_figures(history: Sequence[Event]) -> dict[str, object]:
    """Its duration, turns and size, from its start to the last event (RT-23.9); empty without a start."""
    started = started_of(history)
    if started is None:
        return {}
    duration_ms = max(history[-1].timestamp_ms - started.timestamp_ms, 0)  # a wall clock may be set back
    return {"duration_ms": duration_ms, "turns": turn_count(history)}


def turn_count(history: Sequence[Event]) -> int:
    """How many turns have written something.

    All events of a turn have one time, and what arrived comes first in it. So a turn begins where the time
    changes, and where an arrival follows something else; two turns of one millisecond that record nothing but
    arrivals count as one.
    """
    begun = sum(
        event.timestamp_ms != before.timestamp_ms
        or (type(event) in _ARRIVALS and type(before) not in _ARRIVALS)
        for before, event in pairwise(history)
    )
    count = begun + bool(history)
    assert count <= len(history), f"{count} turns have written {len(history)} events"
    return count


class EndedChild(NamedTuple):
    """A child that has answered its parent."""

    name: str
    outcome: str
    duration_ms: int


def ended_children(history: Sequence[Event], delta: Sequence[Event]) -> list[EndedChild]:
    """The children whose answers are among the events of a turn, with the time that each has taken."""
    answers = [event for event in delta if type(event) in _CHILD_ANSWERS]
    if not answers:
        return []
    assert len(history) >= len(delta), f"{len(delta)} events of a turn are no part of {len(history)}"
    asked = {event.event_id: event for event in history if isinstance(event, SubOrchestrationScheduled)}
    ended = []
    for answer in answers:
        child = asked.get(answer.source_event_id or 0)
        if child is not None:
            outcome = "success" if isinstance(answer, SubOrchestrationCompleted) else "failed"
            ended.append(EndedChild(child.name, outcome, max(answer.timestamp_ms - child.timestamp_ms, 0)))
    return ended
