"""KernelTimers: the last resort of the watchdog, for calls in C that keep all of Python from running.

While such a call runs, no thread of the process can execute Python, the watching one included. So the kernel
counts the CPU time of the watched thread, and the watching thread puts the end off each time it looks. If it
cannot look any more, the signal comes: the stack is written to standard error and the process ends, both
without Python. So this also ends a process that such a call of an activity keeps from running, if it began
within a second of a turn: nothing else runs there either, and its locks expire.

Linux has such timers; elsewhere there is no last resort.
"""

from __future__ import annotations

import ctypes
import faulthandler
import signal
import sys
import threading
from time import pthread_getcpuclockid
from typing import Any, Final

from holdfast.core.contract.watchdog import STUCK_EXIT_CODE

LIMITS_MAX: Final = 4
"""How many CPU limits may pass without a look before the kernel ends the process."""

_STDERR: Final = 2
_THREAD_ID: Final = 4  # SIGEV_THREAD_ID
_ABSOLUTE: Final = 1  # TIMER_ABSTIME
_NS: Final = 1_000_000_000


class _Time(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Setting(ctypes.Structure):
    _fields_ = (("interval", _Time), ("value", _Time))


class _Event(ctypes.Structure):
    _fields_ = (
        ("value", ctypes.c_void_p),
        ("signal", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("thread", ctypes.c_int),
        ("rest", ctypes.c_char * 44),
    )


class KernelTimers:
    """A timer for each watched thread, on the CPU time of that thread."""

    def __init__(self) -> None:
        self._timers: dict[int, tuple[int, ctypes.c_void_p]] = {}  # by thread: kernel's name, timer
        self._libc: Any = None
        self._ready = sys.platform == "linux"

    def push(self, thread: int, now_ns: int, limit_ns: int) -> None:
        """End the process when this thread has used some more limits of CPU time, unless pushed again."""
        assert limit_ns > 0, f"thread {thread} may use {limit_ns} ns"
        if self._ready and (timer := self._timer_of(thread)) is not None:
            self._set(timer, now_ns + LIMITS_MAX * limit_ns)

    def stop(self) -> None:
        """Nothing is watched now."""
        for _, timer in self._timers.values():
            self._set(timer, 0)

    def _timer_of(self, thread: int) -> ctypes.c_void_p | None:
        assert thread > 0, f"the timer of thread {thread}"
        native = next((one.native_id for one in threading.enumerate() if one.ident == thread), None)
        if native is None or not self._handle_signal():
            return None
        if thread in self._timers:
            watched, timer = self._timers[thread]
            if watched == native:
                return timer
            self._libc.timer_delete(timer)  # of a thread that has ended; this one has its identity
        timer = ctypes.c_void_p()
        event = _Event(signal=STUCK_EXIT_CODE, notify=_THREAD_ID, thread=native)
        clock = pthread_getcpuclockid(thread)
        if self._libc.timer_create(clock, ctypes.byref(event), ctypes.byref(timer)):
            return None
        self._timers[thread] = native, timer
        return timer

    def _handle_signal(self) -> bool:
        """Whether the signal ends the process with its own number, after the stack has been written."""
        if self._libc is not None:
            return True
        assert signal.Signals(STUCK_EXIT_CODE) is signal.SIGXCPU, f"signal {STUCK_EXIT_CODE} means something"
        if signal.getsignal(STUCK_EXIT_CODE) is not signal.SIG_DFL:
            self._ready = False  # somebody else uses it
            return False
        self._libc = libc = ctypes.CDLL(None)
        libc.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
        libc.signal(STUCK_EXIT_CODE, ctypes.cast(libc._exit, ctypes.c_void_p))
        faulthandler.register(STUCK_EXIT_CODE, file=_STDERR, all_threads=False, chain=True)
        return True

    def _set(self, timer: ctypes.c_void_p, at_ns: int) -> None:
        assert at_ns >= 0, f"a timer at {at_ns} ns"
        setting = _Setting(_Time(0, 0), _Time(at_ns // _NS, at_ns % _NS))
        self._libc.timer_settime(timer, _ABSOLUTE, ctypes.byref(setting), None)
