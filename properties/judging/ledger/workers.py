"""Workers as their calls and local events have them: leases, attempts, shutdown; and the booked faults."""

from __future__ import annotations

from holdfast.core.contract.observe import CapacityChanged, LeaseEndCause, SignalCause
from holdfast.properties.judging.ledger.instances import SessionKey
from holdfast.traces.record import Fault


class AttemptRecord:
    """One delivery. Its flight ends with its final provider call; its handler starts, is signalled, stops."""

    __slots__ = (
        "delivered_us",
        "final_at",
        "item_gone_at",
        "key",
        "known",
        "number",
        "refused",
        "session_gone_at",
        "signalled",
        "started_us",
        "stopped",
        "token",
        "worker",
    )

    def __init__(
        self,
        token: str,
        number: int,
        key: SessionKey | None,
        worker: WorkerBoot,
        delivered_us: int,
        *,
        known: bool,
    ) -> None:
        self.token = token
        self.number = number  # of the item
        self.key = key
        self.worker = worker
        self.delivered_us = delivered_us
        self.known = known  # False: the answer of the fetch was lost
        self.started_us: int | None = None
        self.signalled: SignalCause | None = None
        self.stopped = False
        self.final_at: int | None = None  # position of its accepted or refused final call
        self.item_gone_at: int | None = None  # position of the commit that removed or passed on the item
        self.session_gone_at: int | None = None  # position of the commit that took the session away
        self.refused = False  # a renewal of the item was refused

    def name(self) -> str:
        """Its name in witnesses."""
        return f"item {self.number} on {self.worker.name()}"

    @property
    def running(self) -> bool:
        """Whether its handler runs and was not told to stop."""
        return self.started_us is not None and not self.stopped and self.signalled is None


class WorkerBoot:
    """One boot of a process. `owner` is its name in session rows, once a call or an event has shown it."""

    __slots__ = (
        "alive",
        "attempts",
        "boot",
        "ended_leases",
        "extended_us",
        "leases",
        "owner",
        "process",
        "renewing",
        "returned",
        "shutdown",
        "units",
    )

    def __init__(self, process: str, boot: int) -> None:
        self.process = process
        self.boot = boot
        self.owner: str | None = None
        self.alive = True
        self.leases: dict[SessionKey, int] = {}  # since when, in microseconds
        self.ended_leases: dict[SessionKey, LeaseEndCause] = {}
        self.renewing: dict[SessionKey, int] = {}
        self.extended_us: dict[SessionKey, int] = {}  # when its latest extension of a session committed
        self.attempts: dict[str, AttemptRecord] = {}  # in flight, by item token
        self.units: CapacityChanged | None = None
        self.shutdown: str | None = None  # "graceful" or "immediate"
        self.returned = False

    def name(self) -> str:
        """Its name in witnesses."""
        return (
            f"{self.process}/{self.boot}"
            if self.owner is None
            else f"{self.process}/{self.boot} ({self.owner})"
        )

    @property
    def runs(self) -> bool:
        """Neither crashed nor shut down at once, which is the same (SS-9.14)."""
        return self.alive and self.shutdown != "immediate" and not self.returned


_HOLDS_BACK = frozenset({"stall", "slow_call", "slow_answer", "lost_answer", "unsent"})
_BETWEEN = frozenset({"slow_call", "slow_answer", "lost_answer", "unsent", "refused"})
_MISTAKES = frozenset({"stall", "slow_call", "slow_answer", "lost_answer"})


class Book:
    """The faults of a run by process: what widens timed rules, never a constant."""

    def __init__(self) -> None:
        self._faults: dict[str, list[Fault]] = {}
        self.jumps: list[Fault] = []

    def enter(self, fault: Fault) -> None:
        """A fault struck."""
        if fault.kind == "provider_clock":
            self.jumps.append(fault)
        elif fault.process is not None:
            self._faults.setdefault(fault.process, []).append(fault)

    def held_back_us(self, process: str, since_us: int) -> int:
        """For how long in all faults held back this process or its calls, if they had not ended by then."""
        return sum(
            fault.amount_ms * 1000
            for fault in self._faults.get(process, ())
            if fault.kind in _HOLDS_BACK and fault.time_us + fault.amount_ms * 1000 >= since_us
        )

    def unreachable(self, process: str, since_us: int) -> bool:
        """Whether a fault stood between this process and the store then or later."""
        return any(
            fault.kind in _BETWEEN and fault.time_us + fault.amount_ms * 1000 >= since_us
            for fault in self._faults.get(process, ())
        )

    def answer_lost(self, process: str) -> bool:
        """Whether a call of this process took effect without its hearing of it."""
        return any(fault.kind == "lost_answer" for fault in self._faults.get(process, ()))

    def mistaken(self, process: str, since_us: int) -> bool:
        """Whether this process may have thought otherwise of what its calls have done, then or later.

        Of a call that does nothing it does not, nor does a clock on the wall matter (SS-24.2).
        """
        return any(
            fault.kind in _MISTAKES and fault.time_us + fault.amount_ms * 1000 >= since_us
            for fault in self._faults.get(process, ())
        )

    def struck(self, process: str, since_us: int) -> bool:
        """Whether anything at all disturbed this process or its calls then or later."""
        return any(
            fault.time_us + fault.amount_ms * 1000 >= since_us for fault in self._faults.get(process, ())
        )
