"""What orchestration code awaits: durable futures, and select and join over them (RT-4.66 to RT-4.69).

Awaiting is the only way to wait in an orchestration, and only these can be awaited. A future is *dropped*
when the code gives it up before observing its value: by losing a select, by `cancel()`, or by being left over
when the orchestration ends. A dropped activity, child, wait or dequeue is cancelled and cannot be awaited any
more; a timer goes on and can. Garbage collection plays no part in it (RT-4.57).
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Generator
from typing import Any, Generic, NoReturn, TypeVar

from msgspec.structs import replace

from holdfast.core.contract import arguments
from holdfast.core.contract.errors import ActivityError
from holdfast.core.engine.actions import CallActivity, Operation, StartSubOrchestration
from holdfast.core.engine.turn_state import TurnState

_T = TypeVar("_T")
U = TypeVar("U")
T_co = TypeVar("T_co", covariant=True)


class Durable(Generic[T_co]):
    """Anything that an orchestration can await, select or join."""

    @property
    def has_branches(self) -> bool:
        """Whether asking if it is ready lets code of the orchestration run."""
        return False

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether awaiting it now would return at once. Free of effects, unless it `has_branches`."""

    @abstractmethod
    def take(self) -> T_co:
        """Observe the value of a ready one. Raises ActivityError if it is a failure."""

    @abstractmethod
    def cancel(self) -> None:
        """Give it up, if its value has not been observed yet."""

    def __await__(self) -> Generator[Durable[object], None, T_co]:
        while not self.is_ready():
            yield self
        return self.take()


class DurableFuture(Durable[_T]):
    """The future of one scheduled operation."""

    def __init__(self, state: TurnState, operation: Operation, decode: Callable[[str], _T]) -> None:
        self._state = state
        self._operation = operation
        self._decode = decode

    def is_ready(self) -> bool:
        """Whether the answer is there (RT-4.66)."""
        if self._operation.dropped and not self._state.is_over:
            self._refuse_dropped()
        return self._state.is_ready(self._operation)

    def take(self) -> _T:
        """The value. Raises ActivityError with the display text of a failure (RT-4.38)."""
        if self._operation.dropped:
            self._refuse_dropped()
        answer = self._state.take(self._operation)
        if answer.is_error:
            raise failed(self._operation, answer.text)
        try:
            return self._decode(answer.text)
        except ActivityError as error:  # the answer is of another type than the code has asked for
            raise failed(self._operation, str(error)) from None

    def _refuse_dropped(self) -> NoReturn:
        self._state.misuse(
            f"{self._operation.action!r} was dropped (it lost a select or was cancelled) and is awaited; "
            "schedule it again instead"
        )

    def cancel(self) -> None:
        """Drop the future: the activity, child or wait behind it is cancelled (RT-4.55, RT-4.59)."""
        if not self._state.is_over:
            self._state.drop(self._operation)

    def with_tag(self, tag: str) -> DurableFuture[_T]:
        """Route the activity to workers that ask for this tag; only right after scheduling (RT-4.3)."""
        if self._state.is_over:
            return self
        action = self._operation.action
        if not isinstance(action, CallActivity):
            self._state.misuse(f"only an activity can have a tag, this is {action!r}")
        if self._state.is_drained(self._operation):
            self._state.misuse(f"the tag of activity {action.name!r} was set after its future was awaited")
        recorded_as = self._operation.schedule_id
        assert recorded_as is None, f"event {recorded_as} records {action!r}, and its tag changes"
        self._operation.action = replace(action, tag=arguments.text("tag", tag))
        return self

    def decoded(self, decode: Callable[[str], U]) -> DurableFuture[U]:
        """The same operation, its text decoded another way."""
        return DurableFuture(self._state, self._operation, decode)


class Never(Durable[Any]):
    """What a combinator waits for once the turn is over (RT-4.56)."""

    def is_ready(self) -> bool:
        return False

    def take(self) -> Any:
        raise RuntimeError("taken by hand after the turn was over")

    def cancel(self) -> None:
        """Nothing is behind it."""


class Select(Durable[tuple[int, Any]]):
    """The first of several to be ready; the others are dropped when it is observed (RT-4.67)."""

    def __init__(self, children: tuple[Durable[object], ...]) -> None:
        assert children, "a select of nothing would never be ready"
        self._children = children

    @property
    def has_branches(self) -> bool:
        return any(child.has_branches for child in self._children)

    def is_ready(self) -> bool:
        return any(child.is_ready() for child in self._children)

    def take(self) -> tuple[int, Any]:
        """Index and value of the first ready child in argument order; a failure is returned as value."""
        for index, child in enumerate(self._children):
            if child.is_ready():
                try:
                    value = _value_or_error(child)
                finally:
                    for loser in self._children:
                        loser.cancel()  # nothing for the winner, which has been observed
                return index, value
        raise RuntimeError("a select was taken before any child was ready")  # see TurnState.take

    def cancel(self) -> None:
        for child in self._children:
            child.cancel()


class Join(Durable[list[Any]]):
    """All of several; a failure is a value among the others (RT-4.68)."""

    def __init__(self, children: tuple[Durable[object], ...]) -> None:
        self._children = children
        self._running = tuple(child for child in children if child.has_branches)
        self._complete_count = 0  # children before this place are known to be ready, and stay so

    @property
    def has_branches(self) -> bool:
        return bool(self._running)

    def is_ready(self) -> bool:
        for child in self._running:
            child.is_ready()  # each goes on, also behind one that waits
        while self._complete_count < len(self._children):
            if not self._children[self._complete_count].is_ready():
                return False
            self._complete_count += 1
        return True

    def take(self) -> list[Any]:
        """All values in argument order; failures are ActivityError objects among them."""
        return [_value_or_error(child) for child in self._children]

    def cancel(self) -> None:
        for child in self._children:
            child.cancel()


def failed(operation: Operation, text: str) -> ActivityError:
    """The error that the code gets; it says which operation it comes from if nobody catches it (RT-4.71)."""
    match operation.action:
        case CallActivity(name=name):
            return ActivityError.of(f"Activity '{name}' call", text)
        case StartSubOrchestration(name=name) if operation.token > 0:  # an id that was refused has no child
            return ActivityError.of(f"Sub-orchestration '{name}'", text)
        case _:
            return ActivityError(text)


def _value_or_error(child: Durable[object]) -> object:
    try:
        return child.take()
    except ActivityError as error:
        return error
