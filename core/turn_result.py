"""TurnResult: what one turn concluded (RT-4.49 to RT-4.54)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from holdfast.core.actions import Action
from holdfast.core.events import Event
from holdfast.core.failures import FailureDetails
from holdfast.core.observe import Logged


@dataclass(frozen=True, slots=True)
class Continue:
    """The code waits for something."""


@dataclass(frozen=True, slots=True)
class Completed:
    """The code returned."""

    output: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The code raised, or could not be run on.

    `refused` is true after a session check that failed: then no worker item is enqueued (RT-27.8).
    """

    details: FailureDetails
    refused: bool = False


@dataclass(frozen=True, slots=True)
class ContinuedAsNew:
    """The code asked for a fresh execution."""

    input: str
    version: str | None


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Somebody cancelled the instance; beats whatever the code did (RT-4.49)."""

    reason: str


Outcome = Continue | Completed | Failed | ContinuedAsNew | Cancelled


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

    outcome: Outcome
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
