"""Defects of the engine: of how a turn reads its history and messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from holdfast.core.contract.events import Event, OrchestrationStarted
from holdfast.core.engine import turn
from holdfast.core.engine.actions import CallActivity
from holdfast.core.engine.context import OrchestrationContext
from holdfast.core.engine.intake import Intake
from holdfast.core.engine.open_sessions import SessionScan
from holdfast.properties.defects.defect import Change, Defect, Planting, replaced


class _TakesEverything(Intake):
    """A completion is recorded whether its session is still open or not."""

    def __init__(self, *, ended: Iterable[int], **rest: Any) -> None:
        super().__init__(ended=(), **rest)


class _ForgetsWhatIsStored(Intake):
    """A completion is a duplicate of one in the same batch only."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self._answered = set()


class _ForgetsActivities(SessionScan):
    """A close ends the session and nothing else."""

    def _close(self, session_id: str) -> None:
        self._activities.pop(session_id, None)
        super()._close(session_id)


class _StartsEmpty(SessionScan):
    """Every execution begins with no session open, also one that carries some over."""

    def read(self, events: Iterable[Event]) -> None:
        super().read(event for event in events if not isinstance(event, OrchestrationStarted))


def _scan(kind: type[SessionScan]) -> Planting:
    return replaced(Change(turn, "SessionScan", kind))


def _unchecked_sessions() -> Planting:
    """An activity is scheduled on whatever session is named."""

    def emit_unchecked(
        self: OrchestrationContext,
        name: str,
        input: str,
        tag: str | None = None,
        session_id: str | None = None,
    ) -> Any:
        self._state.require_running()
        return self._state.emit(CallActivity(name=name, input=input, session_id=session_id, tag=tag))

    return replaced(Change(OrchestrationContext, "_emit_activity", emit_unchecked))


DEFECTS: Final = (
    Defect(
        name="late_completions_count",
        title="A completion that arrives after the close of its session is recorded like any other",
        where="engine",
        caught_by="INV-15",
        rows=("7.4",),
        scenario="session_closed_under_its_handler",
        needs="a completion that crosses the close",
        planted=lambda: replaced(Change(turn, "Intake", _TakesEverything)),
    ),
    Defect(
        name="duplicates_count",
        title="A completion is compared with those of its own batch, not with those in history",
        where="engine",
        caught_by="INV-16",
        rows=("30.7",),
        scenario="completions_arrive_twice",
        needs="a fault: a completion that is delivered twice",
        planted=lambda: replaced(Change(turn, "Intake", _ForgetsWhatIsStored)),
    ),
    Defect(
        name="closes_cancel_nothing",
        title="A close writes no cancel request for the activities of the session that are not finished",
        where="engine",
        caught_by="INV-17",
        rows=("7.3", "23.16"),
        scenario="session_closed_under_its_handler",
        needs="an activity unfinished at the close",
        planted=lambda: _scan(_ForgetsActivities),
    ),
    Defect(
        name="executions_start_empty",
        title="The set of open sessions is read from opens and closes alone, not from what was carried over",
        where="engine",
        caught_by="INV-33",
        rows=("27.1",),
        scenario="session_no_reopen_needed",
        needs="nothing",
        planted=lambda: _scan(_StartsEmpty),
    ),
    Defect(
        name="unchecked_sessions",
        title="An activity is scheduled on a session without a look at whether it is open",
        where="engine",
        caught_by="INV-12",
        rows=("8.3",),
        scenario="refused_turn_does_nothing",
        needs="nothing",
        planted=_unchecked_sessions,
    ),
)
