"""Matrix section 24: worked timeline W9, a worker at its capacity."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, NamedTuple

from holdfast.core import OrchestrationContext
from holdfast.core.client import Completed
from holdfast.core.contract.observe import LeaseEnded
from holdfast.properties.matrix.parts.capacities import at_once
from holdfast.properties.matrix.parts.closings import ACK
from holdfast.properties.matrix.parts.conversations import D_MS, MINUTE, encoded, running, sole, start
from holdfast.properties.matrix.parts.deliveries import calls, delivered, deliveries, item_of, renewals
from holdfast.properties.matrix.parts.idling import SECOND_US
from holdfast.properties.matrix.parts.rows import by_session
from holdfast.properties.matrix.parts.takeovers import ONLY_ACTIVITIES, ONLY_TURNS, R_US, end_of
from holdfast.properties.matrix.parts.told import told
from holdfast.sim.toolkit.scenario import scenario
from holdfast.sim.toolkit.world import World
from holdfast.traces.record import Commit

_CASES: Final = ("alone", "with b", "after a jump", "after a jump, with b")
_LONG_S: Final = 30


class _Due(NamedTuple):
    """An item that is to be handed out: of which session, by what kind of fetch, and from when on."""

    session: str | None
    claim_new: bool
    since_us: int


async def _w9(ctx: OrchestrationContext, input: str) -> str:
    """S1 and S2 are used; at a word S3 (q10), S1 (q11) and none (q12); 5 s after the latter S2 is closed."""
    first, second = ctx.open_session_with_id("S1"), ctx.open_session_with_id("S2")
    await ctx.join(*(ctx.schedule_activity_on_session("insist", "1", one) for one in (first, second)))
    await ctx.dequeue_event("word")
    third = ctx.open_session_with_id("S3")
    q10 = ctx.schedule_activity_on_session("insist", str(_LONG_S), third)
    q11 = ctx.schedule_activity_on_session("insist", "1", first)
    q12 = ctx.schedule_activity("insist", "1")
    await ctx.join(q11, q12)
    await ctx.schedule_timer(timedelta(seconds=5))
    ctx.close_session(second)
    await ctx.schedule_timer(timedelta(seconds=60))
    return encoded([await q10])


def _assert_handed(world: World, process: str, word: Commit, due: list[_Due]) -> list[Commit]:
    """Since the word a worker was handed these items, in this order, each of them at once."""
    fetches = calls(world.commits[word.position + 1 :], "fetch_session_work_item", process=process)
    handed = [one for one in fetches if delivered(one)]
    assert [(item_of(one).session_id, one.arguments["claim_new"]) for one in handed] == [
        (one.session, one.claim_new) for one in due
    ], handed
    for one, item in zip(handed, due, strict=True):
        assert at_once(one, item.since_us), (item, one)
    return handed


@scenario(
    covers=["24.10", "SS-14.3", "SS-13.4"],
    workers=3,
    situations=[
        "worker.at_capacity",
        "worker.served_owned_at_capacity",
        "worker.served_plain_at_capacity",
    ],
    level="multi-runtime",
    options={**MINUTE, "max_sessions_per_worker": 2, "worker_concurrency": 2, "session_idle_timeout": None},
)
async def timeline_capacity(world: World) -> None:
    """Worked timeline W9."""
    case = _CASES[world.draw("case", len(_CASES))]
    slots = 1 + world.draw("a second slot", 2)
    world.worker("turns", running(_w9), **ONLY_TURNS)
    owner = world.worker("a", running(_w9), **{**ONLY_ACTIVITIES, "worker_concurrency": slots})
    await start(world, _w9, "i")
    await world.until(lambda: sum(one.worker_id is not None for one in world.sessions()) == 2)
    await world.sleep(3 + world.draw("seconds before the word", 20))
    jumped = case.startswith("after")
    if case.endswith("with b"):  # as many slots as there are items that it alone may have
        world.worker("b", running(_w9), **{**ONLY_ACTIVITIES, "worker_concurrency": 1 + jumped})
        await world.sleep(1)
    if jumped:
        world.jump_clock(D_MS + 1000 * world.draw("seconds beyond the expiry", 4))
    expiry = _row(world, "S1")[1]
    await world.client.enqueue_event("i", "word", "")
    word = await world.commit(lambda one: one.operation == ACK and world.session("i", "S3") is not None)
    await world.sleep(0.5)
    soon_us = world.now_us
    soon = {name: _row(world, name) for name in ("S1", "S3")}
    last_us = world.now_us + 3 * R_US
    await world.until(lambda: world.session("i", "S2") is None or world.now_us >= last_us)
    closed_us = world.now_us
    status = await end_of(world, "i", within_s=200)
    with world.oracle("24.10"):
        assert isinstance(status, Completed), (case, status)
        renewed_us = _next_renewal(world, word) if jumped else 0
        # one slot alone works on q11 for a second before it asks for q12
        q12_us = word.time_us + (SECOND_US if slots == 1 and not jumped else 0)
        q10 = _Due("S3", True, _end_of_s2(world, closed_us))
        q11, q12 = _Due("S1", False, renewed_us or word.time_us), _Due(None, False, q12_us)
        of_b = [_Due(name, True, word.time_us) for name in ("S3", "S1")]
        of_a, of_b = {
            "alone": ([q11, q12, q10], []),
            "with b": ([q11, q12], of_b[:1]),
            "after a jump": ([q12, q11, q10], []),
            "after a jump, with b": ([q12], of_b),
        }[case]
        handed = [*_assert_handed(world, "a", word, of_a), *_assert_handed(world, "b", word, of_b)]
        rows: dict[str | None, tuple[object, int | None]]
        rows = {"S1": (owner.worker_id, expiry), "S3": (None, None)}
        for one in handed:  # what is handed out is its worker's for D
            if one.time_us <= soon_us:
                rows[item_of(one).session_id] = (one.arguments["worker_id"], one.provider_ms + D_MS)
        assert soon == {"S1": rows["S1"], "S3": rows["S3"]}, (soon, rows)
        ends = [(one.time_us, one.event.cause) for one in told(world, LeaseEnded, "a", session="S1")]
        if case == "after a jump, with b":
            assert ends == [(renewed_us, "lost")], ends


def _row(world: World, session: str) -> tuple[str | None, int | None]:
    """Owner and expiry of a session."""
    return by_session(world).get(session, (None, None))


def _end_of_s2(world: World, closed_us: int) -> int:
    """When A ended its lease on S2, and so had a unit free: at most R after the close."""
    end = sole(told(world, LeaseEnded, "a", session="S2"))
    assert closed_us <= end.time_us <= closed_us + R_US, (closed_us, end)
    return end.time_us


def _next_renewal(world: World, word: Commit) -> int:
    """When A renewed S1 for the first time after that: at most R after it had claimed it."""
    (claim, *_) = deliveries(world.commits, "S1")
    after = renewals(world.commits[word.position + 1 :], "S1")
    assert after and after[0].process == "a", after
    assert after[0].time_us - claim.time_us <= R_US, (claim, after)
    return after[0].time_us
