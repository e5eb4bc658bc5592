"""TurnCommit: what the dispatcher acknowledges for one turn, whole (RT-5.32)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from holdfast.core.contract.events import Event
from holdfast.core.contract.failures import FailureDetails
from holdfast.core.contract.observe import Logged
from holdfast.core.contract.provider import ExecutionMetadata, ScheduledActivityIdentifier
from holdfast.core.contract.work_items import ActivityExecute, Message

CommitOutcome = Literal["Continue", "Completed", "Failed", "ContinuedAsNew", "Cancelled"]
"""How the turn ends the execution, if it does; a cancelled execution is stored as Failed (RT-5.24)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnCommit:
    """The arguments of one acknowledgement, and what to log about it.

    `log` is to be logged when the turn has been computed, `log_committed` once the acknowledgement has been
    accepted, so that an opened session is logged once however often its turn is run (SS-22.1).
    """

    execution_id: int
    history_delta: tuple[Event, ...]
    worker_items: tuple[ActivityExecute, ...]
    orchestrator_items: tuple[Message, ...]
    metadata: ExecutionMetadata
    cancelled_activities: tuple[ScheduledActivityIdentifier, ...]
    outcome: CommitOutcome
    failure: FailureDetails | None
    """Set when the execution ends as Failed or Cancelled."""
    open_sessions: tuple[str, ...]
    """What the engine started the turn from (INV-33)."""
    log: tuple[Logged, ...] = ()
    log_committed: tuple[Logged, ...] = ()
