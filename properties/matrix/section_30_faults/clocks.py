"""Matrix section 30, clocks: jumps of the store's clock and of a worker's, the instant of expiry."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, NamedTuple

from holdfast.core import OrchestrationContext
from holdfast.core.client import Completed, OrchestrationStatus
from holdfast.core.contract.observe import HandlerSignalled, RenewalSent
from holdfast.properties.matrix.parts.conversations import MINUTE, encoded, observations, running, start
from holdfast.properties.matrix.parts.deliveries import calls, deliveries, item_of
from holdfast.properties.matrix.parts.rows import leases_of, owner_and_expiry, second_of, until_second
from holdfast.properties.matrix.parts.takeovers import ONLY_ACTIVITIES, ONLY_TURNS, more, one_then_one
from holdfast.properties.matrix.parts.told import ToldEvent, at, lease_ends, signals, told
from holdfast.properties.matrix.parts.turns_by_hand import (
    D,
    begin,
    fetch,
    fetched,
    held_now,
    item,
    row_of,
    sessions_named,
)
from holdfast.sim.toolkit.bench import Bench
from holdfast.sim.toolkit.handle import Handle
from holdfast.sim.toolkit.scenario import scenario
from holdfast.sim.toolkit.world import World


async def in_passing(ctx: OrchestrationContext, input: str) -> str:
    """No activities: turns for the sake of turns."""
    await ctx.join(*(ctx.schedule_timer(timedelta(seconds=n)) for n in range(3)))
    return "done"


def _renewed_every(seconds: int) -> dict[str, object]:
    """Item locks that outlast every jump here, renewed so often; D = 60 s, R = 30 s."""
    return {
        **MINUTE,
        "worker_lock_timeout": timedelta(seconds=300),
        "worker_lock_renewal_buffer": timedelta(seconds=300 - seconds),
    }


@scenario(
    covers=["30.1", "SS-24.3", "SS-24.1"],
    workers=2,
    situations=["clock.jumped_forward", "session.renewed_late"],
    level="fault",
    options=_renewed_every(51),
)
async def forward_clock_jump(world: World) -> None:
    """After a forward jump the first to commit wins: a renewal keeps the session."""
    jumped = await _jump_forward(world, b_starts=51.2, look=51.3)
    with world.oracle("30.1"):
        a = jumped.a.worker_id
        assert jumped.rows == [(a, 90), (a, 211), (a, 211)], jumped
        assert signals(world) == [] and len(lease_ends(world, "a")) <= 1, signals(world)
        assert [one.process for one in deliveries(world.commits, "s")] == ["a", "a"]
        assert {one.owner for one in observations(jumped.status)} == {a}, jumped


@scenario(
    covers=["30.1", "SS-24.3", "SS-24.1"],
    workers=2,
    situations=["clock.jumped_forward", "session.migrated", "item.renewal_refused"],
    level="fault",
    options=_renewed_every(51),
)
async def forward_clock_jump_and_a_claim(world: World) -> None:
    """After a forward jump the first to commit wins: a claim takes the session over."""
    jumped = await _jump_forward(world, b_starts=50.2, look=50.5)
    with world.oracle("30.1"):
        a, b = jumped.a.worker_id, jumped.b.worker_id
        assert jumped.rows[:2] == [(a, 90), (b, 210.2)], jumped
        assert isinstance(jumped.status, Completed), jumped
        assert [(at(one), one.event.cause) for one in jumped.signals] == [(51, "item_lost")], jumped
        assert [one.process for one in deliveries(world.commits, "s")] == ["a", "b", "b"]


class _Jumped(NamedTuple):
    """What was seen of a jump from 50 to 150: the row before it, after it and at 153; signals until then."""

    a: Handle
    b: Handle
    rows: list[tuple[str | None, float | None] | None]
    signals: list[ToldEvent[HandlerSignalled]]
    status: OrchestrationStatus


async def _jump_forward(world: World, *, b_starts: float, look: float) -> _Jumped:
    world.worker("turns", running(one_then_one, in_passing), **ONLY_TURNS)
    owner = world.worker("a", running(one_then_one), worker_concurrency=1, **ONLY_ACTIVITIES)
    await start(world, in_passing, "x", "y", "z")
    await start(world, one_then_one, "i", input="200")
    await until_second(world, 1 + 4 * world.draw("seconds before more work / 4", 10))
    await more(world)
    await until_second(world, 50)
    rows = [owner_and_expiry(world)]
    world.jump_clock(100_000)
    await until_second(world, b_starts)
    other = world.worker("b", running(one_then_one), worker_concurrency=1, **ONLY_ACTIVITIES)
    for second in (look, 53):
        await until_second(world, second)
        rows.append(owner_and_expiry(world))
    return _Jumped(owner, other, rows, signals(world), await world.finished("i", check=False))


async def _one_then_two(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    items = [ctx.schedule_activity_on_session("work", input, session)]
    for _ in range(2):
        await ctx.dequeue_event("more")
        items.append(ctx.schedule_activity_on_session("work", input, session))
    return encoded(await ctx.join(*items))


@scenario(
    covers=["30.2", "SS-24.4", "SS-25.20", "SS-24.5"],
    workers=2,
    situations=["clock.jumped_forward", "clock.jumped_back", "session.taken_over_after_crash"],
    level="fault",
    options=_renewed_every(50),
)
async def backward_clock_jump(world: World) -> None:
    """Going back in time never gives two owners."""
    back_s = 30 + 5 * world.draw("jump back of 30 and more / 5", 4)
    expires = bool(world.draw("it has expired before", 2))
    world.worker("turns", running(_one_then_two, in_passing), **ONLY_TURNS)
    owner = world.worker("a", running(_one_then_two), **ONLY_ACTIVITIES)
    await start(world, in_passing, "x", "y", "z")
    await start(world, _one_then_two, "i", input="200")
    await until_second(world, 49.9)
    rows = [owner_and_expiry(world)]
    if expires:
        world.jump_clock(100_000)
        world.jump_clock(-100_000)
    world.jump_clock(-1000 * back_s)
    other = world.worker("b", running(_one_then_two), **ONLY_ACTIVITIES)
    await until_second(world, 50.1)
    rows.append(owner_and_expiry(world))
    await more(world)
    await world.until(lambda: len(deliveries(world.commits, "s")) == 2)
    rows.append(owner_and_expiry(world))
    await until_second(world, 50.2 + world.draw("seconds before the crash", 10))
    owner.crash()
    await more(world)
    await world.until(lambda: len(deliveries(world.commits, "s")) == 3)
    with world.oracle("30.2"):
        a = owner.worker_id
        assert rows == [(a, 90)] * 3, "the renewal at 20 computes max(90, 80), and so does the delivery"
        handed = deliveries(world.commits, "s")
        assert [one.process for one in handed[:3]] == ["a", "a", "b"], handed
        assert second_of(handed[2].provider_ms) == 90, (second_of(handed[2].provider_ms), back_s, expires)
        assert at(handed[2]) == 50 + 40 + back_s, "40 s, and the jump"
        assert owner_and_expiry(world) == (other.worker_id, 150), owner_and_expiry(world)


@scenario(covers=["30.3", "SS-25.19", "SS-4.6"], workers=2, level="provider")
async def expiry_boundary(bench: Bench) -> None:
    """At the exact instant of expiry the lock is over."""
    provider = bench.provider
    await begin(provider, opened=sessions_named("s"), work=[item(3, "s"), item(4, "s")])
    first = await fetched(provider, "A")
    claimed = held_now(bench, "A")
    assert row_of(bench, "s") == claimed, claimed
    bench.clock.advance(D - 1)
    assert await fetch(provider, "B") is None and row_of(bench, "s") == claimed
    bench.clock.advance(1)
    taken = await fetched(provider, "B")
    assert (taken.item.id, taken.attempt_count) == (first.item.id, 2), taken
    assert row_of(bench, "s") == held_now(bench, "B"), row_of(bench, "s")


@scenario(covers=["30.13", "SS-25.5", "SS-4.6"], level="provider")
async def claim_by_same_worker_after_expiry(bench: Bench) -> None:
    """The former owner may take its own expired session again."""
    provider = bench.provider
    await begin(provider, opened=sessions_named("s"), work=[item(3, "s"), item(4, "s")])
    await fetched(provider, "A")
    for late_ms in (0, 1, 5_000):
        bench.clock.advance(D + late_ms)
        expired = row_of(bench, "s")
        assert expired is not None and expired.worker_id == "A", expired
        assert await fetch(provider, "A", claim_new=False) is None and row_of(bench, "s") == expired
        again = await fetched(provider, "A")
        assert again.item.id == 3, again
        assert row_of(bench, "s") == held_now(bench, "A"), row_of(bench, "s")


async def _works_then_rests(ctx: OrchestrationContext, input: str) -> str:
    sessions = [ctx.open_session_with_id(name) for name in ("s", "t")]
    answers = await ctx.join(*(ctx.schedule_activity_on_session("work", "90", name) for name in sessions))
    await ctx.dequeue_event("end")
    return encoded(answers)


EXPECTED: Final = [
    *((second, "renew_work_item_lock") for second in (25, 50, 75)),
    *((second, "renew_session_lock") for second in (105, 135)),
    (140, "release_session_lock"),
]
"""What a worker does about a session after its claim at 0: I = 25, R = 30, T = 50, 90 s of work."""
HOUR_MS: Final = 3_600_000


@scenario(
    covers=["30.4", "SS-24.2", "SS-24.8"],
    situations=["session.renewed_by_item", "session.renewed_between", "session.released_idle"],
    level="fault",
    options={**MINUTE, "session_idle_timeout": timedelta(seconds=50)},
)
async def worker_wall_clock_jump(world: World) -> None:
    """A worker's wall clock does not matter."""
    worker = world.worker("a", running(_works_then_rests))
    await start(world, _works_then_rests, "i")
    forward_s = 1 + 5 * world.draw("seconds to the jump forward / 5", 24)
    back_s = 1 + 5 * world.draw("seconds from there to the one back / 5", 24)
    await until_second(world, forward_s)
    worker.jump_wall_clock(HOUR_MS)
    await until_second(world, forward_s + back_s)
    worker.jump_wall_clock(-HOUR_MS)
    worker.jump_wall_clock(-HOUR_MS * world.draw("and an hour more", 2))
    await until_second(world, 245)
    made = calls(world.commits, *{name for _, name in EXPECTED})
    leases = leases_of(worker)
    rows = world.sessions()
    await world.client.enqueue_event("i", "end", "")
    status = await world.finished("i", check=False)
    with world.oracle("30.4"):
        assert sorted((at(one), one.operation) for one in made) == sorted([*EXPECTED, *EXPECTED]), made
        assert all(one.took_effect for one in made), made
        for one in made:
            duration = one.arguments.get("extend_session_for", one.arguments.get("extend_for", 60_000))
            assert duration == 60_000, one
        assert [at(one) for one in told(world, RenewalSent)] == [105, 105, 135, 135]
        assert [(each.worker_id, each.locked_until) for each in rows] == [(None, None)] * 2, rows
        assert leases == () and signals(world) == [], leases
        assert [item_of(one).session_id for one in deliveries(world.commits, "s")] == ["s"]
        assert isinstance(status, Completed), status
