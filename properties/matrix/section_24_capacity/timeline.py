"""Matrix section 24: worked timeline W9, a worker at its capacity."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, NamedTuple

from holdfast.core import OrchestrationContext
from holdfast.core.client import Completed
from holdfast.core.contract.observe import LeaseEnded
from holdfast.properties.matrix.parts.capacities import POLL_US
from holdfast.properties.matrix.parts.conversations import D_MS, MINUTE, encoded, running, start
from holdfast.properties.matrix.parts.deliveries import calls_by, deliveries, item_of, renewals
from holdfast.properties.matrix.parts.idling import SECOND_US
from holdfast.properties.matrix.parts.takeovers import ONLY_ACTIVITIES, ONLY_TURNS, R_US, end_of
from holdfast.properties.matrix.parts.told import told
from holdfast.sim.toolkit.handle import Handle
from holdfast.sim.toolkit.scenario import scenario
from holdfast.sim.toolkit.world import World
from holdfast.traces.record import Commit

_CASES: Final = ("alone", "with b", "after a jump", "after a jump, with b")
_LONG_S: Final = 30


class _Handed(NamedTuple):
    """An item as it was handed out: by what kind of fetch, and how long after the three were enqueued."""

    session: str | None
    claim_new: bool
    after_us: int
    commit: Commit


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


def _handed(world: World, process: str, since: Commit) -> list[_Handed]:
    """What a worker was handed since then, in order."""
    return [
        _Handed(
            item_of(one).session_id,
            bool(one.arguments["claim_new"]),
            one.time_us - since.time_us,
            one,
        )
        for one in calls_by(world.commits, process, "fetch_session_work_item")
        if one.position > since.position and one.took_effect and one.result is not None
    ]


def _row(world: World, session_id: str) -> tuple[str | None, int | None]:
    """The row of a session: (owner, expiry)."""
    record = world.session("i", session_id)
    return (None, None) if record is None else (record.worker_id, record.locked_until)


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
    other = None
    if case.endswith("with b"):  # as many slots as there are items that it alone may have
        few = {**ONLY_ACTIVITIES, "worker_concurrency": 1 + jumped}
        other = world.worker("b", running(_w9), **few)
        await world.sleep(1)
    if jumped:
        world.jump_clock(D_MS + 1000 * world.draw("seconds beyond the expiry", 4))
    expiry = _row(world, "S1")[1]
    await world.client.enqueue_event("i", "word", "")
    word = await world.commit(
        lambda one: one.operation == "ack_orchestration_item" and world.session("i", "S3") is not None
    )
    await world.sleep(0.5)
    soon = {name: _row(world, name) for name in ("S1", "S3")}
    last_us = world.now_us + 3 * R_US
    await world.until(lambda: world.session("i", "S2") is None or world.now_us >= last_us)
    closed_us = world.now_us
    status = await end_of(world, "i", within_s=200)
    with world.oracle("24.10"):
        assert isinstance(status, Completed), (case, status)
        of_a = _handed(world, "a", word)
        waits_us = 0 if slots == 2 else SECOND_US  # the one slot works on q11 before it asks for q12
        match case:
            case "alone":
                _in_order(of_a[:2], waits_us)
                assert soon["S3"] == (None, None), soon
                _claimed_after_the_close(world, of_a, closed_us)
            case "with b":
                _in_order(of_a, waits_us)
                _taken_by(world, other, word, soon, ["S3"])
            case "after a jump":
                assert soon == {"S1": (owner.worker_id, expiry), "S3": (None, None)}, soon
                assert [one.session for one in of_a[:2]] == [None, "S1"], of_a
                assert [one.claim_new for one in of_a[:2]] == [False, False], of_a
                assert of_a[0].after_us <= POLL_US, of_a
                renewed_us = _next_renewal(world, word)
                assert 0 <= of_a[1].commit.time_us - renewed_us <= POLL_US, (renewed_us, of_a)
                _claimed_after_the_close(world, of_a, closed_us)
            case _:
                assert [(one.session, one.claim_new) for one in of_a] == [(None, False)], of_a
                assert of_a[0].after_us <= POLL_US, of_a
                _taken_by(world, other, word, soon, ["S3", "S1"])
                ends = [(one.time_us, one.event.cause) for one in told(world, LeaseEnded, "a", session="S1")]
                assert ends == [(_next_renewal(world, word), "lost")], ends


def _in_order(handed: list[_Handed], waits_us: int) -> None:
    """Assert that q11 was handed out at once and then q12, by fetches that claim nothing new."""
    assert [(one.session, one.claim_new) for one in handed] == [("S1", False), (None, False)], handed
    assert handed[0].after_us <= POLL_US, handed
    assert waits_us <= handed[1].after_us <= waits_us + POLL_US, handed


def _claimed_after_the_close(world: World, of_a: list[_Handed], closed_us: int) -> None:
    """Assert that a unit came free at most R after the close of S2, and that q10 went to it."""
    (end_us,) = [one.time_us for one in told(world, LeaseEnded, "a", session="S2")]
    assert closed_us <= end_us <= closed_us + R_US, (closed_us, end_us)
    assert [(one.session, one.claim_new) for one in of_a[2:]] == [("S3", True)], of_a
    assert 0 <= of_a[2].commit.time_us - end_us <= POLL_US, (end_us, of_a)


def _taken_by(
    world: World,
    other: Handle | None,
    word: Commit,
    soon: dict[str, tuple[str | None, int | None]],
    sessions: list[str],
) -> None:
    """Assert that B was handed items of these sessions at once, in this order, and claimed them for D."""
    assert other is not None
    of_b = _handed(world, "b", word)
    assert [(one.session, one.claim_new) for one in of_b] == [(name, True) for name in sessions], of_b
    for one, name in zip(of_b, sessions, strict=True):
        assert one.after_us <= POLL_US, of_b
        assert soon[name] == (other.worker_id, one.commit.provider_ms + D_MS), (soon, of_b)


def _next_renewal(world: World, word: Commit) -> int:
    """When A renewed S1 for the first time after that: at most R after it had claimed it."""
    (claim, *_) = deliveries(world.commits, "S1")
    after = [one for one in renewals(world.commits, "S1") if one.position > word.position]
    assert after and after[0].process == "a", after
    assert after[0].time_us - claim.time_us <= R_US, (claim, after)
    return after[0].time_us
