"""The engine by hand: one instance driven through its pure functions, with a list for a store.

    engine = EngineByHand(code)
    engine.start("input")           # the first turn
    engine.turn(engine.done(3))     # a batch with the completion of the activity of event 3
    engine.replay(other_code)       # what other code makes of the stored history

Every turn begins with the decoded history alone, as after a restart.
"""

from __future__ import annotations

from collections.abc import Coroutine, Generator, Sequence
from dataclasses import replace
from types import coroutine
from typing import Final, NamedTuple

from holdfast.core import OrchestrationContext, Registry
from holdfast.core.contract import codec, work_items
from holdfast.core.contract.events import (
    ActivityScheduled,
    Event,
    OrchestrationStarted,
    SessionClosed,
    SessionOpened,
    kind_of,
)
from holdfast.core.contract.ids import Millis
from holdfast.core.contract.provider import (
    DispatcherCapabilityFilter,
    OrchestrationItem,
    SemverRange,
    Version,
)
from holdfast.core.contract.work_items import ContinueAsNewMessage, Message
from holdfast.core.dispatching.batch_decision import DispatchPolicy, RunTurn, begin_execution
from holdfast.core.dispatching.settlement import settle
from holdfast.core.dispatching.turn_commit import TurnCommit
from holdfast.core.engine.matching import ACTION_EVENTS, recording_event
from holdfast.core.engine.turn import run_turn
from holdfast.core.engine.turn_values import ExecutionFailed, TurnResult
from holdfast.core.program.limits import TurnLimits
from holdfast.core.program.registry import OrchestrationHandler

_SUPPORTED: Final = DispatcherCapabilityFilter((SemverRange(Version(0, 1, 31), Version(0, 1, 32)),))


class Emitted(NamedTuple):
    """What the code asked for in one replay: the event it stands for, by id, kind and members."""

    event_id: int | None
    kind: str
    members: dict[str, object]


class EngineByHand:
    """One instance. `suspensions` counts how often the code of the latest turn or replay stopped to wait."""

    def __init__(self, code: OrchestrationHandler, *, limit: int = 10) -> None:
        self.code = code
        self.limit = limit
        self.execution_id = 1
        self.history: list[Event] = []
        self.results: list[TurnResult] = []
        self.suspensions = 0
        self._now_ms = 0
        self._context: OrchestrationContext | None = None

    def start(self, input: str = "") -> TurnCommit:
        """The first turn."""
        return self.turn(
            work_items.StartOrchestration(instance="i", orchestration="code", input=input, execution_id=1)
        )

    def turn(self, *messages: Message) -> TurnCommit:
        """One turn over a batch, and what it stores."""
        self._now_ms += 1_000
        beginning = self._begin(self.code, self.history, messages)
        result = run_turn(beginning.turn_input)
        commit = settle(beginning.turn_input, result, supports_sessions=True)
        if commit.execution_id != self.execution_id:
            self.history, self.execution_id = [], commit.execution_id
        self.history += [codec.decode_event(codec.encode_event(event)) for event in commit.history_delta]
        self.results.append(result)
        return commit

    def replay(
        self, code: OrchestrationHandler | None = None, history: Sequence[Event] | None = None
    ) -> TurnResult:
        """What the engine makes of a stored history, its own or this one, with its code or other code."""
        stored = self.history if history is None else history
        return run_turn(self._begin(code or self.code, stored, ()).turn_input)

    def emitted(self) -> list[Emitted]:
        """All that the code asked for in the latest turn or replay, recorded before or not."""
        assert self._context is not None, "no code has run"
        asked = []
        for operation in self._context._state.operations:
            recording = recording_event(operation.action)
            if recording is not None:
                kind, members = recording
                asked.append(Emitted(operation.schedule_id, kind.__name__, members))
        return asked

    def replays_alike(self) -> None:
        """Every beginning of the history replays: the recorded actions, in order, and no failure (INV-34)."""
        for length in range(1, len(self.history) + 1):
            beginning = self.history[:length]
            outcome = self.replay(history=beginning).outcome
            assert not isinstance(outcome, ExecutionFailed), (kinds_shown(beginning), outcome)
            recorded = [event for event in beginning if type(event) in ACTION_EVENTS]
            emitted = self.emitted()[: len(recorded)]
            assert [(one.event_id, one.kind) for one in emitted] == [
                (event.event_id, type(event).__name__) for event in recorded
            ], kinds_shown(beginning)
            for one, event in zip(emitted, recorded, strict=True):
                assert one.members == {name: getattr(event, name) for name in one.members}, (one, event)

    def _begin(
        self, code: OrchestrationHandler, history: Sequence[Event], batch: Sequence[Message]
    ) -> RunTurn:
        registry = Registry()
        registry.add_orchestration("code", self._watched(code))
        policy = DispatchPolicy(
            registry=registry,
            supported_versions=_SUPPORTED,
            duroxide_version="0.1.32",
            limits=replace(TurnLimits(), sessions_per_orchestration_max=self.limit),
            unregistered_base=Millis(1_000),
            unregistered_max=Millis(60_000),
        )
        item = OrchestrationItem(
            instance="i",
            orchestration_name="code",
            execution_id=self.execution_id,
            version="1.0.0",
            history=list(history),
            messages=tuple(batch),
        )
        beginning = begin_execution(item, 1, policy=policy, now_ms=self._now_ms)
        assert isinstance(beginning, RunTurn), beginning
        return beginning

    def _watched(self, code: OrchestrationHandler) -> OrchestrationHandler:
        """The code, its context kept and its suspensions counted."""

        async def watched(ctx: OrchestrationContext, input: str) -> object:
            self._context, self.suspensions = ctx, 0
            return await counted(code(ctx, input))

        @coroutine
        def counted(inner: Coroutine[object, None, object]) -> Generator[object, object, object]:
            while True:
                try:
                    awaited = inner.send(None)
                except StopIteration as stop:
                    return stop.value
                self.suspensions += 1
                yield awaited

        return watched

    # --- messages -------------------------------------------------------------------------------------

    def done(self, schedule_id: int, result: str = "ok") -> Message:
        """The completion of an activity."""
        return work_items.ActivityCompletedMessage(
            instance="i", execution_id=self.execution_id, id=schedule_id, result=result
        )

    def go(self) -> Message:
        """A message for the queue `go`."""
        return work_items.QueueMessage(instance="i", name="go", data="")

    def scheduled(self, number: int = -1) -> int:
        """The id of an activity's event, the last one's by default."""
        return [event.event_id for event in self.history if isinstance(event, ActivityScheduled)][number]


def successor(commit: TurnCommit) -> ContinueAsNewMessage:
    """The message that begins the next execution."""
    messages = [item for item in commit.orchestrator_items if isinstance(item, ContinueAsNewMessage)]
    assert len(messages) == 1, commit
    return messages[0]


def kinds_shown(history: Sequence[Event]) -> list[str]:
    """Kinds in order, with the session of those that name one."""
    return [
        f"{kind_of(event)} {event.session_id}"
        if isinstance(event, SessionOpened | SessionClosed)
        or (isinstance(event, ActivityScheduled) and event.session_id is not None)
        else kind_of(event)
        for event in history
        if not isinstance(event, OrchestrationStarted)
    ]


def refusal_message(result: TurnResult) -> str:
    """The message of a turn that a session check ended: an application error, never worth a retry."""
    outcome = result.outcome
    assert isinstance(outcome, ExecutionFailed), outcome
    error = outcome.details.application
    assert error is not None, outcome.details
    assert (error.kind, error.retryable) == ("OrchestrationFailed", False), error
    return error.message


def nondeterminism_message(result: TurnResult) -> str:
    """The message of a turn whose code does not fit its history."""
    outcome = result.outcome
    assert isinstance(outcome, ExecutionFailed), outcome
    error = outcome.details.configuration
    assert error is not None and error.kind == "Nondeterminism" and error.message is not None, outcome
    return error.message


NOT_OPEN: Final = "schedule_activity_on_session called for session '{}' which is not open"
TOO_MANY: Final = "max sessions per orchestration exceeded (limit: {}, open: {})"
"""What the two checks of a session say, with the session, or the limit and how many are open."""
