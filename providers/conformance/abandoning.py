"""Giving a turn or an item back: at once or later, counted or not (PV-9, PV-11.9)."""

from __future__ import annotations

from holdfast.providers.conformance import expect, settings
from holdfast.providers.conformance.fixture import LEASE, Fixture
from holdfast.providers.conformance.messages import activity, completed, external, note, start, started, timer
from holdfast.providers.conformance.registry import check

HOUR = 3_600_000


@check("PVC-022")
async def abandon_releases_lock_immediately(fx: Fixture) -> None:
    """Abandoning without a delay makes the instance fetchable at once."""
    await fx.send(start(), external())
    await fx.abandon_turn(await fx.turn())
    expect.equal((await fx.turn()).item.messages, [start(), external()], "messages")


@check("PVC-030")
async def abandon_work_item_releases_lock(fx: Fixture) -> None:
    """An abandoned work item is at once fetchable under another token."""
    await fx.put(activity(2), activity(3))
    first = await fx.work()
    await fx.provider.abandon_work_item(first.token)
    second = await fx.work()
    expect.equal(second.item, first.item, "the item, at its old rank")
    expect.different(second.token, first.token, "tokens")


@check("PVC-031")
async def abandon_work_item_with_delay(fx: Fixture) -> None:
    """A work item abandoned with a delay is hidden for that long and fetchable afterwards."""
    await fx.put(activity())
    await fx.provider.abandon_work_item((await fx.work()).token, delay=LEASE)
    fx.clock.advance(LEASE - 1)
    await fx.no_work()
    fx.clock.advance(1)
    await fx.work()
    await settings.alone(fx, settings.work_delays)


@check("PVC-290")
async def abandon_after_expiry_unclaimed_succeeds(fx: Fixture) -> None:
    """An expired but unclaimed turn can still be abandoned, and so can an item."""
    await fx.send(start())
    await fx.put(activity())
    turn, work = await fx.turn(), await fx.work()
    fx.clock.advance(fx.lock_timeout + 1)
    await fx.abandon_turn(turn, ignore_attempt=True)
    await fx.provider.abandon_work_item(work.token, ignore_attempt=True)
    expect.equal((await fx.turn()).attempt_count, 1, "attempts of the turn")
    expect.equal((await fx.work()).attempt_count, 1, "attempts of the item")


@check("PVC-291")
async def abandon_work_item_unknown_token_raises(fx: Fixture) -> None:
    """Abandoning a work item twice raises the second time."""
    await fx.put(activity())
    work = await fx.work()
    await fx.provider.abandon_work_item(work.token)
    await expect.refused(fx.provider.abandon_work_item(work.token, delay=LEASE))
    await fx.work()


@check("PVC-292")
async def abandon_delay_holds_later_messages(fx: Fixture) -> None:
    """A message arriving during an abandon delay is not handed out before the delayed ones."""
    await fx.send(start())
    await fx.abandon_turn(await fx.turn(), 1_000)
    await fx.send(external())
    fx.clock.advance(999)
    await fx.no_turn()
    fx.clock.advance(1)
    expect.equal((await fx.turn()).item.messages, [start(), external()], "messages")
    await settings.alone(fx, settings.turn_delays)


@check("PVC-293")
async def abandon_delay_keeps_future_timer(fx: Fixture) -> None:
    """A timer an hour away stays an hour away after an abandon with a short delay."""
    due = timer(fire_at_ms=fx.clock() + HOUR)
    await fx.begin(messages=[due, external()])
    await fx.abandon_turn(await fx.turn(), 1_000)
    fx.clock.advance(1_000)
    expect.equal(await fx.messages(), [external()], "messages after the delay")
    fx.clock.advance(HOUR - 1_001)
    await fx.no_turn()
    fx.clock.advance(1)
    expect.equal(await fx.messages(), [due], "messages after the hour")


@check("PVC-294")
async def abandon_ignore_attempt_only_batch(fx: Fixture) -> None:
    """Messages outside the abandoned batch keep their counts."""
    await fx.begin("other")
    await fx.send(start())
    turn = await fx.turn("i")
    await fx.send(external("other"))
    await fx.abandon_turn(await fx.turn("other"))
    await fx.send(external())
    await fx.abandon_turn(turn, ignore_attempt=True)
    expect.equal(fx.attempts("i"), 0, "attempts of the abandoned batch and the late message")
    expect.equal(fx.attempts("other"), 1, "attempts of another instance")
    await fx.abandon_turn(await fx.turn(), ignore_attempt=False)
    await fx.abandon_turn(await fx.turn(), ignore_attempt=False)
    expect.true(fx.attempts("i") >= 1, "counted attempts stay")


@check("PVC-295")
async def abandon_restores_queue_depth(fx: Fixture) -> None:
    """After abandon the queue depth counts the messages again, also while a delay runs."""
    await fx.send(start(), external())
    turn = await fx.turn()
    expect.equal((await fx.management.get_queue_depths()).orchestrator_queue, 0, "depth while held")
    await fx.abandon_turn(turn, LEASE)
    expect.equal((await fx.management.get_queue_depths()).orchestrator_queue, 2, "depth afterwards")


@check("PVC-342")
async def fairness_under_immediate_abandon(fx: Fixture) -> None:
    """An instance that is always abandoned at once does not stop another from being served."""
    await fx.send(start("bad"))
    fx.clock.advance(1)
    await fx.send(start("good"))
    served = []
    for _ in range(4):
        turn = await fx.turn()
        served.append(turn.item.instance)
        if turn.item.instance == "good":
            break
        await fx.abandon_turn(turn)
        fx.clock.advance(1)
    expect.true("good" in served, f"the other instance is served, not only {served}")


@check("PVC-367")
async def abandoned_token_is_dead(fx: Fixture) -> None:
    """After abandon the token neither acknowledges, renews nor abandons, also during an abandon delay."""
    await fx.send(start("i"))
    for delay in (None, LEASE):
        turn = await fx.turn()
        await fx.abandon_turn(turn, delay)
        await expect.refused(fx.ack(turn, started()))
        await expect.refused(fx.renew_turn(turn))
        await expect.refused(fx.abandon_turn(turn))
    await fx.no_turn()
    await fx.put(activity())
    work = await fx.work()
    await fx.provider.abandon_work_item(work.token, delay=LEASE)
    await expect.refused(fx.provider.ack_work_item(work.token, completed()))
    await expect.refused(fx.renew_work(work))
    await expect.refused(fx.provider.abandon_work_item(work.token))
    fx.clock.advance(LEASE)
    await fx.turn("i")
    await fx.work()


@check("PVC-368")
async def renew_and_abandon_touch_one_instance(fx: Fixture) -> None:
    """Renewing and abandoning one instance leaves another's lock and messages."""
    await fx.send(start("i"), start("j"))
    one, other = await fx.turn("i"), await fx.turn("j")
    fx.clock.advance(fx.lock_timeout - 1)
    await fx.renew_turn(one, LEASE)
    fx.clock.advance(1)
    again = await fx.turn("j")
    await expect.refused(fx.ack(other, started()))
    await fx.abandon_turn(one, LEASE)
    await fx.no_turn()
    await fx.ack(again, started(), note(2), name="Flow", version="1")
    await fx.no_turn()
