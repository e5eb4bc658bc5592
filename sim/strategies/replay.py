"""ReplayTape: answers from a tape. Beyond its end every answer is the boring one."""

from __future__ import annotations

from holdfast.sim.errors import TapeMismatch
from holdfast.sim.stage.strategy import Strategy
from holdfast.traces.choice import STREAMS, Stream, Tape


class ReplayTape(Strategy):
    """Answers every draw from a tape.

    If `strict`, an answer out of range raises TapeMismatch: the code has changed since. Otherwise the largest
    possible answer is used instead, so that an edited tape (shrinking) always runs.
    """

    name = "replay"

    def __init__(self, tape: Tape, *, strict: bool) -> None:
        self.tape = tape
        self.strict = strict
        self._positions: dict[Stream, int] = dict.fromkeys(STREAMS, 0)

    def begin(self, schedule: int) -> None:
        """From the start of the tape."""
        self._positions = dict.fromkeys(STREAMS, 0)

    def choose(self, stream: Stream, site: str, arity: int) -> int:
        """The answer on the tape."""
        position = self._positions[stream]
        self._positions[stream] = position + 1
        answers = self.tape.stream(stream)
        if position >= len(answers):
            return 0
        answer = answers[position]
        if answer < arity:
            return answer
        if self.strict:
            raise TapeMismatch(
                f"{stream} draw {position} at {site!r}: the tape says {answer}, the run allows 0 to"
                f" {arity - 1}; the code has changed since the tape was made"
            )
        return arity - 1
