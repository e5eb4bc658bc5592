"""CutOff: why a run was ended by a limit, what its last steps were, and who still waited for what."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final

from holdfast.core.contract.provider import TERMINAL_STATUSES
from holdfast.sim.stage.chronicle import Chronicle
from holdfast.sim.stage.process import Process
from holdfast.sim.stage.steps import Step

STEPS_KEPT: Final = 1_000
"""How many of the last steps are counted by what they were."""

_SHOWN_MAX: Final = 8
_NOT_THE_AUTHORS: Final = tuple(
    f"{folder}{os.sep}" for folder in (Path(asyncio.__file__).parent, Path(__file__).parents[1])
)


@dataclass(frozen=True, slots=True)
class ProcessWaits:
    """One process: where its tasks wait, each place with how many of them, and when its next timer is due."""

    process: str
    boot: int
    places: tuple[tuple[str, int], ...]
    due_us: int | None


@dataclass(frozen=True, slots=True)
class CutOff:
    """A run that a limit has ended.

    Attributes:
        reason: which limit, in a few words.
        virtual_us: when.
        last_steps: what the last steps were, each with how many of them, the most frequent first.
        processes: who waits where; `instances` have not ended.
    """

    reason: str
    virtual_us: int
    last_steps: tuple[tuple[str, int], ...]
    processes: tuple[ProcessWaits, ...]
    instances: tuple[str, ...]

    def lines(self) -> Iterator[str]:
        """All of it for a reader, one line for each."""
        yield f"cut off at {_seconds(self.virtual_us)} of virtual time: {self.reason}"
        if self.last_steps:
            count = sum(number for _, number in self.last_steps)
            yield f"the last {count} steps: {_counted(self.last_steps)}"
        for one in self.processes:
            due = "no timer" if one.due_us is None else f"next timer at {_seconds(one.due_us)}"
            places = _counted(one.places) or "nothing"
            yield f"process {one.process!r}, boot {one.boot}, waits in {places}; {due}"
        if self.instances:
            yield f"not ended: {_first(map(repr, self.instances), len(self.instances))}"


def cut_off(reason: str, chronicle: Chronicle, processes: Sequence[Process], steps: Iterable[Step]) -> CutOff:
    """What there is to say of a run at this moment."""
    assert reason, "a run is cut off, and nobody says why"
    unended = (name for name in chronicle.executions if chronicle.ended.get(name) not in TERMINAL_STATUSES)
    return CutOff(
        reason=reason,
        virtual_us=chronicle.now_us,
        last_steps=tuple(Counter(step.actor for step in steps).most_common()),
        processes=tuple(
            ProcessWaits(
                process.name,
                process.boot,
                tuple(Counter(map(_place, process.loop.unfinished())).most_common()),
                process.loop.next_due_us(),
            )
            for process in processes
        ),
        instances=tuple(unended),
    )


def _place(task: asyncio.Task[Any]) -> str:
    """The innermost place of a task that is neither asyncio's nor the simulator's."""
    frames = list(_frames(task.get_coro()))
    own = [frame for frame in frames if not frame.f_code.co_filename.startswith(_NOT_THE_AUTHORS)]
    if not frames:
        return task.get_name()
    frame = (own or frames)[-1]
    return f"{frame.f_code.co_qualname} ({frame.f_code.co_filename}:{frame.f_lineno})"


def _frames(awaited: Any) -> Iterator[FrameType]:
    """The frames of a coroutine and of what it awaits, from the outside in."""
    while awaited is not None:
        for kind in ("cr", "gi", "ag"):
            frame = getattr(awaited, f"{kind}_frame", None)
            if frame is not None:
                yield frame
                inner = "gi_yieldfrom" if kind == "gi" else f"{kind}_await"
                awaited = getattr(awaited, inner, None)
                break
        else:
            return


def _counted(places: Sequence[tuple[str, int]]) -> str:
    shown = (place if count == 1 else f"{count} times {place}" for place, count in places)
    return _first(shown, len(places))


def _first(shown: Iterable[str], count: int) -> str:
    listed = [text for text, _ in zip(shown, range(_SHOWN_MAX), strict=False)]
    more = count - len(listed)
    assert more >= 0, f"{len(listed)} are listed of {count}"
    return ", ".join([*listed, f"and {more} more"] if more else listed)


def _seconds(at_us: int) -> str:
    return f"{at_us / 1_000_000:.3f} s"
