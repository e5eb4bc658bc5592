"""Explicit sessions: what closing means for those who still hold a row of the session (PV-25.3, PV-25.11)."""

from __future__ import annotations

from holdfast.providers.conformance import expect
from holdfast.providers.conformance.fixture import LEASE, Fixture
from holdfast.providers.conformance.messages import activity, completed, external, named
from holdfast.providers.conformance.registry import session_check


@session_check("PVC-230")
async def close_during_inflight_activity(fx: Fixture) -> None:
    """Closing a session while one of its rows is held removes the row: its holder's renew and ack raise."""
    await fx.begin(opened=["s"], work=[activity(2, session="s")])
    held = await fx.claim("A")
    await fx.step(closed=["s"])
    await expect.refused(fx.renew_work(held, session_for=LEASE))
    await expect.refused(fx.provider.abandon_work_item(held.token))
    await expect.refused(fx.provider.ack_work_item(held.token, completed()))
    fx.clock.advance(LEASE)
    await fx.no_claim("A")


@session_check("PVC-232")
async def activity_completes_after_session_close(fx: Fixture) -> None:
    """A late acknowledgement from a closed session raises and queues no completion; an earlier one stays."""
    await fx.begin(opened=["s"], work=[activity(2, session="s"), activity(3, session="s")])
    early, late = await fx.claim("A"), await fx.claim("A")
    await fx.send(external())
    turn = await fx.turn()
    await fx.provider.ack_work_item(early.token, completed(id=2))
    await fx.ack(turn, closed=["s"])
    await expect.refused(fx.provider.ack_work_item(late.token, completed(id=3)))
    expect.equal(await fx.messages(), [completed(id=2)], "messages")
    await fx.no_turn()


@session_check("PVC-233")
async def continue_as_new_during_inflight_session_activity(fx: Fixture) -> None:
    """A continuing turn that cancels a running session activity removes its row, not the attachment."""
    await fx.begin(opened=["s"], work=[activity(2, session="s"), activity(3, session="s")])
    held = await fx.claim("A")
    await fx.step(status="ContinuedAsNew", cancelled=[named(2)])
    await expect.refused(fx.renew_work(held, session_for=LEASE))
    await fx.no_claim("B")
    await fx.renew_session("A")
    expect.equal((await fx.claim("A")).item.id, 3, "the other row")


@session_check("PVC-238")
async def session_survives_orchestration_lock_timeout(fx: Fixture) -> None:
    """Letting the instance lock run out and refetching the turn changes no session record."""
    await fx.begin(opened=["s", "t"], work=[activity(2, session="s")])
    await fx.claim("A")
    before = fx.sessions()
    await fx.send(external())
    await fx.turn()
    fx.clock.advance(fx.lock_timeout)
    again = await fx.turn()
    expect.equal(again.attempt_count, 2, "attempts of the turn")
    expect.equal(fx.sessions(), before, "records")
    await fx.abandon_turn(again)
    expect.equal(fx.sessions(), before, "records after the abandon")


@session_check("PVC-246")
async def close_session_lock_stealing_signal(fx: Fixture) -> None:
    """Naming a session as cancelled removes held row and record together."""
    await fx.begin(opened=["s"], work=[activity(2, session="s")])
    held = await fx.claim("A")
    await fx.renew_work(held, session_for=LEASE)
    await fx.step(closed=["s"])
    await expect.refused(fx.renew_session("A"), "session i/s not owned by A")
    await expect.refused(fx.renew_work(held, session_for=LEASE))
    await fx.step(opened=["s"], work=[activity(3, session="s")])
    expect.equal((await fx.claim("B")).item.id, 3, "the row of the session opened anew")


@session_check("PVC-253")
async def close_removes_delayed_and_abandoned_rows(fx: Fixture) -> None:
    """Rows hidden by a delay go as well, and so do waiting rows and those of an older execution."""
    rows = [activity(id, session="s") for id in (2, 3, 4)]
    await fx.begin(opened=["s"], work=rows)
    await fx.provider.abandon_work_item((await fx.claim("A")).token, delay=LEASE)
    await fx.provider.abandon_work_item((await fx.claim("A")).token)
    await fx.step(status="ContinuedAsNew")
    await fx.step(execution_id=2, closed=["s"])
    for _ in range(2):
        await fx.no_claim("A")
        fx.clock.advance(LEASE)
