"""Ways out: every call that leaves the simulation and can be caught, with what to do instead.

Most are refused whatever they are asked. A call that leaves the simulation for some arguments only has a
function that tells: `time.localtime(0)` asks nobody, and a lock that is free makes nobody wait.
"""

from __future__ import annotations

import builtins
import errno
import fcntl
import os
import random
import resource
import secrets
import select
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from types import FrameType, FunctionType, ModuleType
from typing import Any, Final, NamedTuple

from holdfast.core.contract.user_texts import line_of

_TIME: Final = "use `await ctx.utc_now()` in an orchestration, the clock you were given elsewhere"
_PAUSE: Final = (
    "use `await ctx.schedule_timer(...)` in an orchestration, `await asyncio.sleep(...)` elsewhere"
)
_CHANCE: Final = "draw the value in an activity, with `process.draw(site, arity)` in a simulation"
_UUID: Final = "use `await ctx.new_guid()` in an orchestration, the ids you were given elsewhere"
_THREAD: Final = "use `await asyncio.to_thread(...)`, which runs inline here"
_WORLD: Final = "keep it inside an activity, and register a fake of that activity here"
_SIGNALS: Final = "let the scenario call handle.shutdown() or handle.crash()"
WAIT: Final = (
    "it would wait for another thread or process, and here is none that could end the wait; wait in a"
    " coroutine for an asyncio.Event, Lock or Queue, or pause with `await asyncio.sleep(...)`"
)

Leaves = Callable[..., bool]


class Guard(NamedTuple):
    """One call that leaves the simulation: the object that holds it, and what to do instead.

    `leaves` tells from the arguments whether it does; None if it always does. `reads` is the clock that it
    reads, for modules that are given virtual time. `at_import` says that a module may call it while it is
    imported: what it makes of the answer is the same for every run of this interpreter.
    """

    owner: Any
    attribute: str
    shown: str
    fix: str
    leaves: Leaves | None = None
    reads: str | None = None
    at_import: bool = False
    excused: frozenset[str] = frozenset()


_LOGGING: Final = frozenset({"logging", "_pytest.logging"})
"""Modules that may ask for the time: what they learn goes to a log and nowhere else."""

_TEMPORARY: Final = frozenset({"tempfile"})
"""Draws the name of a temporary file, which stands in no message."""

_RANDOM_FUNCTIONS: Final = tuple(
    name
    for name in random.__all__
    if isinstance(getattr(getattr(random, name), "__self__", None), random.Random)
)
"""The functions of `random` that share the module's hidden generator."""


_LOCKS_MODULE: Final = "holdfast.sim.loop.locks"


def _names(owner: Any, fix: str, *names: str, shown: str | None = None, **more: Any) -> Iterator[Guard]:
    """Guards for those of these functions that this platform and this Python have."""
    assert names, f"no function of {owner!r} is guarded"
    prefix = owner.__name__ if shown is None else shown
    for name in names:
        if hasattr(owner, name):
            yield Guard(owner, name, f"{prefix}.{name}()", fix, **more)


def _asks_for_now(*arguments: object) -> bool:
    return not arguments or arguments[-1] is None


def _formats_now(format: str, *moment: object) -> bool:
    return not moment


def _is_unseeded(generator: object, a: object = None, version: int = 2) -> bool:
    return a is None


def _waits(waited: object, timeout: float | None = None) -> bool:
    return timeout is None or timeout > 0


def _waits_for_thread(thread: threading.Thread, timeout: float | None = None) -> bool:
    return thread.is_alive() and thread is not threading.current_thread() and _waits(thread, timeout)


def _flock_waits(file: object, operation: int) -> bool:
    """Whether a lock on a file would make its caller wait. One that is free is taken, in passing."""
    return not operation & (fcntl.LOCK_NB | fcntl.LOCK_UN) and not _can_be_had(_flock, file, operation)


def _lockf_waits(file: object, cmd: int, *range: int, **named: int) -> bool:
    return not cmd & (fcntl.LOCK_NB | fcntl.LOCK_UN) and not _can_be_had(_lockf, file, cmd, *range, **named)


def _can_be_had(lock: Callable[..., None], file: object, operation: int, *range: int, **named: int) -> bool:
    assert not operation & fcntl.LOCK_NB, f"lock operation {operation} does not wait, and is tried first"
    try:
        lock(file, operation | fcntl.LOCK_NB, *range, **named)
    except OSError as error:
        return error.errno not in (errno.EAGAIN, errno.EACCES)  # what else is wrong the call itself will say
    return True


_flock, _lockf = fcntl.flock, fcntl.lockf


def _waits_for_lock(file: object, command: int, *more: object) -> bool:
    return command in (fcntl.F_SETLKW, getattr(fcntl, "F_OFD_SETLKW", -1))


def _clocks() -> Iterator[Guard]:
    for name, reads in (("time", "wall"), ("monotonic", "monotonic"), ("perf_counter", "monotonic")):
        more: dict[str, Any] = {"at_import": True, "excused": _LOGGING}
        yield from _names(time, _TIME, name, reads=reads, **more)
        yield from _names(time, _TIME, f"{name}_ns", reads=f"{reads}_ns", **more)
    clocks = ("clock_gettime", "process_time", "thread_time")
    yield from _names(time, _TIME, *clocks, *(f"{name}_ns" for name in clocks), at_import=True)
    yield from _names(
        time,
        _TIME,
        "localtime",
        "gmtime",
        "ctime",
        "asctime",
        leaves=_asks_for_now,
        at_import=True,
        excused=_LOGGING,
    )
    yield from _names(time, _TIME, "strftime", leaves=_formats_now, at_import=True, excused=_LOGGING)
    yield from _names(os, _TIME, "times", at_import=True)
    yield from _names(resource, _TIME, "getrusage", at_import=True)
    yield from _names(time, _PAUSE, "sleep")


def _chance() -> Iterator[Guard]:
    yield from _names(random, _CHANCE, *_RANDOM_FUNCTIONS, at_import=True)
    yield Guard(random, "_urandom", "random.SystemRandom", _CHANCE, at_import=True)
    yield Guard(
        random.Random,
        "seed",
        "random.Random()",
        _CHANCE,
        leaves=_is_unseeded,
        at_import=True,
        excused=_TEMPORARY,
    )
    yield from _names(uuid, _UUID, "uuid1", "uuid4", "uuid6", "uuid7", "getnode", at_import=True)
    yield from _names(os, _CHANCE, "urandom", "getrandom", at_import=True)
    drawing = ("token_bytes", "token_hex", "token_urlsafe", "randbelow", "randbits", "choice")
    yield from _names(secrets, _CHANCE, *drawing, at_import=True)


def _threads_and_waits() -> Iterator[Guard]:
    import _thread
    import getpass

    yield Guard(threading.Thread, "start", "threading.Thread.start()", _THREAD)
    yield from _names(_thread, _THREAD, "start_new_thread", "start_new", "start_joinable_thread")
    yield from _names(_thread, _SIGNALS, "interrupt_main")
    yield Guard(threading.Thread, "join", "threading.Thread.join()", WAIT, leaves=_waits_for_thread)
    yield Guard(threading.Condition, "wait", "threading.Condition.wait()", WAIT, leaves=_waits)
    yield from _names(select, WAIT, "select", "poll", "epoll", "kqueue", "devpoll")
    for name in ("SelectSelector", "PollSelector", "EpollSelector", "KqueueSelector", "DevpollSelector"):
        if hasattr(selectors, name):
            yield Guard(getattr(selectors, name), "select", f"selectors.{name}.select()", WAIT)
    yield from _names(fcntl, WAIT, "flock", leaves=_flock_waits)
    yield from _names(fcntl, WAIT, "lockf", leaves=_lockf_waits)
    yield from _names(fcntl, WAIT, "fcntl", leaves=_waits_for_lock)
    yield from _names(os, WAIT, "wait", "waitpid", "wait3", "wait4", "waitid", "lockf")
    yield from _names(builtins, _WORLD, "input", shown="builtins")
    yield from _names(getpass, _WORLD, "getpass")


def _processes_and_signals() -> Iterator[Guard]:
    import multiprocessing.connection
    import multiprocessing.process
    import multiprocessing.synchronize

    executing = ("execv", "execve", "execl", "execle", "execlp", "execlpe", "execvp", "execvpe")
    spawning = ("spawnv", "spawnve", "spawnl", "spawnle", "spawnlp", "spawnlpe", "spawnvp", "spawnvpe")
    yield from _names(os, _WORLD, "fork", "forkpty", "system", "popen", "posix_spawn", "posix_spawnp")
    yield from _names(os, _WORLD, *executing, *spawning)
    yield Guard(subprocess.Popen, "__init__", "subprocess.Popen()", _WORLD)
    yield Guard(multiprocessing.process.BaseProcess, "start", "multiprocessing.Process.start()", _WORLD)
    yield Guard(multiprocessing.process.BaseProcess, "join", "multiprocessing.Process.join()", WAIT)
    yield Guard(multiprocessing.synchronize.SemLock, "__init__", "multiprocessing.Lock()", _WORLD)
    yield Guard(multiprocessing.connection, "Pipe", "multiprocessing.Pipe()", _WORLD)
    yield from _names(multiprocessing.connection, WAIT, "wait", "Client")
    yield from _names(os, _SIGNALS, "kill", "killpg", "abort", "_exit")
    handling = ("signal", "siginterrupt", "set_wakeup_fd", "pthread_sigmask", "setitimer", "alarm")
    yield from _names(signal, _SIGNALS, *handling, "raise_signal", "pthread_kill", "pidfd_send_signal")
    yield from _names(signal, WAIT, "pause", "sigwait", "sigwaitinfo", "sigtimedwait")


def _network() -> Iterator[Guard]:
    yield Guard(socket.socket, "__init__", "socket.socket()", _WORLD)
    asking = ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr", "getnameinfo", "getfqdn")
    yield from _names(socket, _WORLD, "socketpair", "create_connection", "create_server", "fromfd", *asking)


def all_guards() -> Iterator[Guard]:
    """Every guarded call."""
    yield from _clocks()
    yield from _chance()
    yield from _threads_and_waits()
    yield from _processes_and_signals()
    yield from _network()


_WAITING_MODULES: Final = frozenset({"threading", "queue", "_queue", "selectors", "concurrent.futures._base"})
"""Modules whose functions wait for one another: what the code under test has called is the outermost."""


def name_of_wait(depth: int, shown: str) -> str:
    """What the code under test has called of the standard library, if that came to wait in `shown`."""
    assert shown.endswith("()"), f"{shown} is no call"
    for frame in _callers(depth + 1):
        if (module := frame.f_globals.get("__name__", "")) in _WAITING_MODULES:
            shown = f"{module.removesuffix('._base')}.{frame.f_code.co_qualname}()"
        elif module != _LOCKS_MODULE:
            break
    return shown


def is_importing(depth: int) -> bool:
    """Whether the caller runs as a module is imported."""
    return any(frame.f_globals.get("__name__") == "importlib._bootstrap" for frame in _callers(depth + 1))


def place_of(depth: int) -> str:
    """Where the code under test has made the call, past the standard library's own functions."""
    for frame in _callers(depth + 1):
        module = frame.f_globals.get("__name__", "")
        if module.partition(".")[0] not in sys.stdlib_module_names and module != _LOCKS_MODULE:
            break
    return line_of(frame.f_code, frame.f_lineno)


def _callers(depth: int) -> Iterator[FrameType]:
    """The frames from that many calls above this generator's reader on, innermost first."""
    frame: FrameType | None = sys._getframe(depth)
    assert frame is not None, f"a stack that is not {depth} deep"
    while frame is not None:
        yield frame
        frame = frame.f_back


def bound_names(
    packages: tuple[str, ...], instead: Mapping[int, Callable[..., object]]
) -> Iterator[tuple[object, str, object]]:
    """Where modules of these packages have bound a function that is to be another, and what is to be there.

    Under names of modules and classes, and as defaults of functions and methods. `instead` is by `id`.
    """
    assert packages and instead, f"nothing is to be bound anew: {packages}, {instead}"
    for name, module in list(sys.modules.items()):
        if isinstance(module, ModuleType) and is_within(name, packages):
            classes = [one for one in vars(module).values() if isinstance(one, type)]
            for owner in (module, *(one for one in classes if one.__module__ == name)):
                for attribute, value in list(vars(owner).items()):
                    if id(value) in instead:
                        found = instead[id(value)]
                        yield owner, attribute, found if owner is module else staticmethod(found)
                    elif isinstance(value, FunctionType):
                        yield from _bound_defaults(value, instead)


def _bound_defaults(
    function: FunctionType, instead: Mapping[int, Callable[..., object]]
) -> Iterator[tuple[object, str, object]]:
    defaults, named = function.__defaults__ or (), function.__kwdefaults__ or {}
    if any(id(value) in instead for value in defaults):
        yield function, "__defaults__", tuple(instead.get(id(value), value) for value in defaults)
    if any(id(value) in instead for value in named.values()):
        yield function, "__kwdefaults__", {key: instead.get(id(value), value) for key, value in named.items()}


def is_within(module: str, packages: tuple[str, ...]) -> bool:
    """Whether a module is one of these, or within one of these packages."""
    return any(module == package or module.startswith(package + ".") for package in packages)
