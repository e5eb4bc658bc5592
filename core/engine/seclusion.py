"""Seclusion: while a replay runs, the code of an orchestration is out of reach of the worker's event loop.

The engine runs the code itself, between the callbacks of the worker's loop. Whatever asks for a loop there
would find the worker's: a task started in it outlives the turn, a timeout armed in it is cancelled with the
turn, and neither leaves an error. So during a replay (RT-4.71)

- a loop that refuses everything counts as the running one, and there is no current task;
- asyncio's own questions for the running loop are refused before they are answered, by name;
- an async generator that is dropped half-way stays where it is: no loop finishes it at some later time;
- the code runs in an empty context of its own (`Driver`), so that it sees nothing that another turn or the
  worker has set, and a replay elsewhere sees the same.

A refusal is a misuse: it ends the turn even where the code swallows it. What is asked after that is answered
with nothing, which can be awaited for ever, for the reason given at `TurnState.is_over`.
"""

from __future__ import annotations

import asyncio
import sys
from _thread import get_ident
from asyncio import events, tasks
from collections.abc import Callable, Iterator
from threading import Lock
from types import ModuleType
from typing import Any, Final, NoReturn, Protocol

from holdfast.core.engine.user_place import close_unstarted, frames_on_the_way, user_place

_WAIT: Final = (
    "wait with `await ctx.schedule_timer(...)`, limit a wait with `ctx.select(..., ctx.schedule_timer(...))`"
)
_TOGETHER: Final = "run things together with `ctx.join(...)` or `ctx.select(...)`, which also take coroutines"
_SIGNAL: Final = (
    "wait for others with `ctx.schedule_wait(...)` or `ctx.dequeue_event(...)`, pass values as variables"
)
_WORK: Final = "do it in an activity: `await ctx.schedule_activity(...)`"
_ANY: Final = "use `ctx.schedule_timer`, `ctx.select`, `ctx.join`, or an activity"

_INSTEAD: Final[dict[str, str]] = {
    word: instead
    for words, instead in (
        ("sleep sleep_until sleep_forever timeout timeout_at wait_for call_later call_at time", _WAIT),
        ("move_on_after fail_after", _WAIT),
        ("create_task ensure_future gather wait as_completed shield TaskGroup call_soon", _TOGETHER),
        ("create_task_group start_soon current_task all_tasks", _TOGETHER),
        ("Future create_future Queue Event Condition Semaphore Lock Barrier get put", _SIGNAL),
        ("get_debug", _SIGNAL),  # which asyncio.Future, written in C, asks first
        ("to_thread run_sync run_in_executor open_connection start_server", _WORK),
        ("create_subprocess_exec create_subprocess_shell", _WORK),
        ("run run_until_complete run_forever Runner", "`await` the coroutine itself"),
    )
    for word in words.split()
}
"""What to use instead, by a word of the call."""

_EXCUSED: Final = frozenset({"logging"})
"""Modules that look for a current task and go on without one; from them the answer is that no loop runs."""

_secluded: dict[int, Seclusion] = {}
_installing = Lock()
_installed = 0


class _Nothing:
    """What is asked for after the refusal. It is called, entered, awaited, and never ready."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *args: object, **kwargs: object) -> _Nothing:
        return self

    def __bool__(self) -> bool:
        return False  # it is neither done, nor closed, nor debugged

    def __await__(self) -> Iterator[_Nothing]:
        while True:
            yield self


_NOTHING: Final = _Nothing()


class NoLoop(asyncio.AbstractEventLoop):
    """The running loop of orchestration code: whatever it is asked ends the turn.

    asyncio written in C asks for the hash of the loop where it looks for the current task.
    """

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("__"):
            return object.__getattribute__(self, name)
        _asked(name)
        return float if name == "time" else _NOTHING

    def __hash__(self) -> int:
        _asked("current_task")
        return 0

    def __eq__(self, other: object) -> bool:
        return self is other

    def __repr__(self) -> str:
        return "<no event loop: this is an orchestration>"


_LOOP: Final = NoLoop()  # type: ignore[abstract]  # it has everything, and refuses it


def _asked(name: str) -> None:
    seclusion = _secluded.get(get_ident())
    if seclusion is None:  # the loop was kept beyond the turn
        raise RuntimeError("no running event loop")
    seclusion.refuse(name)


def _refusing(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    def asked(*args: Any, **kwargs: Any) -> Any:
        if get_ident() in _secluded:
            _asked(name)
            return _NOTHING if name == "current_task" else _LOOP
        return original(*args, **kwargs)

    asked.__wrapped__ = original  # type: ignore[attr-defined]
    return asked


def _questions(module: ModuleType, *names: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    asked = {name: getattr(module, name) for name in names}
    return vars(module), asked, {name: _refusing(name, original) for name, original in asked.items()}


_QUESTIONS: Final = (
    _questions(events, "get_running_loop", "_get_running_loop", "new_event_loop"),
    _questions(asyncio, "get_running_loop", "get_event_loop", "new_event_loop", "current_task"),
    _questions(tasks, "current_task"),
)
"""How asyncio, and code that uses it, asks which loop runs: replaced while any thread replays."""


class Turn(Protocol):
    """What a refusal does to the turn: `engine.turn_state`."""

    @property
    def is_over(self) -> bool: ...

    def misuse(self, message: str) -> NoReturn: ...


class Seclusion:
    """A block within which its thread runs code of one turn."""

    __slots__ = ("_hooks", "_name", "_running", "_task", "_thread", "_turn")

    def __init__(self, name: str, turn: Turn) -> None:
        self._name = name
        self._turn = turn

    def __enter__(self) -> None:
        self._thread = thread = get_ident()
        assert thread not in _secluded, f"orchestration {self._name!r} is replayed within a replay"
        self._running = running = asyncio._get_running_loop()
        self._task = task = None if running is None else tasks.current_task(running)
        self._hooks = sys.get_asyncgen_hooks()
        _install(1)
        if running is not None and task is not None:
            tasks._leave_task(running, task)
        sys.set_asyncgen_hooks(None, _drop_generator)
        asyncio._set_running_loop(_LOOP)
        _secluded[thread] = self

    def __exit__(self, *raised: object) -> None:
        assert self._thread == get_ident(), f"{self._name!r} ends on thread {get_ident()}, not {self._thread}"
        assert _secluded.get(self._thread) is self, f"{self._name!r} is secluded on another thread"
        del _secluded[self._thread]
        asyncio._set_running_loop(self._running)
        sys.set_asyncgen_hooks(*self._hooks)
        if self._running is not None and self._task is not None:
            tasks._enter_task(self._running, self._task)
        _install(-1)

    def refuse(self, name: str) -> None:
        """Turn away a question that led here from a call of user code; nothing if the turn is over."""
        frames = frames_on_the_way()
        if frames and (frames[0].module in _EXCUSED or any("__del__" in frame.words for frame in frames)):
            raise RuntimeError("no running event loop")  # not the code's own doing, or of no consequence
        place = user_place(frames)
        close_unstarted(place.inner)
        if self._turn.is_over:
            return
        instead = next((_INSTEAD[word] for word in (*place.words, name) if word in _INSTEAD), _ANY)
        called = place.shown if place.inner or name in place.shown else f"{name} in {place.shown}"
        self._turn.misuse(
            f"orchestration '{self._name}' called {called}, but no event loop runs it; {instead}"
        )


def _install(change: int) -> None:
    global _installed
    with _installing:
        before, _installed = _installed, _installed + change
        assert _installed >= 0, f"{_installed} replays run"
        if not before:
            for members, _, refusing in _QUESTIONS:
                members.update(refusing)
        elif not _installed:
            for members, originals, _ in _QUESTIONS:
                members.update(originals)


def _drop_generator(_: object) -> None:
    """An async generator dropped half-way goes no further: garbage collection plays no part (RT-4.57)."""
