"""Lease: what a worker notes about one session it holds, and the table of its phases.

    none ──delivered──▶ busy ──last_finished──▶ idle ──delivered──▶ busy
                        busy ──delivered──▶ busy
                        busy ──lost, deadline, shutdown──▶ none
                                                idle ──lost, deadline, shutdown, idle_timer──▶ none

A lease is busy while an attempt that it covers is in flight. It ends once, and for good: the next item of its
session starts a fresh one (SS-7.15). All times are `Micros` of the worker's monotonic clock (SS-24.2). The
decisions are made in `lease_table`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from holdfast.core.contract.ids import LockToken, Micros
from holdfast.core.contract.provider import ScheduledSessionIdentifier

Phase = Literal["none", "busy", "idle"]
Happening = Literal["delivered", "last_finished", "lost", "deadline", "idle_timer", "shutdown"]
RenewalAnswer = Literal["extended", "refused", "unknown"]
"""What a renewal came back with: success, a permanent error, or a retryable one."""
SessionArrival = Literal["taken", "joined", "no_unit"]
"""What an arriving session item did: start a lease, join one, or find no unit free (SS-14.16)."""
EndCause = Literal["lost", "deadline", "idle", "shutdown"]

TRANSITIONS: Final[dict[tuple[Phase, Happening], Phase]] = {
    ("none", "delivered"): "busy",
    ("busy", "delivered"): "busy",
    ("idle", "delivered"): "busy",  # cancels the idle timer (SS-8.3)
    ("busy", "last_finished"): "idle",  # starts it (SS-8.2)
    ("busy", "lost"): "none",
    ("idle", "lost"): "none",
    ("busy", "deadline"): "none",
    ("idle", "deadline"): "none",
    ("idle", "idle_timer"): "none",  # never from busy (SS-8.6)
    ("busy", "shutdown"): "none",  # a handler that could not be stopped (SS-9.12)
    ("idle", "shutdown"): "none",
}

_NEVER: Final = Micros(0)


@dataclass(slots=True, eq=False)
class ExtendingCalls:
    """The calls that may have extended one session's row since this worker last knew it was not its own."""

    open: int = 0
    last_ended: Micros = _NEVER

    def ended(self, now: Micros, answer: RenewalAnswer) -> None:
        """One call was answered or given up; a refused one extended nothing."""
        assert self.open > 0, f"a call was answered with {answer!r} at {now}, and none is out"
        self.open -= 1
        if answer != "refused":
            assert now >= self.last_ended, f"a call ended at {now}, after one that ended at {self.last_ended}"
            self.last_ended = now


@dataclass(slots=True, eq=False)
class FetchUnderWay:
    """A session-aware fetch under way. A claiming one begins with a unit reserved (SS-14.5)."""

    claim_new: bool
    sent: Micros
    reserved: bool


@dataclass(slots=True, eq=False)
class Lease:
    """One session this worker holds; `phase` is "none" once it has ended, for good (SS-7.15)."""

    key: ScheduledSessionIdentifier
    calls: ExtendingCalls
    number: int = 0
    """Counts the leases of this worker: what is due at one time is done in the order they were taken."""
    phase: Phase = "none"
    attempts: dict[LockToken, Micros | None] = field(default_factory=dict)
    """In flight, each with the time for which its item renewal is planned or at which it was sent."""
    extended: Micros = _NEVER
    """The latest successful extension, as SS-7.2 counts it."""
    deadline: Micros = _NEVER
    renewal: Renewal | None = None
    """The stand-alone call outstanding; never a second one (SS-7.5)."""
    recheck: bool = False
    """A stand-alone renewal is due at once (SS-7.22, SS-7.24)."""
    failure_count: int = 0
    not_before: Micros = _NEVER
    idle_since: Micros | None = None

    @property
    def ended(self) -> bool:
        return self.phase == "none"

    def step(self, happening: Happening) -> None:
        after = TRANSITIONS.get((self.phase, happening))
        assert after is not None, (
            f"{happening!r} happened to the lease on {self.key}, which is {self.phase!r}"
        )
        self.phase = after

    def check(self) -> None:
        """Its fields agree with its phase after every change."""
        in_flight = tuple(self.attempts)
        if self.phase == "busy":
            assert in_flight, f"the lease on {self.key} is busy with nothing in flight"
        else:
            assert not in_flight, f"the lease on {self.key} is {self.phase!r} with {in_flight} in flight"
        if self.phase != "idle":
            assert self.idle_since is None, (
                f"the lease on {self.key} is idle since {self.idle_since}, and it is {self.phase!r}"
            )


@dataclass(slots=True, eq=False)
class Renewal:
    """A stand-alone renewal to send, or sent."""

    lease: Lease
    sent: Micros
    overlapped: bool = False
    """A fetch brought an item of the session while the call was outstanding (SS-7.22)."""


@dataclass(slots=True, eq=False)
class ItemRenewal:
    """A renewal of one item lock that carries its session along (SS-7.6)."""

    lease: Lease
    token: LockToken
    sent: Micros


@dataclass(slots=True, eq=False)
class Kept:
    """A session given up; its unit stays taken until the row has certainly expired or been released."""

    key: ScheduledSessionIdentifier
    calls: ExtendingCalls
    cause: EndCause
    releasing: bool


class Ended(NamedTuple):
    """A lease that ended, with the attempts it leaves to be signalled (SS-7.13)."""

    lease: Lease
    cause: EndCause
    attempts: tuple[LockToken, ...]


class Decisions(NamedTuple):
    """What is to be done now: signal, send renewals, send releases."""

    ended: tuple[Ended, ...] = ()
    renewals: tuple[Renewal, ...] = ()
    releases: tuple[Kept, ...] = ()


class Units(NamedTuple):
    """The capacity in use (SS-14.2)."""

    leases: int
    reserved: int
    kept: int


class LeaseView(NamedTuple):
    """A lease as oracles and diagnosis see it."""

    instance_id: str
    session_id: str
    phase: Phase
    in_flight: int
    extended: Micros
    """The latest extension; without a further one, a stand-alone renewal is due R later (SS-7.2)."""
    deadline: Micros
