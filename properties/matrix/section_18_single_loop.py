"""Matrix section 18: one loop, with one slot for turns and one for activities."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Final

from holdfast.core import OrchestrationContext
from holdfast.core.contract.observe import HandlerStarted, HandlerStopped
from holdfast.core.contract.store import SessionRecord
from holdfast.properties.matrix.parts.conversations import (
    D_MS,
    MINUTE,
    encoded,
    observations,
    running,
    session_events,
    start,
)
from holdfast.properties.matrix.parts.deliveries import (
    deliveries,
    effective,
    item_renewals,
    renewals,
    until_delivered,
)
from holdfast.properties.matrix.parts.told import at, told
from holdfast.sim import World, scenario
from holdfast.sim.toolkit.handle import Handle
from holdfast.traces.record import Commit

SINGLE: Final = {**MINUTE, "orchestration_concurrency": 1, "worker_concurrency": 1}
"""One slot of each kind."""
R_MS: Final = D_MS // 2


async def _whole_life(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    answers = await ctx.join(
        *(ctx.schedule_activity_on_session("work", each, session) for each in input.split())
    )
    ctx.close_session(session)
    answers.append(await ctx.schedule_activity("look", "closed"))
    return encoded(answers)


@scenario(
    covers=["18.1", "SS-23.1"],
    options=SINGLE,
    situations=["session.claimed", "session.closed", "session.served_again"],
)
async def sessions_work_in_current_thread(world: World) -> None:
    """One loop with one slot each is enough."""
    worker = world.worker("a", running(_whole_life))
    durations = {
        instance: [1 + 5 * world.draw("seconds / 5", 4), 1 + world.draw("seconds", 3)]
        for instance in ("i", "j", "k")
    }
    for instance, seconds in durations.items():
        await start(world, _whole_life, instance, input=" ".join(map(str, seconds)))
    statuses = {instance: await world.finished(instance, check=False) for instance in durations}
    ended_us = world.now_us
    with world.oracle("18.1"):
        for instance, status in statuses.items():
            *bound, plain = observations(status)
            assert [one.input for one in bound] == [str(each) for each in durations[instance]], bound
            assert {one.session for one in bound} == {"s"} and plain.session is None, (bound, plain)
            assert {one.owner for one in (*bound, plain)} == {worker.worker_id}, (bound, plain)
            assert session_events(await world.history(instance)) == [
                ("SessionOpened", "s"),
                ("SessionClosed", "s"),
            ]
        assert world.sessions() == [], world.sessions()
        work_us = sum(sum(seconds) for seconds in durations.values()) * 1_000_000
        assert work_us <= ended_us <= work_us + 1_000_000, "the slot is never idle while there is work"
        kinds = [type(one.event) for one in told(world, HandlerStarted | HandlerStopped)]
        assert kinds == [HandlerStarted, HandlerStopped] * 9, "one after the other"


def extensions(world: World, instance: str, session_id: str) -> list[Commit]:
    """Every successful claim, fetch and renewal that extended the session, in order."""
    extending = [
        *deliveries(world.commits, session_id, instance),
        *item_renewals(world.commits, session_id, instance),
        *renewals(world.commits, session_id, instance),
    ]
    return sorted(effective(extending), key=lambda one: one.position)


class LiveWatch:
    """After each commit from the first delivery on: whether these sessions were live and whose they were.

    True once the store's clock shows `until_ms`.
    """

    def __init__(self, world: World, sessions: Sequence[tuple[str, str]], until_ms: int) -> None:
        self.owners: dict[tuple[str, str], dict[str | None, None]] = {key: {} for key in sessions}
        self.lapsed: list[tuple[int, SessionRecord | None]] = []
        self._world = world
        self._until_ms = until_ms

    def __call__(self, commit: Commit) -> bool:
        now = self._world.provider_now_ms
        for key, owners in self.owners.items():
            row = self._world.session(*key)
            if row is not None and row.worker_id is not None:
                owners[row.worker_id] = None
            if owners and (row is None or row.locked_until is None or row.locked_until <= now):
                self.lapsed.append((now, row))
        return now >= self._until_ms


async def waits_on_the_slot(ctx: OrchestrationContext, input: str) -> str:
    """An activity of three D on the only slot; the session stays open behind it."""
    name, seconds = input.split()
    session = ctx.open_session_with_id("s")
    if name == "none":
        answer = await ctx.schedule_activity_on_session("look", seconds, session)
    else:
        answer = await ctx.schedule_activity_on_session(name, seconds, session)
    await ctx.dequeue_event("end")
    return encoded([answer])


async def busy_for_three_d(world: World, worker: Handle, name: str) -> LiveWatch:
    """Session s of `i` is used and then idle; then one of `j` has a handler for 3 D on the only slot."""
    begun_ms = world.provider_now_ms
    watch = LiveWatch(world, [("i", "s"), ("j", "s")], begun_ms + 3 * D_MS)
    await start(world, waits_on_the_slot, "i", input="none 0")
    await until_delivered(world)
    await asyncio.gather(
        world.commit(watch), start(world, waits_on_the_slot, "j", input=f"{name} {3 * D_MS // 1000}")
    )
    await world.until(lambda: len(told(world, HandlerStopped, worker.name)) > 1)
    for instance in ("i", "j"):
        await world.client.enqueue_event(instance, "end", "")
    return watch


async def check_renewed_on_schedule(world: World, worker: Handle, watch: LiveWatch) -> None:
    """Live throughout, and no two extensions further apart than R; the handler ran for 3 D."""
    begun, stopped = told(world, HandlerStarted), told(world, HandlerStopped, worker.name)
    assert at(stopped[1]) - at(begun[1]) == 3 * D_MS / 1000, (begun, stopped)
    assert watch.lapsed == [], watch.lapsed
    for key, owners in watch.owners.items():
        assert list(owners) == [worker.worker_id], (key, owners)
        made = extensions(world, *key)
        assert all(later.provider_ms - one.provider_ms <= R_MS for one, later in pairwise(made)), made
        assert made[-1].provider_ms - made[0].provider_ms >= 2 * D_MS, made
    idle = [one.operation for one in extensions(world, "i", "s")]
    assert idle.count("renew_session_lock") >= 5, "every R while it waits"
    assert extensions(world, "j", "s")[1:], "renewal calls were seen"


LATE_ITEMS: Final = timedelta(seconds=100)
"""An item lock so long that its renewals are further apart than R."""


@scenario(
    covers=["18.2", "SS-23.2", "SS-7.18"],
    options=SINGLE,
    situations=["session.renewed_by_item", "session.renewed_between"],
)
async def session_renewal_works_single_thread(world: World) -> None:
    """Renewal also runs on a single loop."""
    late = world.draw("item renewals come late", 2)
    overrides = {"worker_lock_timeout": LATE_ITEMS} if late else {}
    worker = world.worker("a", running(waits_on_the_slot), **overrides)
    await world.sleep(7 * world.draw("seconds before the start / 7", 5))
    watch = await busy_for_three_d(world, worker, "insist")
    statuses = [await world.finished(instance, check=False) for instance in ("i", "j")]
    with world.oracle("18.2"):
        await check_renewed_on_schedule(world, worker, watch)
        assert [observations(status)[0].input for status in statuses] == ["0", "180"], statuses
