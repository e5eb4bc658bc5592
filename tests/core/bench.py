"""A bench for the engine: one instance driven through its pure functions, with a list for a store.

bench = Bench(code)
bench.start("input")             # the first turn
bench.turn(bench.done(2, "x"))   # a batch with the completion of activity 2
assert bench.trace == "1:Started 2:ActivityScheduled 3:ActivityCompleted(2) 4:Completed"
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from holdfast.core.contract import events, work_items
from holdfast.core.contract.codec import decode_event, encode_event
from holdfast.core.contract.events import Event, StoredEvent
from holdfast.core.contract.failures import FailureDetails, application
from holdfast.core.contract.ids import Millis
from holdfast.core.contract.provider import (
    DispatcherCapabilityFilter,
    KvEntry,
    OrchestrationItem,
    SemverRange,
    Version,
)
from holdfast.core.contract.work_items import Message
from holdfast.core.dispatching.batch_decision import Beginning, DispatchPolicy, RunTurn, begin_execution
from holdfast.core.dispatching.settlement import settle
from holdfast.core.dispatching.turn_commit import TurnCommit
from holdfast.core.engine.turn import run_turn
from holdfast.core.engine.turn_values import TurnResult
from holdfast.core.program.limits import DEFAULT_LIMITS, TurnLimits
from holdfast.core.program.registry import OrchestrationHandler, Registry

INSTANCE = "i"
STAMP = "0.1.32"

_SHORT = {
    "OrchestrationStarted": "Started",
    "OrchestrationCompleted": "Completed",
    "OrchestrationFailed": "Failed",
    "OrchestrationContinuedAsNew": "ContinuedAsNew",
}


def policy(registry: Registry, limits: TurnLimits = DEFAULT_LIMITS, max_attempts: int = 10) -> DispatchPolicy:
    """The dispatcher's settings, with the defaults of the specification."""
    supported = DispatcherCapabilityFilter((SemverRange(Version(0, 1, 31), Version(0, 1, 32)),))
    return DispatchPolicy(
        registry=registry,
        supported_versions=supported,
        duroxide_version=STAMP,
        limits=limits,
        unregistered_base=Millis(1_000),
        unregistered_max=Millis(60_000),
        max_attempts=max_attempts,
    )


def short(history: Sequence[Event]) -> str:
    """Events as `id:type(source)`, the notation of RT-26."""
    shown = []
    for event in history:
        kind = events.kind_of(event)
        source = "" if event.source_event_id is None else f"({event.source_event_id})"
        if isinstance(event, events.OrchestrationFailed) and _is_cancelled(event.details):
            source = "(Cancelled)"
        shown.append(f"{event.event_id}:{_SHORT.get(kind, kind)}{source}")
    return " ".join(shown)


def _is_cancelled(details: FailureDetails) -> bool:
    return details.application is not None and not isinstance(details.application.kind, str)


@dataclass
class Bench:
    """One instance of one orchestration. Each turn replays from stored text, as after a restart."""

    code: OrchestrationHandler
    instance: str = INSTANCE
    execution_id: int = 1
    limits: TurnLimits = DEFAULT_LIMITS
    supports_sessions: bool = True
    now_ms: int = 1_000
    kv_snapshot: Mapping[str, KvEntry] = field(default_factory=dict)
    history: list[Event] = field(default_factory=list)
    commits: list[TurnCommit] = field(default_factory=list)
    results: list[TurnResult] = field(default_factory=list)

    def start(self, input: str = "", *more: Message, **members: Any) -> TurnCommit:
        """The turn of a batch that begins with the start; `members` are a parent link."""
        start = work_items.StartOrchestration(
            instance=self.instance, orchestration="Code", input=input, execution_id=1, **members
        )
        return self.turn(start, *more)

    def turn(self, *messages: Message) -> TurnCommit:
        """One whole turn: begin, run, settle, store."""
        beginning = self.begin(*messages)
        assert isinstance(beginning, RunTurn), beginning
        result = run_turn(beginning.turn_input)
        commit = settle(beginning.turn_input, result, supports_sessions=self.supports_sessions)
        if commit.execution_id != self.execution_id:
            self.history, self.execution_id = [], commit.execution_id
        stored = [decode_event(encode_event(event)) for event in commit.history_delta]
        self.history.extend(stored)
        self.results.append(result)
        self.commits.append(commit)
        return commit

    def begin(self, *messages: Message, attempt_count: int = 1) -> Beginning:
        """What is decided about a batch."""
        registry = Registry()
        registry.add_orchestration("Code", self.code)
        item = self.item(*messages)
        return begin_execution(item, attempt_count, policy=policy(registry, self.limits), now_ms=self.now_ms)

    def item(self, *messages: Message) -> OrchestrationItem:
        """The batch as a provider hands it out."""
        history: list[StoredEvent] = list(self.history)
        return OrchestrationItem(
            instance=self.instance,
            orchestration_name="Code",
            execution_id=self.execution_id,
            version="1.0.0",
            history=history,
            messages=messages,
            kv_snapshot=self.kv_snapshot,
        )

    def replay(self, code: OrchestrationHandler | None = None, *messages: Message) -> TurnResult:
        """What the engine alone makes of the stored history and a batch, with other code perhaps."""
        original, self.code = self.code, code or self.code
        beginning = self.begin(*messages)
        self.code = original
        assert isinstance(beginning, RunTurn), beginning
        return run_turn(beginning.turn_input)

    # --- what is read -----------------------------------------------------------------------------------

    @property
    def trace(self) -> str:
        """The history of the current execution."""
        return short(self.history)

    @property
    def last(self) -> TurnCommit:
        """The last commit."""
        return self.commits[-1]

    @property
    def output(self) -> str | None:
        """Output of the last commit."""
        return self.last.metadata.output

    # --- messages ---------------------------------------------------------------------------------------

    def done(self, schedule_id: int, result: str = "ok", execution_id: int | None = None) -> Message:
        """A completed activity."""
        return work_items.ActivityCompletedMessage(
            instance=self.instance,
            execution_id=execution_id or self.execution_id,
            id=schedule_id,
            result=result,
        )

    def broke(self, schedule_id: int, message: str = "broken") -> Message:
        """A failed activity."""
        return work_items.ActivityFailedMessage(
            instance=self.instance,
            execution_id=self.execution_id,
            id=schedule_id,
            details=application(message, "ActivityFailed"),
        )

    def fired(self, schedule_id: int, execution_id: int | None = None) -> Message:
        """A timer that fired."""
        return work_items.TimerFiredMessage(
            instance=self.instance,
            execution_id=execution_id or self.execution_id,
            id=schedule_id,
            fire_at_ms=5_000,
        )

    def raised(self, name: str, data: str = "data") -> Message:
        """A positional event."""
        return work_items.ExternalRaised(instance=self.instance, name=name, data=data)

    def queued(self, name: str, data: str = "data") -> Message:
        """A queue message."""
        return work_items.QueueMessage(instance=self.instance, name=name, data=data)

    def child_done(self, schedule_id: int, result: str = "ok", execution_id: int | None = None) -> Message:
        """A completed child."""
        return work_items.SubOrchCompleted(
            parent_instance=self.instance,
            parent_execution_id=execution_id or self.execution_id,
            parent_id=schedule_id,
            result=result,
        )

    def child_failed(self, schedule_id: int, details: FailureDetails) -> Message:
        """A failed child."""
        return work_items.SubOrchFailed(
            parent_instance=self.instance,
            parent_execution_id=self.execution_id,
            parent_id=schedule_id,
            details=details,
        )

    def cancel(self, reason: str = "why") -> Message:
        """A cancellation."""
        return work_items.CancelInstance(instance=self.instance, reason=reason)

    def successor(self) -> Message:
        """The ContinueAsNew that the last commit sends."""
        items = [
            each for each in self.last.orchestrator_items if isinstance(each, work_items.ContinueAsNewMessage)
        ]
        assert len(items) == 1, items
        return items[0]
