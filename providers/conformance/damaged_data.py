"""What cannot be decoded is reported or set aside; it never blocks or vanishes (PV-14.6 to 14.10)."""

from __future__ import annotations

from holdfast.providers.conformance import expect
from holdfast.providers.conformance.fixture import Fixture
from holdfast.providers.conformance.messages import activity, external, note, queued
from holdfast.providers.conformance.registry import check


@check("PVC-337")
async def undecodable_message_reported(fx: Fixture) -> None:
    """A broken message in a batch shows up as history_error beside the decodable ones, not as silence."""
    await fx.begin()
    await fx.send(external(data="broken"), queued())
    fx.corrupt_message()
    turn = await fx.turn("i")
    expect.present(turn.item.history_error, "history_error")
    expect.equal(turn.item.messages, [queued()], "the decodable messages")
    await fx.abandon_turn(turn)
    again = await fx.turn("i")
    expect.present(again.item.history_error, "history_error of the second fetch")
    expect.equal(again.attempt_count, 2, "attempts")
    await fx.ack(again, note(2), status="Failed", output="unreadable")
    await fx.no_turn()


@check("PVC-338")
async def undecodable_worker_row_set_aside(fx: Fixture) -> None:
    """A broken worker row does not block the row behind it, nor any later one."""
    await fx.begin()
    await fx.put(activity(2), activity(3), activity(4))
    fx.corrupt_worker_row()
    expect.equal((await fx.work()).item.id, 3, "the row behind it")
    expect.equal((await fx.work()).item.id, 4, "the next row")
    await fx.no_work()
    fx.clock.advance(fx.lock_timeout)
    expect.equal(await fx.all_work(), [3, 4], "rows handed out later")


@check("PVC-339")
async def read_broken_history_raises(fx: Fixture) -> None:
    """Plain reads of broken history raise permanent errors."""
    await fx.begin("i", note(2))
    await fx.begin("fine")
    fx.corrupt_history()
    await expect.refused(fx.provider.read("i"))
    await expect.refused(fx.provider.read_with_execution("i", 1))
    await expect.refused(fx.management.read_history("i"))
    await expect.refused(fx.management.read_history_with_execution_id("i", 1))
    expect.equal(len(await fx.provider.read("fine")), 1, "events of another instance")
