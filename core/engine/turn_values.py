"""TurnInput and TurnResult: all that a turn depends on, and all that it concludes (RT-4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from holdfast.core.contract.events import Event
from holdfast.core.contract.failures import FailureDetails
from holdfast.core.contract.observe import Logged
from holdfast.core.contract.provider import KvEntry
from holdfast.core.contract.work_items import Message
from holdfast.core.engine.actions import Action
from holdfast.core.engine.matching import EXECUTION_ENDS, KIND_OF
from holdfast.core.program.limits import DEFAULT_LIMITS, TurnLimits
from holdfast.core.program.registry import OrchestrationHandler


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnInput:
    """One execution of one instance as fetched, and the code to run over it.

    `history` is the baseline: the stored events and, on a first turn, the OrchestrationStarted just created;
    `persisted_length` says how many of them are really stored. `now_ms` is the one clock reading of the turn,
    `duroxide_version` the version stamped into its events.
    """

    instance: str
    execution_id: int
    history: Sequence[Event]
    persisted_length: int
    messages: Sequence[Message]
    handler: OrchestrationHandler
    now_ms: int
    duroxide_version: str
    kv_snapshot: Mapping[str, KvEntry] = field(default_factory=dict)
    limits: TurnLimits = DEFAULT_LIMITS
    notices: Sequence[Message] = ()
    """Messages that the batch itself calls for, whatever the turn concludes (RT-9.19)."""

    def __post_init__(self) -> None:
        known = len(self.history)
        assert self.persisted_length >= 0, f"{self.persisted_length} events of {self.instance!r} are stored"
        assert self.persisted_length <= known, (
            f"{self.persisted_length} events of {self.instance!r} are stored, and {known} are known"
        )


@dataclass(frozen=True, slots=True)
class ExecutionContinues:
    """The code waits for something."""


@dataclass(frozen=True, slots=True)
class ExecutionCompleted:
    """The code returned."""

    output: str


@dataclass(frozen=True, slots=True)
class ExecutionFailed:
    """The code raised, or could not continue.

    `refused` is true after a session check that failed: then no worker item is enqueued (RT-27.8).
    `traceback` is that of the author's code, for the log record and never stored.
    """

    details: FailureDetails
    refused: bool = False
    traceback: str = ""


@dataclass(frozen=True, slots=True)
class ExecutionContinuedAsNew:
    """The code asked for a fresh execution."""

    input: str
    version: str | None


@dataclass(frozen=True, slots=True)
class ExecutionCancelled:
    """The instance was cancelled; this overrides whatever the code did (RT-4.49)."""

    reason: str


TurnOutcome = (
    ExecutionContinues | ExecutionCompleted | ExecutionFailed | ExecutionContinuedAsNew | ExecutionCancelled
)


class DroppedChild(NamedTuple):
    """A child whose future was dropped: where it was scheduled, and its suffix or explicit id."""

    schedule_id: int
    child: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnResult:
    """The outcome of a turn and everything needed to settle it; `settlement.settle` turns it into effects.

    `delta` holds the events of the turn in order: arrivals, scheduled work, then cancel requests. The first
    `arrived_count` of them are arrivals (stage 1); a first turn's OrchestrationStarted is not among them, it
    is in the input. No terminal event is in it.
    """

    outcome: TurnOutcome
    delta: tuple[Event, ...]
    arrived_count: int
    actions: tuple[Action, ...]
    """The new actions in program order, each with its event id."""
    cancelled_activities: tuple[int, ...]
    """Schedule ids of dropped activities and of those whose session was closed: the lock-steal list."""
    closed_activities: tuple[int, ...]
    """Schedule ids whose session incarnation was closed by this turn: they get no worker item (SS-6.7)."""
    cancelled_children: tuple[DroppedChild, ...]
    opened_sessions: tuple[str, ...]
    """Sessions whose last effective open or close of the turn is an open (SS-15.1)."""
    cancelled_sessions: tuple[str, ...]
    """Sessions that a close of the turn found open, reopened later or not (SS-15.1)."""
    open_sessions_before: tuple[str, ...]
    """Open at the start of the turn, by history alone, in opening order (INV-33)."""
    open_sessions_after: tuple[str, ...]
    """Open at the end of the turn, in opening order (SS-17.1)."""
    carry_forward: tuple[tuple[str, str], ...]
    """Queue messages that no dequeue returned to the code, in arrival order, not capped (RT-10.12)."""
    custom_status: str | None
    """The accumulated custom status (RT-10.6)."""
    kv_key_count: int
    """Live keys after the turn (RT-16.17)."""
    log: tuple[Logged, ...]
    """Traces of the code and warnings about dropped messages; `settlement` says when to log which."""

    def __post_init__(self) -> None:
        assert 0 <= self.arrived_count <= len(self.delta), (
            f"{self.arrived_count} of {len(self.delta)} new events are arrivals"
        )
        recorded_at = [action.scheduling_event_id for action in self.actions]
        assert 0 not in recorded_at, f"not all of {self.actions} got an event id"
        assert recorded_at == sorted(set(recorded_at)), f"actions were recorded in the order {recorded_at}"
        closed = list(self.closed_activities)
        assert closed == sorted(set(closed)), f"activities end with their session in the order {closed}"
        children = {child.schedule_id for child in self.cancelled_children}
        assert len(children) == len(self.cancelled_children), f"dropped twice: {self.cancelled_children}"
        recorded = {event.event_id: type(event) for event in self.delta}
        for action in self.actions:
            kind = recorded.get(action.scheduling_event_id)
            assert kind is KIND_OF[type(action)].event, f"{action!r} was recorded as {kind}"
        for event in self.delta:
            assert type(event) not in EXECUTION_ENDS, f"{event!r} is in a turn; only its settlement writes it"
