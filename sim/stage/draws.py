"""Draws: the only way a run asks for decisions, and the tape of the answers."""

from __future__ import annotations

from holdfast.sim.stage.strategy import Strategy
from holdfast.traces.choice import STREAMS, Draw, Stream, Tape


class Draws:
    """Asks the strategy, checks its answer, writes the tape; with `labelled`, also what was asked."""

    __slots__ = ("_answers", "_choose", "_labelled", "draws", "offer", "tape")

    def __init__(self, strategy: Strategy, *, labelled: bool = False) -> None:
        self.tape = Tape()
        self._answers = {name: self.tape.stream(name) for name in STREAMS}
        self.draws: list[Draw] = []
        self._choose = strategy.choose
        self._labelled = labelled
        self.offer = strategy.offer

    def draw(self, stream: Stream, site: str, arity: int) -> int:
        """One decision among `arity`, which must be at least 2; 0 is the boring one."""
        assert arity > 1, f"{stream} draw {site!r} among {arity}: there is nothing to decide"
        answer = self._choose(stream, site, arity)
        if not 0 <= answer < arity:
            raise ValueError(
                f"strategy answered {answer} at {stream} draw {site!r}, expected 0 to {arity - 1}"
            )
        self._answers[stream].append(answer)
        if self._labelled:
            self.draws.append(Draw(stream, site, arity, answer))
        return answer

    def counts(self) -> dict[Stream, int]:
        """How many draws each stream has had."""
        tape = self.tape
        return {"schedule": len(tape.schedule), "fault": len(tape.fault), "data": len(tape.data)}
