"""TurnState: what one turn's replay knows; the context asks it, the engine decides about it."""

from __future__ import annotations

from collections import deque
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn, Protocol

from holdfast.core.contract.events import OrchestrationStarted
from holdfast.core.contract.observe import Logged, LogLevel
from holdfast.core.contract.user_texts import told
from holdfast.core.engine.actions import Action, Answer, DequeueEvent, Operation, check_texts
from holdfast.core.engine.inbox import PositionalEvents, QueueMessages
from holdfast.core.engine.key_values import KeyValues
from holdfast.core.engine.matching import KIND_OF
from holdfast.core.engine.open_sessions import OpenSessions
from holdfast.core.engine.turn_values import TurnInput

# --- what ends a turn from inside orchestration code and cannot be caught there (SS-16.5) ----------------
#
# They derive from BaseException so that `except Exception` in user code does not swallow them; and code that
# catches even those still ends the turn, because the state of the turn remembers the first one raised.


class TurnBreak(BaseException):
    """The root of what breaks a turn off. Never raised itself."""


class SessionRefused(TurnBreak):
    """A session check failed; the execution fails with this text (SS-16.3, SS-16.4)."""


class Misuse(TurnBreak):
    """The code misuses the context; the execution ends as panicked (RT-4.70)."""


class TurnOver(TurnBreak):
    """The turn has ended and the code is being torn down (RT-4.56). Never raised: see `TurnState.is_over`."""


class Leaving(Protocol):
    """A branch of the code, as `engine.branches` makes it."""

    def leave(self) -> list[Coroutine[Any, Any, object]]: ...


class TurnState:
    """Emitted actions, their operations, arrivals, open sessions and flags of one turn.

    `unmatched` is the FIFO of RT-4.2. `recorded_ahead` counts the stored action events not yet applied: as
    actions and their events pair off in order, an action about to be emitted is a recorded one exactly if
    more events are ahead than actions wait for theirs. Session checks apply to the others only (SS-16.7).
    """

    def __init__(self, turn_input: TurnInput, started: OrchestrationStarted, recorded_ahead: int) -> None:
        assert 0 <= recorded_ahead <= turn_input.persisted_length, (
            f"{recorded_ahead} actions are recorded in {turn_input.persisted_length} stored events"
        )
        self.turn_input = turn_input
        self.started = started
        self.recorded_ahead = recorded_ahead
        self.unmatched: deque[Operation] = deque()
        self.operations: list[Operation] = []
        self.positional = PositionalEvents()
        self.queues = QueueMessages()
        self.sessions = OpenSessions(started.open_sessions)
        self.key_values = KeyValues(turn_input.kv_snapshot)
        self.custom_status = started.initial_custom_status
        self.is_replaying = turn_input.persisted_length > 0
        self.is_first_run = (
            not self.is_replaying
        )  # whether no earlier turn ran the code now running (RT-4.74)
        self.branches: list[Leaving] = []
        self.broken_by: TurnBreak | None = None
        self.is_over = False
        """Whether nothing that the code asks for is accepted any more (SS-16.5, RT-4.56)."""
        self.log: list[Logged] = []
        self._drained_token = 0

    # --- emitting ---------------------------------------------------------------------------------------

    @property
    def next_token(self) -> int:
        """The operation token of the next action, its position among the scheduling calls (RT-1.10)."""
        return len(self.operations) + 1

    @property
    def next_is_recorded(self) -> bool:
        """Whether the next action has its event in stored history already."""
        return self.recorded_ahead > len(self.unmatched)

    def emit(self, action: Action) -> Operation:
        """Put an action in the FIFO, at the moment of the call (RT-4.1).

        Raises TypeError or ValueError for a text that could not be stored; then nothing is emitted.
        """
        operations = self.operations
        if self.is_over:
            return Operation(len(operations) + 1, action)
        # Also what history has already: a call that was refused once must be refused at every replay.
        checked = check_texts(action)
        assert type(checked) is type(action), f"{action!r} is emitted as {checked!r}"
        operation = Operation(len(operations) + 1, checked)
        operations.append(operation)
        self.unmatched.append(operation)
        return operation

    def drained(self) -> None:
        """A poll has ended: tags of what it emitted are settled (RT-4.2, RT-4.3)."""
        assert self._drained_token <= len(self.operations), f"{self._drained_token} of {len(self.operations)}"
        self._drained_token = len(self.operations)

    def is_drained(self, operation: Operation) -> bool:
        """Whether the poll that emitted the operation has ended."""
        return operation.token <= self._drained_token

    # --- ending the turn from inside --------------------------------------------------------------------

    # Only what breaks the turn off is raised. Code may swallow it, or the GeneratorExit of its teardown, and
    # try again, and again: were every further call refused, a loop that is legal Python would never end. So
    # from then on a call does nothing, and what it returns is never ready: the code waits, and that is that.

    @contextmanager
    def muted(self) -> Iterator[None]:
        """Within this block what the code asks for is ignored: it is closed while the turn goes on."""
        assert not self.is_over, "a turn that is over is muted"
        self.is_over = True
        try:
            yield
        finally:
            self.is_over = self.broken_by is not None

    def misuse(self, message: str) -> NoReturn:
        """End the turn as panicked (RT-4.70)."""
        self._end(Misuse(message))

    def refuse(self, message: str) -> NoReturn:
        """End the turn by a failed session check (SS-16.3, SS-16.4)."""
        self._end(SessionRefused(message))

    def seal(self) -> None:
        """The turn is over: whatever the coroutine does while it is torn down is ignored (RT-4.56)."""
        if self.broken_by is None:
            self.broken_by = TurnOver("the turn is over")
        self.is_over = True

    def _end(self, broken_by: TurnBreak) -> NoReturn:
        """Raise the first reason; later ones change nothing."""
        if not self.is_over:
            self.broken_by = broken_by
            self.is_over = True
        raise self.broken_by or broken_by

    # --- waiting and giving up --------------------------------------------------------------------------

    def is_ready(self, operation: Operation) -> bool:
        """Whether the future of the operation has its value (RT-4.66); never, once the turn is over."""
        if self.is_over:
            return False
        if operation.answer is not None:
            return True
        action = operation.action
        return isinstance(action, DequeueEvent) and self.queues.is_ready(action.name, operation)

    def take(self, operation: Operation) -> Answer:
        """The code observes the answer of a ready operation; from here on it cannot be dropped."""
        if not self.is_ready(operation):  # only code that calls `take` itself, instead of awaiting
            raise RuntimeError(f"{operation.action!r} taken before it was answered")
        if operation.answer is None and isinstance(operation.action, DequeueEvent):
            self.queues.take(operation.action.name, operation)
        assert operation.answer is not None, f"{operation.action!r} was ready, and has no answer"
        operation.observed = True
        return operation.answer

    def drop(self, operation: Operation) -> None:
        """The code gives the future up before observing it (RT-4.55). Timers are not affected (RT-4.59).

        A wait stops taking part in matching at this instant, or as soon as it is bound (RT-4.77).
        """
        assert operation.token <= len(self.operations), (
            f"{operation.action!r} was never emitted, and is dropped"
        )
        kind = KIND_OF[type(operation.action)]
        if operation.observed or operation.dropped or (kind.is_awaited and kind.breadcrumb is None):
            return
        operation.dropped = True
        if operation.schedule_id is not None and kind.arrival is not None:
            operation.cancelled = True

    def drop_unobserved(self) -> None:
        """The code returned or raised: everything it has not observed is dropped (RT-4.57)."""
        for operation in self.operations:
            self.drop(operation)

    # --- logging ----------------------------------------------------------------------------------------

    def trace(self, level: LogLevel, message: str, **fields: object) -> None:
        """Write one record of user code, unless an earlier turn has (RT-4.74, RT-4.75)."""
        if self.is_over or self.is_replaying or not self.is_first_run:
            return
        self.note(
            "orchestration.trace",
            level,
            message=told(message),
            orchestration_name=self.started.name,
            orchestration_version=self.started.version,
            **fields,
        )

    def note(self, event: str, level: LogLevel, **fields: object) -> None:
        """Write one record of the engine."""
        where = {"instance_id": self.turn_input.instance, "execution_id": self.turn_input.execution_id}
        self.log.append(Logged(event, level, {**where, **fields}))
