"""Fifo: the plain, fair run. Every answer is the boring one."""

from __future__ import annotations

from collections.abc import Mapping

from holdfast.traces.choice import Stream, Tape


class Fifo:
    """Oldest step first, no fault, no delay."""

    name = "fifo"

    def begin(self, schedule: int) -> None:
        """Nothing to prepare."""

    def choose(self, stream: Stream, site: str, arity: int) -> int:
        """The boring answer."""
        return 0

    def learn(self, tape: Tape, draws: Mapping[Stream, int]) -> None:
        """Nothing to learn."""
