"""Rows: what is stored of a session and its items at one moment, as the worked timelines say it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from holdfast.core.contract.store import SessionRecord, WorkerRow
from holdfast.core.working.lease_records import LeaseView
from holdfast.properties.matrix.parts.deliveries import deliveries, work_of
from holdfast.sim.loop.virtual_time import EPOCH_MS
from holdfast.sim.toolkit.handle import Handle
from holdfast.sim.toolkit.world import World
from holdfast.traces.record import Commit

R_US: Final = 30_000_000
"""Half of D = 60 s."""


class Line(NamedTuple):
    """A line of a table: when, until when the item is locked, whose the session is, and until when."""

    t: float
    item_lock: float | None
    owner: str | None
    expiry: float | None


class Handed(NamedTuple):
    """A delivery of an item: when by the store's clock, to which process, and which attempt it was."""

    t: float | None
    process: str
    attempt: int


class Look(NamedTuple):
    """A session row as it was found, and the time of the store's clock at which it was."""

    now_ms: int
    row: SessionRecord | None


def second_of(provider_ms: int | None) -> float | None:
    """A time of the store, in seconds since the run began, by a clock that has not jumped."""
    return None if provider_ms is None else (provider_ms - EPOCH_MS) / 1000


async def until_second(world: World, second: float) -> None:
    """Wait until so much virtual time has passed since the run began."""
    await world.sleep(second - world.now_us / 1_000_000)


def owner_and_expiry(
    world: World, session: str = "s", instance: str = "i"
) -> tuple[str | None, float | None] | None:
    """Owner and expiry of a session; None if it has no row."""
    record = world.session(instance, session)
    return None if record is None else (record.worker_id, second_of(record.locked_until))


def item_lock(world: World, activity_id: int, instance: str = "i") -> float | None:
    """Until when the item of an activity is locked; None if it is not, or is gone."""
    locks = [
        one.locked_until
        for one in world.worker_rows()
        if one.item is not None and (one.item.instance, one.item.id) == (instance, activity_id)
    ]
    return second_of(locks[0]) if locks else None


def line(world: World, instance: str = "i", id: int = 0) -> Line:
    """What is stored now of session s of an instance, and of one of its items."""
    owner, expiry = owner_and_expiry(world, "s", instance) or (None, None)
    return Line(world.now_us / 1_000_000, item_lock(world, id, instance), owner, expiry)


async def line_after(
    world: World, matches: Callable[[Commit], bool], instance: str = "i", id: int = 0
) -> Line:
    """The line right after the next such commit."""
    await world.commit(matches)
    return line(world, instance, id)


def handed(world: World, session: str = "s") -> list[Handed]:
    """The deliveries of the items of a session, in order."""
    return [
        Handed(second_of(one.provider_ms), one.process, work_of(one).attempt_count)
        for one in deliveries(world.commits, session)
    ]


def leases_of(worker: Handle) -> tuple[LeaseView, ...]:
    """The leases that a worker has now, by its own account."""
    assert worker.runtime is not None, f"{worker} has no runtime yet"
    return worker.runtime.leases()


def renewal_due(world: World, owner: Handle) -> float | None:
    """When a worker renews its one session next, at R after the last extension; None if it has none."""
    assert owner.process is not None, f"{owner} has not been started"
    for lease in leases_of(owner):
        zero_us = owner.process.clock.monotonic_us() - world.now_us
        return (lease.extended - zero_us + R_US) / 1_000_000
    return None


def look(world: World, session: str = "s", instance: str = "i") -> Look:
    """The row of a session as it is now."""
    return Look(world.provider_now_ms, world.session(instance, session))


async def looks_every(world: World, seconds: float, *, times: int) -> list[Look]:
    """The row of session s again and again, each time after a pause."""
    looks = []
    for _ in range(times):
        await world.sleep(seconds)
        looks.append(look(world))
    return looks


async def looks_at(world: World, *seconds: float) -> list[Look]:
    """The row of session s at these seconds of the run."""
    looks = []
    for second in seconds:
        await until_second(world, second)
        looks.append(look(world))
    return looks


def assert_held(looks: Iterable[Look], owner: Handle) -> None:
    """At each of these moments the session was live, and this worker's."""
    for one in looks:
        assert one.row is not None and one.row.worker_id == owner.worker_id, (owner, one)
        assert one.row.locked_until is not None and one.row.locked_until > one.now_ms, (owner, one)


def rows_of(world: World, instance: str) -> list[SessionRecord]:
    """The session rows of an instance."""
    return [record for record in world.sessions() if record.instance_id == instance]


def queued(world: World, session: str | None = None, instance: str | None = None) -> list[WorkerRow]:
    """The rows of the worker queue, of one session or of all sessions, of one instance or of any."""
    return [
        row
        for row in world.worker_rows()
        if (row.session_id is not None if session is None else row.session_id == session)
        and (instance is None or (row.item is not None and row.item.instance == instance))
    ]


class Stored(NamedTuple):
    """The session rows of an instance, and the rows of the worker queue for them."""

    rows: list[SessionRecord]
    items: list[WorkerRow]


NOTHING = Stored([], [])


def stored(world: World, instance: str = "i") -> Stored:
    """What is stored now of the sessions of an instance."""
    return Stored(rows_of(world, instance), queued(world, instance=instance))


def by_session(world: World) -> dict[str, tuple[str | None, int | None]]:
    """Owner and expiry by session, in a world where each session id is used by one instance."""
    return {row.session_id: (row.worker_id, row.locked_until) for row in world.sessions()}
