"""Guards: while a simulated process runs, asking the machine is an error that names the call and the fix.

What is caught how:

- a call in `GUARDED` raises `OutsideSimulation` while a simulated process is running, on the thread that
  simulates; at any other time, and on any other thread, it does what it always did;
- what loops offer (`loop.add_reader`, sockets, subprocesses) is refused by `refusals`;
- what cannot be intercepted (`datetime.now`, a name imported before the guards were installed such as
  `from time import time`, an unseeded `random.Random()`) is looked for in registered code by
  `toolkit.suspects`, and caught by running twice (`exploring.determinism`).

Python's own `logging` may read the time: it gets the real one, and nothing depends on it.
"""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple, TypeVar

from holdfast.sim.errors import OutsideSimulation, SimulationError

_TIME = "use `await ctx.utc_now()` in an orchestration, the clock you were given elsewhere"
_WAIT = "use `await ctx.schedule_timer(...)` in an orchestration, `await asyncio.sleep(...)` elsewhere"
_CHANCE = "draw the value in an activity, with `process.draw(site, arity)` in a simulation"
_UUID = "use `await ctx.new_guid()` in an orchestration, the ids you were given elsewhere"
_THREAD = "use `await asyncio.to_thread(...)`, which runs inline here"
_WORLD = "keep it inside an activity, and register a fake of that activity here"


class Guard(NamedTuple):
    """One call that leaves the simulation: the object that holds it, and what to do instead."""

    owner: object
    attribute: str
    shown: str
    fix: str


_RANDOM_FUNCTIONS: Final = tuple(
    name
    for name in random.__all__
    if isinstance(getattr(getattr(random, name), "__self__", None), random.Random)
)
"""The functions of `random` that share the module's hidden generator."""


def _guards() -> Iterator[Guard]:
    for name in ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns"):
        yield Guard(time, name, f"time.{name}()", _TIME)
    yield Guard(time, "sleep", "time.sleep()", _WAIT)
    for name in _RANDOM_FUNCTIONS:
        yield Guard(random, name, f"random.{name}()", _CHANCE)
    yield Guard(random, "_urandom", "random.SystemRandom", _CHANCE)
    yield Guard(uuid, "uuid1", "uuid.uuid1()", _UUID)
    yield Guard(uuid, "uuid4", "uuid.uuid4()", _UUID)
    yield Guard(os, "urandom", "os.urandom()", _CHANCE)
    yield Guard(threading.Thread, "start", "threading.Thread.start()", _THREAD)
    yield Guard(socket.socket, "__init__", "socket.socket()", _WORLD)
    yield Guard(subprocess.Popen, "__init__", "subprocess.Popen()", _WORLD)


GUARDED: Final[tuple[Guard, ...]] = tuple(_guards())
"""Every guarded call; the documentation lists it from here."""

_EXCUSED: Final = frozenset({"logging", "_pytest.logging"})
"""Modules that may ask: what they learn goes to a log and nowhere else."""


class _State:
    """Which process is running, and on which thread; 0 while none is."""

    thread = 0
    process = ""
    installed = 0
    originals: tuple[Callable[..., object], ...] = ()
    refused: list[str] | None = None


def enter(process: str) -> None:
    """From here on a process of this name runs on this thread."""
    assert not _State.thread, f"{process} is to run while {_State.process} is running"
    _State.process = process
    _State.thread = _thread()


def leave() -> None:
    """No process runs any more."""
    assert _State.thread, f"{_State.process} has stopped running already"
    _State.thread = 0


_thread = threading.get_ident


_Refusal = TypeVar("_Refusal", bound=SimulationError)


def refusal(kind: type[_Refusal], message: str) -> _Refusal:
    """A refusal to raise. It is noted here, the one place, as the code under test may swallow it."""
    assert message, f"a refusal of kind {kind.__name__} that says nothing"
    if _State.refused is not None:
        _State.refused.append(message)
    return kind(message)


def _guarded(guard: Guard, original: Callable[..., object]) -> Callable[..., object]:
    def asked(*args: object, **kwargs: object) -> object:
        if _State.thread != _thread() or sys._getframe(1).f_globals.get("__name__") in _EXCUSED:
            return original(*args, **kwargs)
        message = f"{guard.shown} leaves the simulation (process {_State.process}): {guard.fix}"
        raise refusal(OutsideSimulation, message)

    asked.__name__ = guard.attribute
    asked.__wrapped__ = original  # type: ignore[attr-defined]
    return asked


@contextmanager
def installed() -> Iterator[None]:
    """Install the guards for this block. Blocks may nest: a campaign puts one around all its runs."""
    if _State.installed == 0:
        _State.originals = tuple(getattr(guard.owner, guard.attribute) for guard in GUARDED)
        for guard, original in zip(GUARDED, _State.originals, strict=True):
            setattr(guard.owner, guard.attribute, _guarded(guard, original))
    _State.installed += 1
    try:
        yield
    finally:
        _State.installed -= 1
        if _State.installed == 0:
            for guard, original in zip(GUARDED, _State.originals, strict=True):
                setattr(guard.owner, guard.attribute, original)


@contextmanager
def collecting(refused: list[str]) -> Iterator[None]:
    """Add every refusal to `refused` as well: user code may swallow the exception."""
    before = _State.refused
    _State.refused = refused
    try:
        yield
    finally:
        _State.refused = before
