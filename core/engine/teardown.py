"""tear_down: the end of coroutines whose turn is over, whatever they do about it (RT-4.56).

A coroutine is closed by raising GeneratorExit where it waits. Its `finally` blocks may wait again, a bare
`except:` may start anew; nothing it waits for is ever ready (`TurnState.is_over`), so each time it waits
again it can be closed from there. After some times it is let go as it stands.
"""

from __future__ import annotations

import sys
from _thread import get_ident
from collections.abc import Coroutine
from typing import Final

from holdfast.core.contract.user_texts import is_interrupt
from holdfast.core.contract.watchdog import Overrun

_CLOSES_MAX: Final = 16
"""Of blocks that wait while they are closed, one within the other; a loop that tries again has no end."""

_WAITS_ON: Final = "ignored GeneratorExit"


def tear_down(coroutines: list[Coroutine[object, None, object]]) -> None:
    """Close them in order and let go of them. The list must hold the last references; it is emptied."""
    for place in range(len(coroutines)):
        _close(coroutines[place])
    coroutines.clear()


class QuietEnds:
    """A block in which Python does not report a coroutine that is let go of while it waits.

    That closes it once more, and it may go on waiting all the same.
    """

    __slots__ = ("_hook", "_thread")

    def __enter__(self) -> None:
        self._thread = get_ident()
        self._hook = sys.unraisablehook
        sys.unraisablehook = self._heard

    def __exit__(self, *raised: object) -> None:
        assert self._thread == get_ident(), f"ends on thread {get_ident()}, began on {self._thread}"
        sys.unraisablehook = self._hook

    def _heard(self, unraisable: sys.UnraisableHookArgs) -> None:
        if get_ident() != self._thread or _WAITS_ON not in str(unraisable.exc_value):
            self._hook(unraisable)


def _close(coroutine: Coroutine[object, None, object]) -> None:
    assert not getattr(coroutine, "cr_running", False), f"{coroutine!r} is torn down while it runs"
    for _ in range(_CLOSES_MAX):
        try:
            coroutine.close()
        except BaseException as error:  # a finally block raised it, or Python, because it waits again
            if issubclass(type(error), Overrun) or is_interrupt(error):
                raise
        if getattr(coroutine, "cr_frame", None) is None:
            return
