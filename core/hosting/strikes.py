"""Strikes: raising an exception into code that runs, and again at every line while it swallows it.

Python offers one half: an exception for another thread, which arrives at its next call or jump. A loop whose
`except` begins it anew is back in its `try` by then. So the first handler that takes hold of the exception
turns on what debuggers use, and from there on every line of the code raises, those of its handlers included.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from ctypes import c_ulong, c_void_p, cast, py_object, pythonapi
from types import FrameType
from typing import Any, Final

AtLine = Callable[[FrameType | None], None]
"""Called at each line on the thread it runs on; may raise."""


_OURS: Final = ("holdfast.core.", "holdfast.sim.")


def raise_into(thread: int, error: type[BaseException]) -> None:
    """Let a thread raise it at its next call or jump.

    Nothing takes it back: Python 3.11 would then never stop looking for it, and under a trace function hang.
    """
    assert issubclass(error, BaseException), f"{error!r} is to be raised into thread {thread}"
    pythonapi.PyThreadState_SetAsyncExc(c_ulong(thread), py_object(error))


def breathe() -> None:
    """What was raised into this thread arrives here at the latest."""


def is_ours(frame: FrameType | None) -> bool:
    """Whether the runtime's own code runs there: nothing is raised into it."""
    return frame is None or str(frame.f_globals.get("__name__", "")).startswith(_OURS)


if sys.version_info >= (3, 12):
    _TOOL: Final = 4

    def strike_at_every_line(strike: AtLine) -> None:
        """From here on, until `end_strikes`."""
        if sys.monitoring.get_tool(_TOOL) is None:
            sys.monitoring.use_tool_id(_TOOL, "holdfast watchdog")
        sys.monitoring.register_callback(
            _TOOL, sys.monitoring.events.LINE, lambda code, line: strike(sys._getframe(1))
        )
        sys.monitoring.set_events(_TOOL, sys.monitoring.events.LINE)

    def end_strikes(trace: Any) -> None:
        """Put back the trace function of before."""
        if sys.monitoring.get_tool(_TOOL) is not None:
            sys.monitoring.free_tool_id(_TOOL)

else:
    # A trace function in Python is taken away as soon as it raises, one in C is not. PyObject_DelItem can be
    # called as one: it takes the object that it was registered with, and the frame.

    class _Deletions:
        def __init__(self, strike: AtLine) -> None:
            self._strike = strike

        def __delitem__(self, frame: FrameType) -> None:
            self._strike(frame)

    def strike_at_every_line(strike: AtLine) -> None:
        """From here on, until `end_strikes`."""
        pythonapi.PyEval_SetTrace(cast(pythonapi.PyObject_DelItem, c_void_p), py_object(_Deletions(strike)))

    def end_strikes(trace: Any) -> None:
        """Put back the trace function of before."""
        sys.settrace(trace)
