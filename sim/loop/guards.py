"""Guards: while a simulated process runs, asking the machine is an error that names the call and the fix.

What is caught how:

- a call in `GUARDED` (see `ways_out`) raises `OutsideSimulation` while a simulated process is running, on the
  thread that simulates; at any other time, and on any other thread, it does what it always did;
- what loops offer (`loop.add_reader`, sockets, subprocesses) is refused by `refusals`;
- what cannot be intercepted (`datetime.now`, a name imported before the guards were installed such as
  `from time import time`) is looked for in registered code by `toolkit.suspects`, and caught by running twice
  (`exploring.determinism`).

Python's own `logging` may read the time: it gets the real one, and nothing depends on it. Packages that a
scenario names in `virtual_clock_for` get virtual time.
"""

from __future__ import annotations

import _thread
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Final, Protocol, TypeVar

from holdfast.sim.errors import OutsideSimulation, SimulationError
from holdfast.sim.loop.locks import SimulatedLock, SimulatedSimpleQueue
from holdfast.sim.loop.ways_out import (
    WAIT,
    Guard,
    all_guards,
    bound_names,
    is_importing,
    is_within,
    name_of_wait,
    place_of,
)


class RunningLoop(Protocol):
    """The loop of the process that is running: its clocks may be read, and complaints go to it."""

    name: str
    complaints: list[str]

    @property
    def passing(self) -> bool:
        """Whether something may be scheduled on it."""
        ...

    @property
    def generators(self) -> Any:
        """Its async generators."""
        ...

    def create_task(self, coro: Any, *, name: str) -> Any:
        """A task of its own."""
        ...

    def reading_us(self, clock: str) -> int:
        """What a clock shows: `wall` or `monotonic`."""
        ...


GUARDED: Final[tuple[Guard, ...]] = tuple(all_guards())
"""Every guarded call; the documentation lists it from here."""

assert len({(id(guard.owner), guard.attribute) for guard in GUARDED}) == len(GUARDED), "one call, two guards"

_LOCKS: Final = (
    (threading, "Lock"),
    (threading, "_allocate_lock"),
    (_thread, "allocate_lock"),
    (_thread, "allocate"),
)
"""Names under which a new lock is made."""


class _State:
    """Which process is running, and on which thread; 0 while none is."""

    thread = 0
    loop: RunningLoop | None = None
    process = ""
    installed = 0
    originals: tuple[tuple[object, str, object], ...] = ()
    refused: list[str] | None = None
    virtual: tuple[str, ...] = ()


def enter(process: str, loop: RunningLoop | None = None) -> None:
    """From here on a process of this name, with this loop, runs on this thread."""
    assert not _State.thread, f"{process} is to run while {_State.process} is running"
    _State.process = process
    _State.loop = loop
    _State.thread = _this_thread()


def leave() -> None:
    """No process runs any more."""
    assert _State.thread, f"{_State.process} has stopped running already"
    _State.thread = 0
    _State.loop = None


_this_thread = threading.get_ident


def running() -> RunningLoop | None:
    """The loop of the process that is running on this thread, if one is."""
    return _State.loop if _State.thread == _this_thread() else None


def runs_here() -> bool:
    """Whether a simulated process is running on this thread."""
    return _State.thread == _this_thread()


_Refusal = TypeVar("_Refusal", bound=SimulationError)


def refusal(kind: type[_Refusal], message: str) -> _Refusal:
    """A refusal to raise. It is noted here, the one place, as the code under test may swallow it."""
    assert message, f"a refusal of kind {kind.__name__} that says nothing"
    if _State.refused is not None:
        _State.refused.append(message)
    return kind(message)


def _leaving(shown: str, fix: str) -> OutsideSimulation:
    """The refusal of a call that the caller's caller was asked for."""
    assert _State.thread, f"{shown} is refused, but no process is running"
    shown = name_of_wait(3, shown) if fix is WAIT else shown
    place = place_of(3)
    return refusal(
        OutsideSimulation, f"{shown} leaves the simulation (process {_State.process}): {fix} ({place})"
    )


def _refuse_wait(shown: str) -> OutsideSimulation:
    return _leaving(shown, WAIT)


@cache  # a run that has no campaign around it installs all of them
def _guarded(place: int, original: Callable[..., object]) -> Callable[..., object]:
    guard = GUARDED[place]
    leaves, reads, excused = guard.leaves, guard.reads, guard.excused
    home = getattr(guard.owner, "__module__", guard.owner.__name__)  # `Random()` itself calls its `seed`

    def asked(*args: object, **kwargs: object) -> object:
        if _State.thread != _this_thread() or (leaves is not None and not leaves(*args, **kwargs)):
            return original(*args, **kwargs)
        caller = sys._getframe(1)
        while caller.f_back is not None and caller.f_globals.get("__name__") == home:
            caller = caller.f_back
        module = caller.f_globals.get("__name__", "")
        if module in excused or (guard.at_import and is_importing(2)):
            return original(*args, **kwargs)
        if reads is not None and _State.virtual and is_within(module, _State.virtual):
            return _virtual(reads)
        raise _leaving(guard.shown, guard.fix)

    asked.__name__ = guard.attribute
    asked.__wrapped__ = original  # type: ignore[attr-defined]
    return asked


def _virtual(clock: str) -> float | int:
    """What a clock of the running process shows, in seconds or in nanoseconds."""
    assert _State.loop is not None, f"{_State.process} runs without a loop whose clock could be read"
    name, _, unit = clock.partition("_")
    now_us = _State.loop.reading_us(name)
    return now_us * 1000 if unit else now_us / 1_000_000


def _replace(owner: object, attribute: str, replacement: object) -> tuple[object, str, object]:
    """Put something else under a name; returns what to put back."""
    assert hasattr(owner, attribute), f"{owner!r} has no {attribute} that could be replaced"
    before = getattr(owner, attribute)
    setattr(owner, attribute, replacement)
    return owner, attribute, before


@contextmanager
def installed() -> Iterator[None]:
    """Install the guards for this block. Blocks may nest: a campaign puts one around all its runs."""
    if _State.installed == 0:
        guards = [
            _replace(guard.owner, guard.attribute, _guarded(place, getattr(guard.owner, guard.attribute)))
            for place, guard in enumerate(GUARDED)
        ]
        guards += [_replace(*place, SimulatedLock) for place in _LOCKS if hasattr(*place)]
        guards.append(_replace(queue, "SimpleQueue", SimulatedSimpleQueue))
        _State.originals = tuple(guards)
    _State.installed += 1
    try:
        yield
    finally:
        assert _State.installed > 0, "the guards are taken away more often than they were installed"
        _State.installed -= 1
        if _State.installed == 0:
            for owner, attribute, original in reversed(_State.originals):
                setattr(owner, attribute, original)


@contextmanager
def collecting(refused: list[str], virtual_clock_for: tuple[str, ...] = ()) -> Iterator[None]:
    """Add every refusal to `refused` as well: user code may swallow the exception.

    Modules of the packages in `virtual_clock_for` read virtual time where they ask for the time, under
    whatever name and default they have bound the function before.
    """
    assert not _State.thread, f"refusals are collected anew while {_State.process} is running"
    before = _State.refused, _State.virtual
    _State.refused, _State.virtual = refused, virtual_clock_for
    rebound = _rebind(virtual_clock_for) if virtual_clock_for else []
    try:
        yield
    finally:
        _State.refused, _State.virtual = before
        for owner, attribute, original in rebound:
            setattr(owner, attribute, original)


def _rebind(packages: tuple[str, ...]) -> list[tuple[object, str, object]]:
    assert _State.installed, f"{packages} are given virtual time, but no guards are installed"
    clocks: dict[int, Any] = {}
    for guard in GUARDED:
        if guard.reads is not None:
            guarded = getattr(guard.owner, guard.attribute)
            clocks[id(guarded.__wrapped__)] = guarded
    made = []
    for owner, attribute, value in bound_names(packages, clocks):
        made.append(_replace(owner, attribute, value))
    return made


SimulatedLock.refuse = staticmethod(_refuse_wait)
type(SimulatedLock).runs = staticmethod(runs_here)
