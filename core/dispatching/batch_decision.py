"""begin_execution: what to do with a fetched batch, decided but not done (RT-5.7 to RT-5.18).

The dispatcher fetches, asks here, and carries out the answer: run a turn and settle it, consume the batch,
give it back for a while, or store an end that needs no code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from holdfast.core.contract import events
from holdfast.core.contract.events import Event, OpaqueEvent, OrchestrationStarted
from holdfast.core.contract.failures import application
from holdfast.core.contract.ids import Millis
from holdfast.core.contract.observe import Logged
from holdfast.core.contract.provider import DispatcherCapabilityFilter, OrchestrationItem
from holdfast.core.contract.work_items import ContinueAsNewMessage, Message, QueueMessage, StartOrchestration
from holdfast.core.dispatching.execution_end import lifecycle_record
from holdfast.core.dispatching.history_scan import started_of
from holdfast.core.dispatching.parent_link import ParentLink, parent_of
from holdfast.core.dispatching.poison import poisoned_batch, unreadable_history
from holdfast.core.dispatching.turn_commit import TurnCommit
from holdfast.core.engine.matching import INSTANCE_ENDS
from holdfast.core.engine.turn_values import TurnInput
from holdfast.core.hosting.backoff import INCOMPATIBLE_PAUSE, unregistered_delay
from holdfast.core.program.limits import TurnLimits
from holdfast.core.program.registry import Registry, parse_version

UNKNOWN_VERSION: Final = "0.0.0"
"""A version text that counts as absent (RT-5.14)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchPolicy:
    """What the decisions depend on; constant for a runtime. Delays are milliseconds."""

    registry: Registry
    supported_versions: DispatcherCapabilityFilter
    duroxide_version: str
    limits: TurnLimits
    unregistered_base: Millis
    unregistered_max: Millis
    max_attempts: int = 10

    def __post_init__(self) -> None:
        # Options are checked where they are passed in; what is derived from them is ours to get right.
        assert self.max_attempts >= 0, f"at most {self.max_attempts} attempts"
        least = min(self.unregistered_base, self.unregistered_max)
        assert least >= 0, f"a pause of {least} ms for code that is not registered"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTurn:
    """Run this turn, then `settle` it. `name` and `version` are what was resolved (RT-14.11)."""

    turn_input: TurnInput
    name: str
    version: str
    log: tuple[Logged, ...] = ()

    def __post_init__(self) -> None:
        assert self.turn_input.history, f"a turn of {self.turn_input.instance!r}, which has not begun"


@dataclass(frozen=True, slots=True, kw_only=True)
class Consume:
    """Acknowledge the batch with no change but these messages (RT-5.11, RT-5.15, RT-9.18)."""

    execution_id: int
    orchestrator_items: tuple[Message, ...] = ()
    log: tuple[Logged, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AbandonFor:
    """Give the batch back; its attempt counts, and it stays hidden until the delay has passed."""

    delay: Millis
    log: tuple[Logged, ...] = ()

    def __post_init__(self) -> None:
        assert self.delay >= 0, f"a batch is given back {-self.delay} ms ago"


@dataclass(frozen=True, slots=True, kw_only=True)
class Poisoned:
    """Acknowledge this end of the instance (RT-13.5 to RT-13.12)."""

    commit: TurnCommit

    def __post_init__(self) -> None:
        assert self.commit.outcome == "Failed", f"poison ends an instance as {self.commit.outcome}"


Beginning = RunTurn | Consume | AbandonFor | Poisoned


def begin_execution(
    item: OrchestrationItem, attempt_count: int, *, policy: DispatchPolicy, now_ms: int
) -> Beginning:
    """Decide about a batch. `now_ms` is the dispatcher's wall clock, one reading for the whole turn."""
    kinds = frozenset(map(type, item.history))
    history = [event for event in item.history if not isinstance(event, OpaqueEvent)]
    started = started_of(history)
    if started is not None and not _is_replayable(started, policy):
        record = _record(item, "Execution pinned at incompatible version, abandoning (runtime-side check)")
        return AbandonFor(delay=INCOMPATIBLE_PAUSE, log=(record,))
    unreadable = item.history_error or (_opaque_kinds(item) if OpaqueEvent in kinds else None)
    if unreadable is not None:
        return _unreadable(item, attempt_count, unreadable, policy=policy, now_ms=now_ms)
    return _Batch(item, history, kinds, attempt_count, policy, now_ms).decide()


class _Batch:
    """A batch whose history can be read."""

    def __init__(
        self,
        item: OrchestrationItem,
        history: list[Event],
        kinds: frozenset[type],
        attempt_count: int,
        policy: DispatchPolicy,
        now_ms: int,
    ) -> None:
        self._item = item
        self._history = history
        self._attempt_count = attempt_count
        self._policy = policy
        self._now_ms = now_ms
        self._has_ended = not kinds.isdisjoint(INSTANCE_ENDS)
        self._has_continued = not self._has_ended and events.OrchestrationContinuedAsNew in kinds
        self._is_running = bool(history) and not self._has_ended and not self._has_continued
        self._start = self._choose_start()
        self._log: list[Logged] = self._ignored_starts()

    def decide(self) -> Beginning:
        # Poison comes last among the decisions that need no code. A batch fails together with its execution,
        # so without an execution it is never poison: messages of an ended or unknown instance are consumed,
        # however often they were delivered, and a successor that does not exist yet is waited for. The count
        # includes this delivery: at the limit itself the batch is still tried.
        if self._has_ended:
            return self._consume()
        if self._has_continued and self._start is None:
            return self._wait_for_successor()
        if self._start is None and not self._is_running:
            self._log.append(_record(self._item, "Messages for an unknown instance, discarding"))
            return self._consume()
        if self._attempt_count > self._policy.max_attempts:
            return self._poisoned()
        return self._resolve()

    # --- reading the batch ------------------------------------------------------------------------------

    def _choose_start(self) -> StartOrchestration | ContinueAsNewMessage | None:
        """The one start item (RT-5.9). A running or ended execution needs none (RT-5.10, RT-5.11), and the
        successor of one that continued as new can only begin with its ContinueAsNew (RT-5.12)."""
        if self._is_running or self._has_ended:
            return None
        for message in self._item.messages:
            if isinstance(message, ContinueAsNewMessage):
                return message
        if self._has_continued:
            return None
        for message in self._item.messages:
            if isinstance(message, StartOrchestration):
                return message
        return None

    def _ignored_starts(self) -> list[Logged]:
        return [
            _record(self._item, "Ignoring duplicate StartOrchestration for an existing instance")
            for message in self._item.messages
            if isinstance(message, StartOrchestration | ContinueAsNewMessage) and message is not self._start
        ]

    def _notices(self) -> tuple[Message, ...]:
        """For each parent whose child start met an instance that is not its child (RT-9.18, RT-9.19)."""
        own = parent_of(started_of(self._history) or self._start)
        # Of a running instance too, the text is that of RT-9.18: "the same happens".
        text = f"sub-orchestration instance id '{self._item.instance}' already exists and is terminal"
        strangers: dict[ParentLink, None] = {}
        for message in self._item.messages:
            if isinstance(message, StartOrchestration) and message is not self._start:
                link = parent_of(message)
                if link is not None and link != own:
                    strangers[link] = None
        return tuple(link.failed(application(text), current_execution_id=None) for link in strangers)

    # --- the answers ------------------------------------------------------------------------------------

    def _consume(self) -> Consume:
        return Consume(
            execution_id=self._item.execution_id,
            orchestrator_items=self._notices(),
            log=tuple(self._log),
        )

    def _wait_for_successor(self) -> AbandonFor:
        return AbandonFor(delay=self._backoff(), log=tuple(self._log))

    def _backoff(self) -> Millis:
        policy = self._policy
        return unregistered_delay(
            self._attempt_count, base=policy.unregistered_base, most=policy.unregistered_max
        )

    def _execution_id(self) -> int:
        """The successor's number for a ContinueAsNew, else the fetched one (RT-5.13)."""
        return self._item.execution_id + (1 if isinstance(self._start, ContinueAsNewMessage) else 0)

    def _poisoned(self) -> Poisoned:
        execution_id = self._execution_id()
        recorded: tuple[Event, ...] = ()
        if self._start is not None:
            version = self._item.version or "unknown"
            recorded = (self._started(self._start, execution_id, version),)
        commit = poisoned_batch(
            self._item,
            execution_id=execution_id,
            persisted=() if self._start is not None else self._history,
            recorded=recorded,
            attempt_count=self._attempt_count,
            max_attempts=self._policy.max_attempts,
            now_ms=self._now_ms,
            duroxide_version=self._policy.duroxide_version,
            notices=self._notices(),
        )
        return Poisoned(commit=commit)

    def _resolve(self) -> RunTurn | AbandonFor:
        """Find the code and make the turn's input (RT-5.13 to RT-5.18, RT-14.8 to RT-14.10)."""
        name, wanted = self._wanted()
        resolved = self._policy.registry.resolve_orchestration(name, wanted)
        if resolved is None:
            return self._unregistered(name)
        execution_id = self._execution_id()
        history: Sequence[Event] = self._history
        persisted_length = len(self._history)
        if self._start is not None:
            history = (self._started(self._start, execution_id, resolved.version),)
            persisted_length = 0
            self._log.append(
                lifecycle_record("Orchestration started", self._item.instance, execution_id, history)
            )
        turn_input = TurnInput(
            instance=self._item.instance,
            execution_id=execution_id,
            history=history,
            persisted_length=persisted_length,
            messages=self._messages(),
            handler=resolved.handler,
            now_ms=self._now_ms,
            duroxide_version=self._policy.duroxide_version,
            kv_snapshot=self._item.kv_snapshot,
            limits=self._policy.limits,
            notices=self._notices(),
        )
        return RunTurn(turn_input=turn_input, name=name, version=resolved.version, log=tuple(self._log))

    def _wanted(self) -> tuple[str, str | None]:
        if self._start is not None:
            return self._start.orchestration, self._start.version
        started = started_of(self._history)
        if started is None:  # a broken history: the engine says so, whatever code it is given (RT-4.19)
            return self._item.orchestration_name, None
        return started.name, None if started.version == UNKNOWN_VERSION else started.version

    def _unregistered(self, name: str) -> AbandonFor:
        delay = self._backoff()
        left = max(self._policy.max_attempts - self._attempt_count + 1, 0)
        text = (
            f"Orchestration not registered, abandoning with {delay / 1000:g}s backoff "
            f"(will poison in {left} more attempts)"
        )
        record = _record(self._item, text, orchestration_name=name)
        return AbandonFor(delay=delay, log=(*self._log, record))

    def _messages(self) -> tuple[Message, ...]:
        """What the engine is to record: carried messages first, starts left out (RT-5.9, RT-5.18)."""
        carried: list[Message] = []
        if isinstance(self._start, ContinueAsNewMessage):
            carried = [
                QueueMessage(instance=self._item.instance, name=name, data=data)
                for name, data in self._start.carry_forward_events
            ]
        others = [
            message
            for message in self._item.messages
            if not isinstance(message, StartOrchestration | ContinueAsNewMessage)
        ]
        return (*carried, *others)

    def _started(
        self, start: StartOrchestration | ContinueAsNewMessage, execution_id: int, version: str
    ) -> OrchestrationStarted:
        """Event 1 of a new execution (RT-5.17)."""
        assert not self._is_running, f"execution {execution_id} of {self._item.instance!r} begins twice"
        carried = start if isinstance(start, ContinueAsNewMessage) else None
        return OrchestrationStarted(
            event_id=1,
            instance_id=self._item.instance,
            execution_id=execution_id,
            timestamp_ms=self._now_ms,
            duroxide_version=self._policy.duroxide_version,
            name=start.orchestration,
            version=version,
            input=start.input,
            parent_instance=start.parent_instance,
            parent_id=start.parent_id,
            parent_execution_id=start.parent_execution_id,
            carry_forward_events=None if carried is None else carried.carry_forward_events or None,
            initial_custom_status=None if carried is None else carried.initial_custom_status,
            open_sessions=() if carried is None else carried.open_sessions,
        )


def _is_replayable(started: OrchestrationStarted, policy: DispatchPolicy) -> bool:
    """Whether this runtime may replay the execution (RT-14.16).

    A malformed version text means the legacy race policy, which is not implemented (RT-4.76, RT-4.79).
    """
    pinned = parse_version(started.duroxide_version)
    return pinned is not None and policy.supported_versions.admits(pinned)


def _opaque_kinds(item: OrchestrationItem) -> str | None:
    """An event of a kind this version does not know makes a history unreadable (RT-2.4)."""
    for event in item.history:
        if isinstance(event, OpaqueEvent):
            return f"unknown event kind {event.kind!r} (event {event.event_id})"
    return None


def _unreadable(
    item: OrchestrationItem, attempt_count: int, error: str, *, policy: DispatchPolicy, now_ms: int
) -> AbandonFor | Poisoned:
    if attempt_count <= policy.max_attempts:
        record = _record(item, "History deserialization failed, abandoning with 1s backoff", error=error)
        return AbandonFor(delay=INCOMPATIBLE_PAUSE, log=(record,))
    commit = unreadable_history(
        item,
        error,
        attempt_count=attempt_count,
        max_attempts=policy.max_attempts,
        now_ms=now_ms,
        duroxide_version=policy.duroxide_version,
    )
    return Poisoned(commit=commit)


def _record(item: OrchestrationItem, text: str, **fields: object) -> Logged:
    where: dict[str, object] = {"instance_id": item.instance, "execution_id": item.execution_id}
    return Logged(text, "warning", {**where, **fields})
