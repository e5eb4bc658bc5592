"""TurnCommit: what the dispatcher acknowledges for one turn, whole (RT-5.32)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

from holdfast.core.contract.events import (
    ActivityScheduled,
    Event,
    OrchestrationCompleted,
    OrchestrationContinuedAsNew,
    OrchestrationFailed,
    SubOrchestrationScheduled,
    TimerCreated,
)
from holdfast.core.contract.failures import FailureDetails
from holdfast.core.contract.observe import Logged
from holdfast.core.contract.provider import ExecutionMetadata, ScheduledActivityIdentifier
from holdfast.core.contract.work_items import (
    ActivityExecute,
    ContinueAsNewMessage,
    Message,
    StartOrchestration,
    TimerFiredMessage,
)
from holdfast.core.engine.matching import EXECUTION_ENDS

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

    def __post_init__(self) -> None:
        """A mistake made on the way here would be stored: a store checks none of this (PV-1.3)."""
        self._check_history()
        self._check_end()
        self._check_work()

    def _check_history(self) -> None:
        for before, event in pairwise(self.history_delta):
            assert before.event_id < event.event_id, (
                f"event {event.event_id} after {before.event_id}: {event!r}"
            )
            assert before.instance_id == event.instance_id, f"{before!r} and {event!r} in one commit"
        for event in self.history_delta:
            assert event.event_id > 0, f"{event!r} has no id"
            assert event.execution_id == self.execution_id, f"{event!r} in execution {self.execution_id}"

    def _check_end(self) -> None:
        """The terminal event, the status and the outcome of an execution agree (RT-5.24 to RT-5.26)."""
        ends = tuple(type(event) for event in self.history_delta if type(event) in EXECUTION_ENDS)
        wanted = _END_OF[self.outcome]
        assert ends == wanted, f"outcome {self.outcome}, written as {ends}"
        status = self.metadata.status
        assert (status is None) == (not ends), f"outcome {self.outcome}, status {status}"
        assert (self.metadata.output is None) == (not ends), (
            f"outcome {self.outcome} without output, or with one"
        )
        has_failed = self.outcome in ("Failed", "Cancelled")
        assert has_failed == (self.failure is not None), f"outcome {self.outcome}, failure {self.failure!r}"
        successors = sum(isinstance(item, ContinueAsNewMessage) for item in self.orchestrator_items)
        assert successors == (self.outcome == "ContinuedAsNew"), f"{successors} successors of {self.outcome}"

    def _check_work(self) -> None:
        """Work is for an execution that goes on, and each item has its event."""
        assert self.outcome == "Continue" or not self.worker_items, (
            f"outcome {self.outcome}, and {self.worker_items} are to be done"
        )
        # An execution that continues as new may hand on a session that its last turn opened.
        opened = self.metadata.opened_sessions
        assert self.outcome in ("Continue", "ContinuedAsNew") or not opened, (
            f"outcome {self.outcome}, and {opened} are opened"
        )
        scheduled = {event.event_id for event in self.history_delta if isinstance(event, ActivityScheduled)}
        for item in self.worker_items:
            assert item.execution_id == self.execution_id, f"{item!r} in execution {self.execution_id}"
            assert item.id in scheduled, f"{item!r} is to be done, and no event of this turn records it"
        distinct = {item.id for item in self.worker_items}
        assert len(distinct) == len(self.worker_items), f"to be done twice: {self.worker_items}"
        assert len(set(opened)) == len(opened), f"opened twice: {opened}"
        closed = self.metadata.cancelled_sessions
        assert len(set(closed)) == len(closed), f"closed twice: {closed}"
        self._check_messages()
        cancelled = self.cancelled_activities
        assert len(set(cancelled)) == len(cancelled), f"cancelled twice: {cancelled}"
        for activity in cancelled:
            assert activity.execution_id == self.execution_id, f"{activity} in execution {self.execution_id}"

    def _check_messages(self) -> None:
        """What a message starts has its event, or its answer would match none; an end starts nothing."""
        recorded = {event.event_id: type(event) for event in self.history_delta}
        for item in self.orchestrator_items:
            if isinstance(item, TimerFiredMessage):
                assert self.outcome == "Continue", f"outcome {self.outcome}, and {item!r} is set"
                assert recorded.get(item.id) is TimerCreated, (
                    f"{item!r}, and no event of this turn records it"
                )
            elif isinstance(item, StartOrchestration) and item.parent_id is not None:
                assert self.outcome == "Continue", f"outcome {self.outcome}, and {item!r} is started"
                assert recorded.get(item.parent_id) is SubOrchestrationScheduled, (
                    f"{item!r}, and no event of this turn records it"
                )


_END_OF: Final[dict[CommitOutcome, tuple[type[Event], ...]]] = {
    "Continue": (),
    "Completed": (OrchestrationCompleted,),
    "Failed": (OrchestrationFailed,),
    "Cancelled": (OrchestrationFailed,),
    "ContinuedAsNew": (OrchestrationContinuedAsNew,),
}
