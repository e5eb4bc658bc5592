"""Defects of the engine: of how a turn reads its history and messages."""

from __future__ import annotations

from collections.abc import Iterable

from holdfast.core.contract.events import Event, OrchestrationStarted
from holdfast.core.engine.actions import CallActivity
from holdfast.core.engine.context import OrchestrationContext
from holdfast.core.engine.event_writer import EventWriter
from holdfast.core.engine.intake import Intake, Warn
from holdfast.core.engine.known_events import KnownEvents
from holdfast.core.engine.open_sessions import SessionScan
from holdfast.properties.defects.defect import Changes, defect
from holdfast.properties.defects.replacements import activities_emitted


@defect(
    "engine",
    "7.4",
    "session_closed_under_its_handler",
    caught_by="INV-15",
    needs="a completion that crosses the close",
)
class LateCompletionsCount(Intake):
    """A completion that arrives after the close of its session is recorded like any other."""

    def __init__(
        self,
        *,
        execution_id: int,
        baseline: KnownEvents,
        ended: Iterable[int],
        writer: EventWriter,
        warn: Warn,
    ) -> None:
        super().__init__(execution_id=execution_id, baseline=baseline, ended=(), writer=writer, warn=warn)


@defect(
    "engine",
    "30.7",
    "completions_arrive_twice",
    caught_by="INV-16",
    needs="a fault: a completion that is delivered twice",
)
class DuplicatesCount(Intake):
    """A completion is compared with those of its own batch, not with those in history."""

    def __init__(
        self,
        *,
        execution_id: int,
        baseline: KnownEvents,
        ended: Iterable[int],
        writer: EventWriter,
        warn: Warn,
    ) -> None:
        super().__init__(execution_id=execution_id, baseline=baseline, ended=ended, writer=writer, warn=warn)
        self._answered = set()


@defect(
    "engine",
    "7.3 23.16",
    "session_closed_under_its_handler",
    caught_by="INV-17",
    needs="an activity unfinished at the close",
)
class ClosesCancelNothing(SessionScan):
    """A close writes no cancel request for the activities of the session that are not finished."""

    def _close(self, session_id: str) -> None:
        self._activities.pop(session_id, None)
        super()._close(session_id)


@defect("engine", "27.1", "session_no_reopen_needed", caught_by="INV-33")
class ExecutionsStartEmpty(SessionScan):
    """The set of open sessions is read from opens and closes alone, not from what was carried over."""

    def read(self, events: Iterable[Event]) -> None:
        super().read(event for event in events if not isinstance(event, OrchestrationStarted))

    def read_known(self, known: KnownEvents) -> None:
        self.read(known.in_order)


@defect("engine", "8.3", "refused_turn_does_nothing", caught_by="INV-12")
def unchecked_sessions() -> Changes:
    """An activity is scheduled on a session without a look at whether it is open."""

    def emit_unchecked(context: OrchestrationContext, call: CallActivity) -> object:
        return context._state.emit(call)

    yield activities_emitted(emit_unchecked)
