"""Driver: runs orchestration code between two polls, without an event loop (RT-4.27, RT-4.28)."""

from __future__ import annotations

from collections.abc import Coroutine
from contextvars import Context
from typing import NamedTuple

from holdfast.core.contract.user_texts import error_text, is_interrupt, shown, traceback_text
from holdfast.core.contract.watchdog import Overrun
from holdfast.core.engine.branches import is_of_the_engine, refuse_foreign
from holdfast.core.engine.context import OrchestrationContext
from holdfast.core.engine.futures import Durable
from holdfast.core.engine.teardown import tear_down
from holdfast.core.engine.turn_state import Misuse, SessionRefused, TurnBreak, TurnState
from holdfast.core.program import payload


class Returned(NamedTuple):
    """The code returned; the encoded value."""

    output: str


class Raised(NamedTuple):
    """The code raised an ordinary exception: its text (RT-4.71), and its traceback for the log."""

    message: str
    traceback: str


class Refused(NamedTuple):
    """A session check failed (SS-16.5)."""

    message: str
    traceback: str = ""


class Panicked(NamedTuple):
    """The code cannot continue (RT-4.70)."""

    message: str
    traceback: str = ""


CodeFinish = Returned | Raised | Refused | Panicked


class Driver:
    """One run of the orchestration function, from its first instruction."""

    def __init__(self, state: TurnState) -> None:
        self._state = state
        self._coroutine: Coroutine[object, None, object] | None = None
        self._context = Context()
        self._awaited: Durable[object] | None = None
        self.finish: CodeFinish | None = None

    def poll(self) -> None:
        """Let the code run until it can make no progress; sets `finish` if it ended."""
        assert self.finish is None, f"polled after the end, which was {self.finish!r}"
        broken_by = self._state.broken_by
        assert broken_by is None, f"polled after {broken_by!r}"
        try:
            self.finish = self._run()
        except BaseException as error:  # whatever user code raises is a result of the turn
            if issubclass(type(error), Overrun) or is_interrupt(error) or is_of_the_engine(error):
                raise
            self.finish = self._raised(error)
        if self._state.broken_by is not None:  # also when the code swallowed it
            self.finish = _broken(self._state.broken_by)
        self._state.drained()

    def close(self) -> None:
        """Tear the coroutine down; what it does meanwhile has no effect, and it ends soon (RT-4.56)."""
        self._state.seal()
        assert self._state.is_over, "the code is torn down, and its calls would still count"
        self._awaited = None
        left = [] if self._coroutine is None else [self._coroutine]
        self._coroutine = None
        for branch in self._state.branches:
            left += branch.leave()
        self._context.run(tear_down, left)

    def _run(self) -> CodeFinish | None:
        if self._coroutine is None:
            self._coroutine = self._start()
        while self._awaited is None or self._context.run(self._awaited.is_ready):
            try:
                awaited = self._context.run(self._coroutine.send, None)
            except StopIteration as stop:
                name = self._state.started.name
                return Returned(payload.encode(stop.value, "the result of orchestration", name))
            if self._state.broken_by is not None:
                return None
            if not isinstance(awaited, Durable):
                refuse_foreign(self._state, self._coroutine, awaited)
            self._awaited = awaited
        return None

    def _start(self) -> Coroutine[object, None, object]:
        assert self._coroutine is None, "one driver starts the code twice"
        started = self._state.started
        handler = self._state.turn_input.handler
        made: object = self._context.run(handler, OrchestrationContext(self._state), started.input)
        if not isinstance(made, Coroutine):
            self._state.misuse(
                f"orchestration '{started.name}' is no async function: it returned {shown(made)}"
            )
        return made

    def _raised(self, error: BaseException) -> CodeFinish:
        if issubclass(type(error), Exception) and self._coroutine is not None:
            return Raised(error_text(error), traceback_text(error))
        return Panicked(error_text(error), traceback_text(error))


def _broken(by: TurnBreak) -> CodeFinish:
    if isinstance(by, SessionRefused):
        return Refused(str(by), traceback_text(by))
    assert isinstance(by, Misuse), f"{by!r} in a running turn"
    return Panicked(str(by), traceback_text(by))
