"""Script: faults that a scenario sets for calls to come, instead of leaving them to the tape."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from holdfast.sim.stage.faults import FAULT_TABLE
from holdfast.sim.stage.steps import Request

ScriptedFault = Literal["crash", "slow_call", "slow_answer", "lost_answer", "refused", "unsent"]
"""The kinds of the table that strike a call and can be set for one."""

_STRIKE_CALLS: Final = {entry.kind for entry in FAULT_TABLE if "commit" in entry.sites}
assert set(get_args(ScriptedFault)) <= _STRIKE_CALLS, f"a kind can be scripted that is not in {_STRIKE_CALLS}"


@dataclass(slots=True, eq=False, kw_only=True)
class Strike:
    """A fault set for certain calls; `count` is how many it has struck so far.

    Attributes:
        kind: the fault.
        process: whose calls; None for those of every process that faults may strike.
        operation: which calls; None for all.
        skip: how many of these calls are let through first.
        times: how many are then struck; None for all until `end`.
        delay_ms: how long the call or its answer is delayed.
        before: whether a crash comes just before the call takes effect instead of just after.
    """

    kind: ScriptedFault
    process: str | None
    operation: str | None
    skip: int
    times: int | None
    delay_ms: int
    before: bool
    count: int = 0
    _on_their_way: dict[Request, None] = field(default_factory=dict)
    """Slow calls that have not arrived yet: they are not struck again when they do."""

    def end(self) -> None:
        """Strike no further call."""
        self.times = self.count

    def spare(self) -> None:
        """Uncount a fetch that found nothing and waits on: it has no answer yet that could be late or
        lost."""
        assert self.count > 0, f"{self.kind} has struck nothing, so nothing can be spared"
        self.count -= 1

    @property
    def over(self) -> bool:
        """Whether it strikes no further call."""
        return self.times is not None and self.count >= self.times

    def befalls(self, request: Request) -> bool:
        """Whether this call, which is about to commit, is one of those."""
        assert not self.over, f"{self.kind} is over after {self.count} strikes, yet it looks at another call"
        if self.process not in (None, request.process.name) or self.operation not in (
            None,
            request.operation,
        ):
            return False
        if request in self._on_their_way:
            del self._on_their_way[request]
            return False
        if self.skip:
            self.skip -= 1
            return False
        self.count += 1
        if self.kind == "slow_call":
            self._on_their_way[request] = None
        return True


class Script:
    """The strikes set and not over, in order; the first that concerns a call is the one."""

    def __init__(self) -> None:
        self._strikes: list[Strike] = []

    def __bool__(self) -> bool:
        return bool(self._strikes)

    def set(self, strike: Strike) -> None:
        """From now on it may strike any call."""
        assert strike not in self._strikes, f"{strike} is set twice"
        self._strikes.append(strike)

    def take(self, request: Request) -> Strike | None:
        """The strike on this call, if any."""
        self._strikes = [strike for strike in self._strikes if not strike.over]
        return next((strike for strike in self._strikes if strike.befalls(request)), None)
