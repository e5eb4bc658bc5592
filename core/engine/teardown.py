"""tear_down: the end of coroutines whose turn is over, whatever they do about it (RT-4.56).

A coroutine is closed by raising GeneratorExit where it waits. Its `finally` blocks may wait again, a bare
`except:` may start anew; nothing it waits for is ever ready (`TurnState.is_over`), so each time it waits
again it can be closed from there. After some times it is let go as it stands.
"""

from __future__ import annotations

import sys
from _thread import get_ident
from collections.abc import Coroutine
from typing import Any, Final

from holdfast.core.contract.user_texts import is_interrupt

_CLOSES_MAX: Final = 16
"""Of blocks that wait while they are closed, one within the other; a loop that tries again has no end."""

_WAITS_ON: Final = "ignored GeneratorExit"


def tear_down(coroutines: list[Coroutine[Any, Any, Any]]) -> None:
    """Close them in order and let go of them. The list must hold the last references; it is emptied."""
    thread, hook = get_ident(), sys.unraisablehook

    def heard(unraisable: Any) -> None:
        # Letting go of one that still waits closes it once more, and Python says that it went on waiting.
        if get_ident() != thread or _WAITS_ON not in str(unraisable.exc_value):
            hook(unraisable)

    sys.unraisablehook = heard
    try:
        for place in range(len(coroutines)):
            _close(coroutines[place])
        coroutines.clear()
    finally:
        sys.unraisablehook = hook


def _close(coroutine: Coroutine[Any, Any, Any]) -> None:
    assert not getattr(coroutine, "cr_running", False), f"{coroutine!r} is torn down while it runs"
    for _ in range(_CLOSES_MAX):
        try:
            coroutine.close()
        except BaseException as error:  # a finally block raised it, or Python, because it waits again
            if is_interrupt(error):
                raise
        if getattr(coroutine, "cr_frame", None) is None:
            return
