"""Faults: the table of lawful misfortunes, their budgets, and the drawing of them (sessions.md 24).

There are two sites in the fault stream. At `commit`, before a chosen call reaches the store, one of the
kinds that apply to the call may strike, or the clock may jump; at `idle`, before plain time advances, one of
those that strike a process or a clock. The first draw picks none or a kind among those with budget left; only
if one strikes, detail draws follow (their sites have a dot: `crash.when`, `stall.for`).

Only a fault makes anything late: time advances only when nothing is enabled. So the record of the faults,
with the process and the `amount_ms` of each, accounts for all the time anything was held back, and
`held_back_us` adds it up. A fault is booked when it strikes, in full and to the process it strikes, whatever
happens later: a stall that a crash cuts short, an answer that comes while its process is stalled anyway.

    stall         |-------- 30 s --------|
    slow answer         |------- 30 s -------|
    a rule from   ^ 0                    30  36 ^       held back by 60 s: an upper bound, of truly 36

Too much is the safe side: a rule is widened by more than necessary, and the many runs with few faults judge
it to the microsecond. Subtracting overlaps would require knowing what each fault held back, which differs: a
stall the whole process, a slow answer one call.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Final, Literal, NamedTuple, get_args

from holdfast.core.contract.errors import ConfigurationError
from holdfast.core.hosting.options import RuntimeOptions, Timing
from holdfast.sim.stage.steps import FETCHES
from holdfast.traces.record import Fault, FaultKind

Site = Literal["commit", "idle"]


class FaultEntry(NamedTuple):
    kind: FaultKind
    does: str
    lasting: bool
    may_cause: str
    sites: tuple[Site, ...]


FAULT_TABLE: Final[tuple[FaultEntry, ...]] = (
    FaultEntry(
        "crash",
        "cuts a process off just before or just after its call commits, or while all is quiet",
        True,
        "locks and sessions of the process lapse; its attempts are delivered again",
        ("commit", "idle"),
    ),
    FaultEntry(
        "stall",
        "a process hears nothing and runs nothing for a while, then goes on",
        False,
        "its leases and locks may lapse under it; calls it has sent still commit",
        ("commit", "idle"),
    ),
    FaultEntry(
        "slow_call",
        "a call reaches the store only after a while",
        False,
        "refusal of a lock that has lapsed meanwhile",
        ("commit",),
    ),
    FaultEntry(
        "slow_answer",
        "a call is done at once, its answer comes after a while",
        False,
        "a lock shorter than the caller believes",
        ("commit",),
    ),
    FaultEntry(
        "lost_answer",
        "a call is done; the caller gets a retryable error, after a while",
        False,
        "one retryable ProviderError; a repeated call finds its work done",
        ("commit",),
    ),
    FaultEntry(
        "refused",
        "the store answers at once with a transient error and does nothing",
        False,
        "one retryable ProviderError",
        ("commit",),
    ),
    FaultEntry(
        "unsent",
        "a call never reaches the store; the caller gets a retryable error, after a while",
        False,
        "one retryable ProviderError",
        ("commit",),
    ),
    FaultEntry(
        "duplicate",
        "the completion that an acknowledgement delivered is delivered a second time",
        True,
        "nothing: the second one is ignored (INV-16)",
        ("commit",),
    ),
    FaultEntry(
        "provider_clock",
        "the store's clock jumps, forward or back",
        True,
        "locks lapse early or last longer by the jump (SS-24.3, SS-24.4)",
        ("commit", "idle"),
    ),
    FaultEntry(
        "wall_clock",
        "the wall clock of one process jumps",
        True,
        "nothing: no schedule is kept on it (SS-24.2)",
        ("idle",),
    ),
)
"""Every kind of fault, what it does, whether it lasts, and what it may lawfully cause."""

assert tuple(entry.kind for entry in FAULT_TABLE) == get_args(FaultKind)

_AT: Final[dict[Site, tuple[FaultKind, ...]]] = {
    "commit": tuple(entry.kind for entry in FAULT_TABLE if "commit" in entry.sites),
    "idle": tuple(entry.kind for entry in FAULT_TABLE if "idle" in entry.sites),
}


@dataclass(frozen=True, slots=True)
class FaultBudget:
    """How many faults of each kind one run may have; by default none. Raises ConfigurationError below 0."""

    crash: int = 0
    stall: int = 0
    slow_call: int = 0
    slow_answer: int = 0
    lost_answer: int = 0
    refused: int = 0
    unsent: int = 0
    duplicate: int = 0
    provider_clock: int = 0
    wall_clock: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not isinstance(value, int) or value < 0:
                raise ConfigurationError(f"fault budget {field.name} is {value!r}, expected a count from 0")

    def counts(self) -> dict[FaultKind, int]:
        """The counts by kind, in the order of the table; only kinds that have a budget."""
        return {entry.kind: count for entry in FAULT_TABLE if (count := getattr(self, entry.kind))}


class Faults:
    """What is left of a run's budget, and how long the delays of faults are.

    `delays_ms` are longer than a renewal interval, the item lock, the session lock and twice the session
    lock, by the options of the world; a detail draw picks one.
    """

    def __init__(self, budget: FaultBudget, options: RuntimeOptions) -> None:
        self._left = budget.counts()
        self._kinds: dict[str, list[FaultKind]] = {}  # by operation, as long as nothing is spent
        self._options = options

    @cached_property
    def delays_ms(self) -> tuple[int, ...]:
        """The delays to draw from."""
        return delays_of(self._options)

    def stop(self) -> None:
        """No more faults: the scenario's body has returned."""
        self._left = {}
        self._kinds = {}

    @property
    def over(self) -> bool:
        """Whether no fault can strike any more."""
        return not self._left

    def kinds_for_call(self, operation: str) -> list[FaultKind]:
        """The kinds that may strike this call, by table order."""
        kinds = self._kinds.get(operation)
        if kinds is None:
            kinds = self._kinds[operation] = [
                kind
                for kind in _AT["commit"]
                if kind in self._left
                and (kind != "duplicate" or operation == "ack_work_item")
                and (kind != "slow_call" or operation not in FETCHES)
            ]
        return kinds

    def kinds_for_idle(self) -> list[FaultKind]:
        """The kinds that may strike while all is quiet."""
        return [kind for kind in _AT["idle"] if kind in self._left]

    def spend(self, kind: FaultKind) -> None:
        """One of this kind has struck."""
        assert kind in self._left, f"a {kind} struck, but none is left in the budget: {self._left}"
        self._kinds = {}
        left = self._left[kind] - 1
        if left:
            self._left[kind] = left
        else:
            del self._left[kind]


_MARGIN_MS: Final = 1000


def delays_of(options: RuntimeOptions) -> tuple[int, ...]:
    """Durations that matter to these options, in whole milliseconds, ascending."""
    timing = Timing.of(options)
    interesting = {
        timing.session_lock // 2 + _MARGIN_MS,
        timing.item_renewal // 1000 + _MARGIN_MS,
        timing.item_lock + _MARGIN_MS,
        timing.session_lock + _MARGIN_MS,
        2 * timing.session_lock + _MARGIN_MS,
    }
    return tuple(sorted(interesting))


_HOLDS_BACK: Final[frozenset[FaultKind]] = frozenset(
    {"stall", "slow_call", "slow_answer", "lost_answer", "unsent"}
)


def held_back_us(faults: Iterable[Fault], process: str, *, since_us: int, until_us: int) -> int:
    """How long faults have held back this process or its calls between two times.

    A timed rule about the process is widened by this. Overlapping faults are added up, so it is an upper
    bound.
    """
    total = 0
    for fault in faults:
        if fault.process == process and fault.kind in _HOLDS_BACK:
            begin = max(fault.time_us, since_us)
            end = min(fault.time_us + fault.amount_ms * 1000, until_us)
            total += max(0, end - begin)
    return total
