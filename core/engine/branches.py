"""Branches: helper coroutines of an orchestration as children of select and join (RT-12.3).

    winner, value = await ctx.select(ctx.schedule_activity_with_retry("Charge"), ctx.schedule_timer(hour))
    totals = await ctx.join(sum_up(ctx, "north"), sum_up(ctx, "south"))

A branch begins when it is given to the combinator, in argument order, and goes on while the combinator is
awaited, at each poll of the code; so the order in which branches act depends on history alone. One that loses
is closed where it stands: its `finally` blocks run without effect, as they do at the end of every turn, and
everything that it has scheduled and not observed is dropped, in the order in which it was scheduled.

What a branch raises: an ActivityError is a result, like that of a failed future. Anything else is a mistake
of the code and no result: it is raised where the select or the join is awaited.
"""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from inspect import CORO_CREATED, getcoroutinestate, iscoroutine
from typing import Any, Final, NoReturn

from holdfast.core.contract.user_texts import innermost, is_ours, shown
from holdfast.core.engine.actions import Operation
from holdfast.core.engine.futures import Durable, Never
from holdfast.core.engine.teardown import tear_down
from holdfast.core.engine.turn_state import TurnState
from holdfast.core.engine.user_place import awaited_place

Child = Durable[object] | Coroutine[Any, Any, object]
"""What select and join take."""

_NO_VALUE: Final = object()


class Branch(Durable[object]):
    """A coroutine that runs as far as its awaits are ready."""

    def __init__(self, state: TurnState, coroutine: Coroutine[Any, Any, object]) -> None:
        self._state = state
        self._coroutine: Coroutine[Any, Any, object] | None = coroutine
        self._awaited: Durable[object] | None = None
        self._held: list[Operation] = []
        self._value: object = _NO_VALUE
        self._error: Exception | None = None
        self._running = False
        state.branches.append(self)

    @property
    def has_branches(self) -> bool:
        """It is one."""
        return True

    def is_ready(self) -> bool:
        """Whether it has ended. It goes on first, if what it waits for is ready."""
        if self._state.is_over or self._running:
            return False
        if self._coroutine is not None and (self._awaited is None or self._awaited.is_ready()):
            self._go_on(self._coroutine)
        return self._coroutine is None

    def take(self) -> object:
        """What it returned. Raises what it raised."""
        if self._coroutine is not None:
            raise RuntimeError("a branch was taken before it had ended")  # see TurnState.take
        self._held.clear()  # it has won: what it leaves running is the code's own
        if self._error is not None:
            raise self._error
        if self._value is _NO_VALUE:
            self._state.misuse(
                "a coroutine that has lost a select is awaited; call its function again instead"
            )
        return self._value

    def cancel(self) -> None:
        """It has lost: close it where it stands, and drop what it holds."""
        if self._state.is_over:
            return
        self.close()
        for operation in self._held:
            self._state.drop(operation)
        self._held.clear()

    def close(self) -> None:
        """End the coroutine; what it does meanwhile has no effect."""
        left = self.leave()
        if left:
            with self._state.muted():
                tear_down(left)

    def leave(self) -> list[Coroutine[Any, Any, object]]:
        """Hand out the coroutine, if it has not ended; it is to be torn down."""
        left = [] if self._coroutine is None else [self._coroutine]
        self._coroutine = self._awaited = None
        return left

    def _go_on(self, coroutine: Coroutine[Any, Any, object]) -> None:
        begun = len(self._state.operations)
        self._running = True
        try:
            while self._awaited is None or self._awaited.is_ready():
                awaited = coroutine.send(None)
                if self._state.is_over:
                    return
                if not isinstance(awaited, Durable):
                    refuse_foreign(self._state, coroutine, awaited)
                self._awaited = awaited
        except StopIteration as stop:
            self._value = stop.value
            self.leave()
        except Exception as error:
            self.leave()
            if is_of_the_engine(error):
                raise
            self._error = error
        finally:
            self._running = False
            self._held += self._state.operations[begun:]


def children_of(state: TurnState, call: str, given: tuple[Child, ...]) -> tuple[Durable[object], ...]:
    """What a combinator waits for. A coroutine becomes a branch and begins."""
    coroutines = [child for child in given if iscoroutine(child)]
    if state.is_over:
        _close_unstarted(coroutines)
        return (Never(),)
    for place, child in enumerate(given):
        problem = _problem_of(child, given[:place])
        if problem is not None:
            _close_unstarted(coroutines)
            state.misuse(f"{call} takes what the context's scheduling calls return, {problem}")
    if not coroutines:
        return given  # type: ignore[return-value]  # each is a Durable, as was just seen
    children = tuple(child if isinstance(child, Durable) else Branch(state, child) for child in given)
    assert len(children) == len(given), f"{len(children)} children of {len(given)}"
    for child in children:
        if isinstance(child, Branch):
            child.is_ready()
    return children


def _problem_of(child: object, before: tuple[object, ...]) -> str | None:
    if isinstance(child, Durable):
        return None
    if not iscoroutine(child):
        return f"not {type(child).__name__}"
    name = getattr(child, "__qualname__", type(child).__name__)
    if any(child is other for other in before):
        return f"or a coroutine; that of {name} is given twice: call the function once for each"
    if getcoroutinestate(child) != CORO_CREATED:
        return f"or a coroutine; that of {name} has begun already: call the function again"
    return None


def _close_unstarted(coroutines: Sequence[Coroutine[Any, Any, object]]) -> None:
    for coroutine in coroutines:
        if getcoroutinestate(coroutine) == CORO_CREATED:
            coroutine.close()


def refuse_foreign(state: TurnState, coroutine: object, awaited: object) -> NoReturn:
    """The code awaits what no call of the context returned (RT-4.70)."""
    state.misuse(
        f"orchestration '{state.started.name}' awaited {shown(awaited)} at {awaited_place(coroutine)}; an "
        "orchestration can await only what the context's calls return: use ctx.schedule_timer, ctx.select, "
        "ctx.join, or an activity"
    )


def is_of_the_engine(error: BaseException) -> bool:
    """Whether it is an assertion that failed in one of our own modules, called by the code.

    Then it is not a failure of the code, which would be stored for good: the batch is given back instead. An
    assertion of the code itself is an exception like any other.
    """
    if type(error) is not AssertionError:
        return False
    place = innermost(error.__traceback__)
    return place is not None and is_ours(place)
