"""What happened in a run, as data: commits, local events, faults, and who may watch them.

Provider commits are totally ordered, and that order is the linearization of the run (sessions.md 27a). Local
events of a process and faults stand between the commits at which they happened.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

import msgspec

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.observe import LocalEvent
from holdfast.traces.calls import ProviderCall, decoded

CallOutcome = Literal["answered", "lost", "refused", "unsent"]
"""The four outcomes of a provider call: done and answered; done and the answer lost; refused by the store
with a transient error, nothing done; never sent. The last two leave the store as it was."""

FaultKind = Literal[
    "crash",  # a process is cut off for good; it may be started again
    "stall",  # a process stands still for a while and resumes
    "slow_call",  # a call reaches the store late
    "slow_answer",  # a call is done at once, its answer comes late
    "lost_answer",  # a call is done, its answer never comes
    "refused",  # the store answers with a transient error and does nothing
    "unsent",  # the call never reaches the store
    "duplicate",  # a completion is delivered twice
    "provider_clock",  # the store's clock jumps
    "wall_clock",  # a process's wall clock jumps
]


class Commit(msgspec.Struct, frozen=True, dict=True):
    """One provider call at its place in the total order.

    `arguments` are by parameter name, as the call crossed the gate; `call` has them typed.
    `result` and `error` are the provider's own, whatever of them reached the caller: after any outcome but
    `answered` the caller saw a transient error, late or never. `time_us` is virtual time, `provider_ms` the
    store's clock, which may have jumped. (A struct, as one is made for every call of every run.)
    """

    position: int
    process: str
    boot: int
    operation: str
    arguments: Mapping[str, object]
    outcome: CallOutcome
    result: object
    error: ProviderError | None
    time_us: int
    provider_ms: int

    @property
    def call(self) -> ProviderCall:
        """The operation and its arguments as one typed record; made when it is first asked for."""
        kept: dict[str, ProviderCall] = self.__dict__
        call = kept.get("call")
        if call is None:
            call = kept["call"] = decoded(self.operation, self.arguments)
        return call

    @property
    def took_effect(self) -> bool:
        """Whether the store was reached and did what it was asked."""
        return self.error is None and self.outcome in ("answered", "lost")


class Local(msgspec.Struct, frozen=True):
    """Something inside one process, reported through its observer."""

    process: str
    boot: int
    time_us: int
    event: LocalEvent


class Fault(msgspec.Struct, frozen=True):
    """A fault struck: by the tape, or scripted by the scenario."""

    kind: FaultKind
    process: str | None
    time_us: int
    amount_ms: int = 0


class Booted(msgspec.Struct, frozen=True):
    """A process was started, for the `boot`-th time."""

    process: str
    boot: int
    time_us: int


class RunEnd(msgspec.Struct, frozen=True):
    """The end of a run. `cut_off` names the limit that ended it early; such a run is evidence for nothing."""

    time_us: int
    steps: int
    cut_off: str | None


class Watcher(Protocol):
    """Who follows a run as it happens: the recorder, the monitors. It changes nothing."""

    def on_commit(self, commit: Commit) -> None:
        """A call reached the store, or a fault kept it away."""
        ...

    def on_local(self, local: Local) -> None:
        """A process reported something."""
        ...

    def on_fault(self, fault: Fault) -> None:
        """A fault struck."""
        ...

    def on_boot(self, booted: Booted) -> None:
        """A process started."""
        ...

    def on_end(self, end: RunEnd) -> None:
        """The run is over; nothing follows."""
        ...

    @property
    def violated(self) -> bool:
        """Whether a rule is already broken, so that there is no point in going on."""
        ...

    def open_until_us(self) -> int:
        """The virtual time by which every timed obligation still open must have been met; 0 if none is."""
        ...
