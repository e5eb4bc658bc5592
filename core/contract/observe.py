"""The one port through which the runtime and the providers report what happens inside a process.

By default nobody listens, and then no event object is built. Structured logs, counters and the simulator's
recorder are listeners (SS-22, sessions.md 27a). Listening never changes behaviour (RT-23.12).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

import msgspec

SignalCause = Literal["item_lost", "session_lost", "deadline", "shutdown"]
"""Why a handler was told to stop: item gone, session gone, local deadline passed, shutdown."""

LeaseEndCause = Literal["lost", "deadline", "idle", "shutdown", "given_back"]
"""Why a lease ended: the provider said so, the local deadline passed, idle release, shutdown, SS-14.16."""

StopOutcome = Literal["completed", "failed", "discarded", "aborted", "not_started"]
"""How an attempt ended: result or error acknowledged, result discarded after a signal, aborted after the
grace period, or given back without a handler having run."""


class HandlerStarted(msgspec.Struct, frozen=True, gc=False):
    """START: a handler begins to run one attempt of an activity."""

    worker_id: str
    token: str
    instance_id: str
    execution_id: int
    activity_id: int
    session_id: str | None
    attempt: int


class HandlerSignalled(msgspec.Struct, frozen=True, gc=False):
    """SIGNAL: the attempt's cancellation token fires, once."""

    worker_id: str
    token: str
    cause: SignalCause


class HandlerStopped(msgspec.Struct, frozen=True, gc=False):
    """STOP: the handler has stopped running (its final provider call may still follow)."""

    worker_id: str
    token: str
    outcome: StopOutcome


class LeaseTaken(msgspec.Struct, frozen=True, gc=False):
    """LEASE+: the worker starts to hold a session."""

    worker_id: str
    instance_id: str
    session_id: str


class LeaseEnded(msgspec.Struct, frozen=True, gc=False):
    """LEASE-: the worker no longer holds the session; `in_flight` attempts were signalled."""

    worker_id: str
    instance_id: str
    session_id: str
    cause: LeaseEndCause
    in_flight: int

    def __post_init__(self) -> None:
        assert self.in_flight >= 0, f"session {self.session_id!r} ends with {self.in_flight} attempts"


class RenewalSent(msgspec.Struct, frozen=True, gc=False):
    """RCALL: a stand-alone session renewal is sent."""

    worker_id: str
    instance_id: str
    session_id: str


class RenewalAnswered(msgspec.Struct, frozen=True, gc=False):
    """RRET: it was answered; `error` is None on success."""

    worker_id: str
    instance_id: str
    session_id: str
    error: str | None


class CapacityChanged(msgspec.Struct, frozen=True, gc=False):
    """The worker's session units: leases, reservations of claiming fetches, units kept by SS-14.15."""

    worker_id: str
    leases: int
    reserved: int
    kept: int
    limit: int

    def __post_init__(self) -> None:
        assert self.leases >= 0, f"{self.worker_id} holds {self.leases} leases"
        assert self.reserved >= 0, f"{self.worker_id} has given {-self.reserved} reservations back twice"
        assert self.kept >= 0, f"{self.worker_id} has given {-self.kept} kept units back twice"


class ShutdownBegan(msgspec.Struct, frozen=True, gc=False):
    """SHUTDOWN: from here on no fetch is started; a graceful one has `timeout_us` to end."""

    worker_id: str
    graceful: bool
    timeout_us: int = 0


class ShutdownReturned(msgspec.Struct, frozen=True, gc=False):
    """RETURNED: from here on no provider call is made."""

    worker_id: str


class TurnEnded(msgspec.Struct, frozen=True, gc=False):
    """A turn was computed: what the engine started from and what it concluded (INV-33, INV-34)."""

    instance_id: str
    execution_id: int
    open_sessions: tuple[str, ...]
    outcome: str


LogLevel = Literal["debug", "info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Logged:
    """A structured log record: an event name of SS-22 or a message of RT-23.4, with its fields."""

    event: str
    level: LogLevel
    fields: dict[str, object]
    exception: BaseException | None = field(default=None, compare=False, repr=False)
    """What user code, or our own, raised; for its traceback."""


LocalEvent = (
    HandlerStarted
    | HandlerSignalled
    | HandlerStopped
    | LeaseTaken
    | LeaseEnded
    | RenewalSent
    | RenewalAnswered
    | CapacityChanged
    | ShutdownBegan
    | ShutdownReturned
    | TurnEnded
    | Logged
)


class Observer(Protocol):
    """A listener. It must not raise, block or change anything.

    Traces of plain-function activities come from their threads. One that has `takes_records = True` gets the
    log records instead of the `logging` module, others beside it.
    """

    def notify(self, event: LocalEvent) -> None:
        """Take note of one event."""
        ...
