"""ToldEvent: what processes reported of themselves, with who did and when, read out of a run."""

from __future__ import annotations

from types import UnionType
from typing import Generic, NamedTuple, Protocol, TypeVar

from holdfast.core.contract.observe import HandlerSignalled, HandlerStarted, HandlerStopped, LeaseEnded
from holdfast.sim.toolkit.world import World

E = TypeVar("E")


class _Timed(Protocol):
    """What happened at a time: a commit, a local event, or one that was told."""

    @property
    def time_us(self) -> int: ...


class ToldEvent(NamedTuple, Generic[E]):
    """One report, and who made it when."""

    time_us: int
    process: str
    event: E


class HandlerSpan(NamedTuple):
    """From when to when a handler ran, in seconds since the run began."""

    began: float
    ended: float

    def overlaps(self, other: HandlerSpan) -> bool:
        """Whether there was a moment at which both ran."""
        return self.began < other.ended and other.began < self.ended


def told(
    world: World,
    kind: type[E] | UnionType,
    process: str | None = None,
    *,
    instance: str | None = None,
    session: str | None = None,
) -> list[ToldEvent[E]]:
    """What was reported of a kind, in order: by one process or all, about one instance or session or any."""
    return [
        ToldEvent(local.time_us, local.process, local.event)
        for local in world.locals
        if isinstance(local.event, kind)
        and process in (None, local.process)
        and instance in (None, getattr(local.event, "instance_id", None))
        and session in (None, getattr(local.event, "session_id", None))
    ]


def events(
    world: World, kind: type[E] | UnionType, process: str | None = None, **about: str | None
) -> list[E]:
    """The same without who and when."""
    return [one.event for one in told(world, kind, process, **about)]


def at(happened: _Timed) -> float:
    """When something happened, in seconds since the run began."""
    return happened.time_us / 1_000_000


def since(earlier: _Timed, happened: _Timed) -> float:
    """How many seconds after the earlier thing this one happened."""
    return (happened.time_us - earlier.time_us) / 1_000_000


def starts(world: World, process: str | None = None, **about: str | None) -> list[HandlerStarted]:
    """The handlers that started."""
    return events(world, HandlerStarted, process, **about)


def session_starts(world: World, instance: str = "i", session: str = "s") -> list[HandlerStarted]:
    """The handlers that started for one session."""
    return events(world, HandlerStarted, instance=instance, session=session)


def signals(world: World, process: str | None = None) -> list[ToldEvent[HandlerSignalled]]:
    """When and how handlers were told to stop."""
    return told(world, HandlerSignalled, process)


def lease_ends(world: World, process: str | None = None, **about: str | None) -> list[tuple[float, str]]:
    """When leases ended, in seconds, and why."""
    return [(at(one), one.event.cause) for one in told(world, LeaseEnded, process, **about)]


def spans(world: World, session: str) -> list[HandlerSpan]:
    """When handlers of a session ran, in order of their starts; all of them have stopped."""
    ended = {one.event.token: at(one) for one in told(world, HandlerStopped)}
    return [
        HandlerSpan(at(one), ended[one.event.token]) for one in told(world, HandlerStarted, session=session)
    ]
