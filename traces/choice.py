"""Choices and the tape: every decision of a run that its code does not determine.

A draw is labelled and bounded: `(stream, site, arity) -> answer`. Answer 0 is the boring one (oldest enabled
step first, no fault, no delay), so the empty tape is the plain, fair run. Scheduling, faults and data draw
from separate streams, so that one more draw in one does not reshuffle the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

Stream = Literal["schedule", "fault", "data"]
STREAMS: tuple[Stream, ...] = get_args(Stream)


class Draw(NamedTuple):
    """One decision: what was asked, among how many, and what was answered."""

    stream: Stream
    site: str
    arity: int
    answer: int


@dataclass(slots=True)
class Tape:
    """The answers of one run, by stream, in the order they were asked. Trailing zeros mean nothing."""

    schedule: list[int] = field(default_factory=list)
    fault: list[int] = field(default_factory=list)
    data: list[int] = field(default_factory=list)

    def stream(self, name: Stream) -> list[int]:
        """The answers of one stream; the list itself, not a copy."""
        match name:
            case "schedule":
                return self.schedule
            case "fault":
                return self.fault
            case "data":
                return self.data

    def deviations(self) -> Iterator[tuple[Stream, int, int]]:
        """Every answer that is not the boring one, as (stream, position, answer)."""
        for name in STREAMS:
            for position, answer in enumerate(self.stream(name)):
                if answer:
                    yield name, position, answer

    def trimmed(self) -> Tape:
        """The same run without the trailing zeros of each stream."""
        return Tape(*(_without_trailing_zeros(self.stream(name)) for name in STREAMS))


def _without_trailing_zeros(answers: list[int]) -> list[int]:
    end = len(answers)
    while end and not answers[end - 1]:
        end -= 1
    return answers[:end]
