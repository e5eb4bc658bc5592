"""WatchingThread: the watchdog of a process, one thread that looks at the others every so often.

    watched thread                     watching thread                       kernel

    run(subject, call)    ------->     sees a new call, notes its CPU
      call() computes                  looks again: limit reached
         <---- Overrun ---------       raises into it
      swallowed: raised again at the next chance, by the exception itself
      still no end                     ends the process                      ends the process, if a call in C
                                                                             keeps all of Python from running

An exception raised into a thread arrives between two instructions of Python code, wherever that is. It must
never arrive outside `call`: `run` lets none through (see there).
"""

from __future__ import annotations

import faulthandler
import math
import os
import sys
import threading
from _thread import get_ident
from collections.abc import Callable
from time import clock_gettime_ns, pthread_getcpuclockid, sleep  # the simulator guards those of the module
from types import FrameType
from typing import Any, Final, NamedTuple, TypeVar

from holdfast.core.contract.watchdog import STUCK_EXIT_CODE, Overrun
from holdfast.core.hosting.kernel_timer import KernelTimers
from holdfast.core.hosting.strikes import breathe, end_strikes, is_ours, raise_into, strike_at_every_line

_T = TypeVar("_T")

_LOOKS_PER_LIMIT: Final = 8
LOOK_S_MAX: Final = 1.0
"""The longest pause between two looks, in seconds."""

_NS: Final = 1_000_000_000
_STDERR: Final = 2

CpuClock = Callable[[int], int]
"""The CPU time of a thread of this process, by its identity, in nanoseconds."""


def cpu_of(thread: int) -> int:
    """The CPU time of a thread."""
    return clock_gettime_ns(pthread_getcpuclockid(thread))


class CallLimits(NamedTuple):
    """What a call may use, and who hears it before the process is ended."""

    cpu_ns: int
    stuck: Callable[[str], None]
    looks_max: int | None = None
    """How often it may be looked at, that is, how long it may take by the clock; a stopped process is not
    looked at."""


class _Watch:
    """One call that is watched. `began_ns` is the CPU time at the first look."""

    __slots__ = ("began_ns", "fired_ns", "limits", "looks", "outer", "over", "subject", "text", "trace")

    def __init__(self, subject: str, limits: CallLimits, outer: _Watch | None) -> None:
        assert limits.cpu_ns > 0, f"{limits.cpu_ns} ns of CPU time for {subject}"
        self.subject = subject
        self.limits = limits
        self.outer = outer
        self.began_ns: int | None = None
        self.looks = 0
        self.fired_ns: int | None = None
        self.text = ""
        self.over = False
        self.trace = sys.gettrace()


class Interrupt(Overrun):
    """What is raised into the code. Swallowing it does not help: it is raised again at the next line.

    An instance is made on the interrupted thread, when a handler takes hold of it at the latest.
    """

    def __init__(self) -> None:
        super().__init__("interrupted by the watchdog")
        if PROCESS.interrupts(get_ident()) and not is_ours(sys._getframe(1)):
            strike_at_every_line(_strike)


def _strike(frame: FrameType | None) -> None:
    if PROCESS.interrupts(get_ident()) and not is_ours(frame):
        raise Overrun("interrupted by the watchdog")


class WatchingThread:
    """The watches of a process by thread, and the thread that looks at them. It runs while there are any."""

    def __init__(
        self,
        cpu: CpuClock = cpu_of,
        leave: Callable[[int], object] = os._exit,
        timers: Callable[[], KernelTimers] | None = KernelTimers,
    ) -> None:
        self.watched: dict[int, _Watch] = {}
        self._cpu = cpu
        self._leave = leave
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._idle = True
        self._make_timers = timers
        self._kernel = None if timers is None else timers()
        os.register_at_fork(after_in_child=self._forked)

    def run(self, subject: str, call: Callable[[], _T], limits: CallLimits) -> _T:
        """Call it, and raise Overrun if it took too long."""
        thread = get_ident()
        outer = self.watched.get(thread)
        watch = self.watched[thread] = _Watch(subject, limits, outer)
        if self._idle:
            self._wake_up(thread, limits.cpu_ns)
        result: Any = None
        # An interrupt arrives at a call or a jump. One that was on its way when `call` ended comes out of the
        # first `_settle` at the latest, and no other follows, as the watch is over.
        try:
            try:
                result = call()
            finally:
                watch.over = True
                self._settle(thread, watch)
        except BaseException:
            self._settle(thread, watch)
            if not watch.text:
                raise
        assert thread not in self.watched or self.watched[thread] is outer, (
            f"{subject} is watched after its end"
        )
        if watch.text:
            raise Overrun(watch.text)
        done: _T = result
        return done

    def _settle(self, thread: int, watch: _Watch) -> None:
        assert watch.over, f"{watch.subject} goes on, and nobody watches it"
        with self._lock:  # the watching thread is not between its look and its raise
            if watch.text:
                end_strikes(watch.trace)
                breathe()
            if watch.outer is None:
                self.watched.pop(thread, None)
            else:
                watch.outer.began_ns = None  # it pays for its own time alone
                watch.outer.looks = 0
                self.watched[thread] = watch.outer

    def interrupts(self, thread: int) -> bool:
        """Whether the call on this thread has been interrupted and is not over."""
        watch = self.watched.get(thread)
        assert watch is None or watch.outer is not watch, f"{watch.subject} is watched within itself"
        return watch is not None and bool(watch.text) and not watch.over

    # --- the watching thread ----------------------------------------------------------------------------

    def start(self) -> None:
        """Start the watching thread, where no code that is watched runs yet."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._look_for_ever, name="holdfast watchdog", daemon=True
                )
                self._thread.start()

    def _wake_up(self, thread: int, limit_ns: int) -> None:
        if self._thread is None:
            self.start()
        with self._lock:
            self._idle = False
            if self._kernel is not None:
                self._kernel.push(thread, self._cpu(thread), limit_ns)
        self._wake.set()

    def _look_for_ever(self) -> None:
        while True:
            pause = self.look()
            if pause is None:
                self._wake.wait()
                self._wake.clear()
            else:
                sleep(pause)

    def look(self) -> float | None:
        """Look at every watched thread once; the seconds until the next look, None if nothing is watched."""
        with self._lock:
            # First idle, then the look: a call that begins between the two finds it idle, and wakes it.
            self._idle = True
            if not self.watched:
                if self._kernel is not None:
                    self._kernel.stop()
                return None
            self._idle = False
            for thread, watch in list(self.watched.items()):
                self._look_at(thread, watch)
            assert not self._idle, f"{len(self.watched)} calls are watched by a thread that rests"
            least_ns = min(watch.limits.cpu_ns for watch in self.watched.values())
            return min(least_ns / _NS / _LOOKS_PER_LIMIT, LOOK_S_MAX)

    def _look_at(self, thread: int, watch: _Watch) -> None:
        now_ns, limits = self._cpu(thread), watch.limits
        if self._kernel is not None:
            self._kernel.push(thread, now_ns, limits.cpu_ns)
        if watch.over:
            return
        watch.looks += 1
        if watch.began_ns is None:
            watch.began_ns = now_ns
            return
        used_ns = now_ns - watch.began_ns
        assert used_ns >= 0, f"the CPU time of {watch.subject} went back by {-used_ns} ns"
        is_long = limits.looks_max is not None and watch.looks > limits.looks_max
        if watch.fired_ns is None:
            if used_ns >= limits.cpu_ns or is_long:
                watch.fired_ns, watch.looks = now_ns, 0
                watch.text = (
                    f"{watch.subject} used {used_ns / _NS:.3g} s of CPU without giving control back"
                    f"{', and waits for something outside' if is_long else ''}; it was at {place_of(thread)}"
                )
                raise_into(thread, Interrupt)
        elif now_ns - watch.fired_ns >= limits.cpu_ns or is_long:
            limits.stuck(watch.text)
            faulthandler.dump_traceback(file=_STDERR, all_threads=True)
            self._leave(STUCK_EXIT_CODE)
        else:
            raise_into(thread, Interrupt)

    def _forked(self) -> None:
        """In a forked child there is no watching thread, and nothing is watched but what comes."""
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread = None
        self._idle = True
        self.watched = {}
        self._kernel = None if self._make_timers is None else self._make_timers()


def place_of(thread: int) -> str:
    """The innermost line of user code that a thread is at: outside the standard library and this package."""
    frame: FrameType | None = sys._current_frames().get(thread)
    innermost = frame
    while frame is not None:
        module = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if module != "holdfast" and module not in sys.stdlib_module_names:
            break
        frame = frame.f_back
    frame = frame or innermost
    if frame is None:
        return "an unknown place"
    code = frame.f_code
    return f"{os.path.basename(code.co_filename)}:{frame.f_lineno}, in {code.co_qualname}"


PROCESS: Final = WatchingThread()
"""The one of this process."""


class CpuWatchdog:
    """A `core.contract.watchdog.Watchdog` with its limits."""

    def __init__(
        self, cpu_us: int, stuck: Callable[[str], None] = lambda _: None, *, wall_s: float | None = None
    ) -> None:
        assert cpu_us > 0, f"{cpu_us} us of CPU time for a call"
        looks_max = None if wall_s is None else math.ceil(wall_s / LOOK_S_MAX)
        self._limits = CallLimits(cpu_us * 1000, stuck, looks_max)

    def run(self, subject: str, call: Callable[[], _T]) -> _T:
        """As the protocol says."""
        return PROCESS.run(subject, call, self._limits)
