"""Locks and simple queues that a simulated process makes: they refuse to wait, where they would.

`threading.Lock` and `queue.SimpleQueue` are written in C and cannot be guarded as they are. So while guards
are installed their names stand for the classes here, which make the real ones outside simulated processes.
A lock that was made before, or by C code, is real: a wait for it is found by the watchdog only.
"""

from __future__ import annotations

import _queue
import _thread
from collections.abc import Callable
from typing import Any, Final

Refuse = Callable[[str], Exception]
"""Makes the refusal of a wait, given the name of the call; the running process is the caller's."""

_allocate: Final = _thread.allocate_lock


class _LockKind(type):
    """Makes a real lock unless a simulated process asks; a real one counts as an instance all the same."""

    runs: Callable[[], bool]

    def __call__(cls) -> Any:
        return super().__call__() if cls.runs() else _allocate()

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _thread.LockType) or super().__instancecheck__(instance)


class SimulatedLock(metaclass=_LockKind):
    """A `threading.Lock` that refuses to wait while a simulated process runs."""

    refuse: Refuse

    def __init__(self) -> None:
        self._lock = _allocate()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """As a lock does; refused where it would wait. No other thread runs that could release it."""
        if blocking and timeout != 0 and type(self).runs() and self._lock.locked():
            raise SimulatedLock.refuse("threading.Lock.acquire()")
        return self._lock.acquire(blocking, timeout)

    def release(self) -> None:
        """As a lock does."""
        self._lock.release()

    def locked(self) -> bool:
        """As a lock does."""
        return self._lock.locked()

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *error: object) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"<{'locked' if self.locked() else 'unlocked'} simulated lock>"

    def _at_fork_reinit(self) -> None:
        self._lock = _allocate()


class SimulatedSimpleQueue(_queue.SimpleQueue[Any]):
    """A `queue.SimpleQueue` that refuses to wait while a simulated process runs."""

    refuse: Refuse

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """As a queue does; refused where it would wait. No other thread runs that could put something."""
        if block and (timeout is None or timeout > 0) and SimulatedLock.runs() and self.empty():
            raise SimulatedLock.refuse("queue.SimpleQueue.get()")
        return super().get(block, timeout)
