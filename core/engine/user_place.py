"""user_place: which call of the user led to where we are, as they wrote it.

For texts that end a turn. They are stored, and a schedule's digest covers them: so no addresses and no
folders, only what is the same wherever the code runs.
"""

from __future__ import annotations

import linecache
import re
import sys
import sysconfig
from collections.abc import Sequence
from inspect import CORO_CREATED, getcoroutinestate, iscoroutine
from itertools import islice
from os.path import basename
from types import CodeType, FrameType
from typing import Any, Final, NamedTuple

from holdfast.core.contract.user_texts import excerpt

_ENGINE: Final = "holdfast.core.engine."
_DRIVER: Final = "holdfast.core.engine.driver"
_BRIDGES: Final = frozenset({"anyio", "sniffio"})
"""Libraries that ask asyncio on behalf of their caller, wherever they are installed."""

_LIBRARIES: Final = tuple(
    sorted(
        {path for key in ("stdlib", "platstdlib", "purelib", "platlib") if (path := sysconfig.get_path(key))}
    )
)
_EXPRESSION_LENGTH_MAX: Final = 100


class Frame(NamedTuple):
    """One frame between user code and the engine; the innermost comes first."""

    module: str
    words: tuple[str, ...]
    frame: FrameType

    @classmethod
    def of(cls, frame: FrameType) -> Frame:
        return cls(_module(frame).partition(".")[0], tuple(frame.f_code.co_qualname.split(".")), frame)


class Place(NamedTuple):
    """A call of user code: its text and place, and the words by which to know what was wanted."""

    shown: str
    words: tuple[str, ...]
    inner: Sequence[Frame]
    """What the call led to, the innermost first."""


def frames_on_the_way() -> list[Frame]:
    """The frames from whoever asked out to the engine, which runs the code."""
    frames: list[Frame] = []
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and (module := _module(frame)) != _DRIVER:
        if not module.startswith(_ENGINE):  # a branch runs below a call of the context
            frames.append(Frame.of(frame))
        frame = frame.f_back
    assert frame is not None, f"asked by {frames}, and the engine runs none of them"
    return frames


def user_place(frames: Sequence[Frame]) -> Place:
    """The innermost call that the user wrote, rather than a library."""
    if not frames:
        return Place("", (), ())
    place = _first_of_the_user(frames)
    assert 0 <= place < len(frames), f"frame {place} of {len(frames)}"
    inner = frames[:place]
    user = frames[place].frame
    shown = located(user.f_code, user.f_lasti, user.f_lineno or user.f_code.co_firstlineno)
    called = [word for frame in reversed(inner) for word in frame.words]
    if not inner and frames[place].module in sys.stdlib_module_names:  # given to the engine as it is
        shown = f"{_module(user)}.{user.f_code.co_qualname}()"
    elif inner and not any(word in shown for word in inner[-1].words):
        outermost = inner[-1].frame
        shown = f"{_module(outermost)}.{outermost.f_code.co_qualname} in {shown}"
    return Place(shown, (*called, *re.findall(r"\w+", shown)), inner)


def located(code: CodeType, lasti: int, line: int) -> str:
    """The expression under evaluation, with file and line."""
    assert line > 0, f"line {line} of {code!r}"
    text = _expression(code, lasti).removeprefix("await ") or code.co_qualname
    return f"{text} ({basename(code.co_filename)}:{line})"


def awaited_place(coroutine: Any) -> str:
    """Where the chain of awaits of a suspended coroutine ends, in the user's own code if it is known."""
    assert coroutine is not None, "nothing waits"
    chain: list[Frame] = []
    while (frame := getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)) is not None:
        chain.insert(0, Frame.of(frame))
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "gi_yieldfrom", None)
    return user_place(chain).shown


def close_unstarted(frames: Sequence[Frame]) -> None:
    """Close the coroutines that a refused call was to run: nobody will, and Python would complain."""
    for _, _, frame in frames:
        for value in list(frame.f_locals.values()):
            for candidate in value if isinstance(value, tuple) else (value,):
                if iscoroutine(candidate) and getcoroutinestate(candidate) == CORO_CREATED:
                    candidate.close()


def _first_of_the_user(frames: Sequence[Frame]) -> int:
    others = [
        place
        for place, (module, _, _) in enumerate(frames)
        if module not in sys.stdlib_module_names and module not in _BRIDGES
    ]
    own = (place for place in others if not frames[place].frame.f_code.co_filename.startswith(_LIBRARIES))
    return next(own, others[0] if others else len(frames) - 1)


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _expression(code: CodeType, lasti: int) -> str:
    """The source of the expression; empty if it is not to be had."""
    if lasti < 0:
        return ""
    line, end_line, column, end_column = next(islice(code.co_positions(), lasti // 2, None), (None,) * 4)
    if line is None or column is None or end_column is None:
        return ""
    source = linecache.getline(code.co_filename, line).rstrip("\n").encode()
    text = source[column : end_column if end_line == line else None].decode(errors="replace").strip()
    if end_line != line:
        text += " …"
    return excerpt(text, _EXPRESSION_LENGTH_MAX)
