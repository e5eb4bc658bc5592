"""Shrinking: a search over tapes for a simpler run that still breaks the same rule.

The search knows nothing of worlds or rules. It is handed `still_fails`, which runs a tape and answers with
the number of steps of the run if the rule is still broken, and with None if it is not. Simpler means, in this
order: fewer faults, since each is one more thing a reader must believe in; fewer deviations from the boring
choice; fewer steps; shorter tapes; smaller answers. Every accepted candidate is strictly simpler, so the
search ends, and the same start always gives the same result.

The passes are those of delta debugging (Zeller and Hildebrandt, 2002), on deviations instead of input bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from holdfast.traces.choice import STREAMS, Stream, Tape

StillFails = Callable[[Tape], int | None]
"""Runs a tape; the number of steps if the rule is still broken, None if it holds."""

Simplicity = tuple[int, int, int, int, int]
Deviation = tuple[Stream, int, int]


@dataclass(frozen=True, slots=True)
class Shrunk:
    """The simplest tape found, the steps its run takes, and how many runs the search made."""

    tape: Tape
    steps: int
    attempts: int


def shrink(tape: Tape, still_fails: StillFails, *, attempts_max: int = 2_000) -> Shrunk:
    """The simplest tape the passes reach from `tape` within `attempts_max` runs.

    Raises ValueError if `tape` itself does not fail: there is nothing to shrink then.
    """
    search = _Search(tape.trimmed(), still_fails, attempts_max)
    while search.one_round():
        pass
    return Shrunk(tape=search.best, steps=search.steps, attempts=search.attempts)


class _Search:
    """The best tape so far, and the runs spent on it."""

    def __init__(self, tape: Tape, still_fails: StillFails, attempts_max: int) -> None:
        steps = still_fails(tape)
        if steps is None:
            raise ValueError("the tape to shrink does not violate the rule any more")
        self.best = tape
        self.steps = steps
        self.attempts = 1
        self._still_fails = still_fails
        self._attempts_max = attempts_max

    def one_round(self) -> bool:
        """Try every pass once; whether any of them found something simpler."""
        before = simplicity(self.best, self.steps)
        self._keep_few([deviation for deviation in self._all_deviations() if deviation[0] == "fault"])
        self._keep_few(self._all_deviations())
        self._drop_spans()
        self._lower_answers()
        return simplicity(self.best, self.steps) < before and self.attempts < self._attempts_max

    def _all_deviations(self) -> list[Deviation]:
        return list(self.best.deviations())

    def _keep_few(self, removable: Sequence[Deviation]) -> None:
        """Delta debugging: make as many of these deviations boring as possible."""
        remaining = list(removable)
        size = max(len(remaining), 1)
        while remaining and size >= 1:
            kept: list[Deviation] = []
            for start in range(0, len(remaining), size):
                chunk = remaining[start : start + size]
                if not self._accept(_with_boring(self.best, chunk)):
                    kept.extend(chunk)
            if len(kept) == len(remaining):
                size //= 2
            else:
                size = min(size, max(len(kept), 1))
            remaining = kept

    def _drop_spans(self) -> None:
        """Remove answers altogether, so that later ones move up; from the end, where little hangs on them."""
        for stream in STREAMS:
            size = max(len(self.best.stream(stream)) // 2, 1)
            while size >= 1:
                for start in _starts_from_the_end(len(self.best.stream(stream)), size):
                    self._accept(_without_span(self.best, stream, start, size))
                size //= 2

    def _lower_answers(self) -> None:
        for stream, position, answer in self._all_deviations():
            for smaller in range(1, answer):
                if self._accept(_with_answer(self.best, stream, position, smaller)):
                    break

    def _accept(self, candidate: Tape) -> bool:
        """Run a candidate if it could be simpler; take it if it is and still fails."""
        candidate = candidate.trimmed()
        if candidate == self.best or self.attempts >= self._attempts_max:
            return False
        if simplicity(candidate, 0)[:2] > simplicity(self.best, 0)[:2]:
            return False
        self.attempts += 1
        steps = self._still_fails(candidate)
        if steps is None or simplicity(candidate, steps) >= simplicity(self.best, self.steps):
            return False
        self.best, self.steps = candidate, steps
        return True


def simplicity(tape: Tape, steps: int) -> Simplicity:
    """What runs are compared by when shrinking; smaller is simpler (the module's docstring says why)."""
    deviations = list(tape.deviations())
    return (
        sum(stream == "fault" for stream, _, _ in deviations),
        len(deviations),
        steps,
        sum(len(tape.stream(stream)) for stream in STREAMS),
        sum(answer for _, _, answer in deviations),
    )


def _starts_from_the_end(length: int, size: int) -> Iterator[int]:
    return iter(range(length - size, -1, -size))


def _copy(tape: Tape) -> Tape:
    return Tape(*(list(tape.stream(stream)) for stream in STREAMS))


def _with_boring(tape: Tape, deviations: Sequence[Deviation]) -> Tape:
    changed = _copy(tape)
    for stream, position, _ in deviations:
        answers = changed.stream(stream)
        if position < len(answers):
            answers[position] = 0
    return changed


def _without_span(tape: Tape, stream: Stream, start: int, size: int) -> Tape:
    changed = _copy(tape)
    del changed.stream(stream)[start : start + size]
    return changed


def _with_answer(tape: Tape, stream: Stream, position: int, answer: int) -> Tape:
    changed = _copy(tape)
    answers = changed.stream(stream)
    if position < len(answers):
        answers[position] = answer
    return changed
