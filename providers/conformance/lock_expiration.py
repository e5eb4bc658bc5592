"""Locks end at expiry, later if renewed, or by acknowledgement; dead tokens change nothing (PV-3.5, PV-9)."""

from __future__ import annotations

from functools import partial

from holdfast.providers.conformance import expect, settings
from holdfast.providers.conformance.fixture import NOW, Fixture
from holdfast.providers.conformance.messages import activity, completed, external, start, started
from holdfast.providers.conformance.racing import succeeded, together
from holdfast.providers.conformance.registry import check


@check("PVC-021")
async def lock_expires_after_timeout(fx: Fixture) -> None:
    """After the lock time the instance comes with a new token and the first can no longer acknowledge."""
    await fx.send(start())
    first = await fx.turn()
    fx.clock.advance(fx.lock_timeout + 1)
    second = await fx.turn("i")
    expect.different(first.token, second.token, "tokens")
    await expect.refused(fx.ack(first, started()))
    await fx.ack(second, started())
    await settings.alone(fx, settings.turn_locks)


@check("PVC-023")
async def lock_renewal_on_ack(fx: Fixture) -> None:
    """A message enqueued during a turn is fetchable right after the acknowledgement."""
    await fx.send(start())
    turn = await fx.turn()
    await fx.send(external())
    await fx.no_turn()
    await fx.ack(turn, started(), name="Flow", version="1")
    await fx.turn("i")


@check("PVC-024")
async def concurrent_lock_attempts_respect_expiration(fx: Fixture) -> None:
    """Five fetchers during the lock all find nothing; after expiry one fetch succeeds."""
    await fx.send(start())
    await fx.turn()
    fx.clock.advance(fx.lock_timeout - 1)
    providers = [fx.open() for _ in range(5)]
    during = await together(*(partial(fx.try_turn, by=each) for each in providers))
    expect.equal(during, [None] * 5, "fetches during the lock")
    fx.clock.advance(1)
    after = succeeded(await together(*(partial(fx.try_turn, by=each) for each in providers)))
    expect.equal(sum(turn is not None for turn in after), 1, "fetches after expiry with an instance")


@check("PVC-025")
async def worker_lock_renewal_success(fx: Fixture) -> None:
    """Renewing a held work item succeeds and the item stays hidden."""
    await fx.put(activity())
    await fx.renew_work(await fx.work())
    await fx.no_work()


@check("PVC-026")
async def worker_lock_renewal_invalid_token(fx: Fixture) -> None:
    """Renewing a work item with an unknown token raises."""
    await fx.put(activity())
    work = await fx.work()
    await expect.refused(fx.renew_work(work._replace(token=type(work.token)("made-up-token"))))
    fx.clock.advance(fx.lock_timeout)
    await fx.work()


@check("PVC-027")
async def worker_lock_renewal_after_expiration(fx: Fixture) -> None:
    """Renewing a work item whose lock has run out raises."""
    await fx.put(activity())
    work = await fx.work()
    fx.clock.advance(fx.lock_timeout)
    await expect.refused(fx.renew_work(work))
    await fx.work()


@check("PVC-028")
async def worker_lock_renewal_extends_timeout(fx: Fixture) -> None:
    """Renewed at six tenths of its time, an item is still hidden when the first lock would have ended."""
    await fx.put(activity())
    work = await fx.work()
    fx.clock.advance(fx.lock_timeout * 6 // 10)
    await fx.renew_work(work)
    fx.clock.advance(fx.lock_timeout - 1)
    await fx.no_work()
    fx.clock.advance(1)
    await fx.work()
    await settings.alone(fx, settings.work_renewals)


@check("PVC-029")
async def worker_lock_renewal_after_ack(fx: Fixture) -> None:
    """Renewing after the item was acknowledged raises."""
    await fx.put(activity())
    work = await fx.work()
    await fx.provider.ack_work_item(work.token, completed())
    await expect.refused(fx.renew_work(work))


@check("PVC-032")
async def worker_ack_fails_after_lock_expiry(fx: Fixture) -> None:
    """Acknowledging a work item after its lock ran out raises and the item can be fetched again."""
    await fx.begin()
    await fx.put(activity())
    work = await fx.work()
    fx.clock.advance(fx.lock_timeout)
    await expect.refused(fx.provider.ack_work_item(work.token, completed()))
    await fx.no_turn()
    expect.equal((await fx.work()).item, activity(), "the item fetched again")
    await expect.refused(fx.provider.ack_work_item(work.token, completed()))


@check("PVC-033")
async def orchestration_lock_renewal_after_expiration(fx: Fixture) -> None:
    """Renewing an instance lock that has run out raises."""
    await fx.send(start())
    turn = await fx.turn()
    fx.clock.advance(fx.lock_timeout)
    await expect.refused(fx.renew_turn(turn))
    await fx.turn("i")


@check("PVC-297")
async def lock_boundary_equals_now(fx: Fixture) -> None:
    """At expiry equal to now fetch succeeds, renew and ack raise; one millisecond earlier the reverse."""
    await fx.send(start())
    await fx.put(activity())
    turn, work = await fx.turn(), await fx.work()
    fx.clock.advance(fx.lock_timeout - 1)
    await fx.no_turn()
    await fx.no_work()
    await fx.renew_turn(turn, 1)
    await fx.renew_work(work, 1)
    fx.clock.advance(1)
    await expect.refused(fx.renew_turn(turn))
    await expect.refused(fx.ack(turn, started()))
    await expect.refused(fx.renew_work(work))
    await expect.refused(fx.provider.ack_work_item(work.token))
    await fx.ack(await fx.turn("i"), started())
    await fx.provider.ack_work_item((await fx.work()).token)


@check("PVC-298")
async def visibility_boundary_equals_now(fx: Fixture) -> None:
    """At visible-from equal to now the message is handed out."""
    await fx.send(start(), delay=1_000)
    await fx.put(activity())
    await fx.provider.abandon_work_item((await fx.work()).token, delay=fx.lock_timeout)
    fx.clock.advance(999)
    await fx.no_turn()
    fx.clock.advance(1)
    await fx.turn("i")
    fx.clock.advance(fx.lock_timeout - 1_001)
    await fx.no_work()
    fx.clock.advance(1)
    await fx.work()
    await settings.alone(fx, settings.message_delays, settings.timer_times)


@check("PVC-299")
async def zero_lock_timeout_expires_at_once(fx: Fixture) -> None:
    """An item fetched with lock time zero is immediately fetchable again."""
    await fx.send(start())
    await fx.put(activity())
    for attempt in (1, 2):
        expect.equal((await fx.turn("i", lock=NOW)).attempt_count, attempt, "attempts of the turn")
        expect.equal((await fx.work(lock=NOW)).attempt_count, attempt, "attempts of the item")


@check("PVC-341")
async def orchestration_lock_renewal_extends(fx: Fixture) -> None:
    """A renewed instance lock keeps others out past its first end and its token still acknowledges."""
    await fx.send(start())
    turn = await fx.turn()
    for _ in range(3):
        fx.clock.advance(fx.lock_timeout - 1)
        await fx.renew_turn(turn)
        await fx.no_turn()
    fx.clock.advance(fx.lock_timeout - 1)
    await fx.no_turn()
    await fx.ack(turn, started())
    await settings.alone(fx, settings.turn_renewals)


@check("PVC-351")
async def lease_not_born_expired(fx: Fixture) -> None:
    """A lock taken while other calls write is still held on return: its expiry is now + duration."""
    await fx.send(*(start(f"i{number}") for number in range(10)))
    busy = [partial(fx.send, external(f"i{number}")) for number in range(10)]
    fetches = [partial(fx.try_turn, lock=1, by=fx.open()) for _ in range(5)]
    outcomes = succeeded(await together(*busy, *fetches))
    turns = [outcome for outcome in outcomes if outcome is not None]
    expect.equal(len(turns), 5, "turns fetched")
    for turn in turns:
        await fx.renew_turn(turn)


@check("PVC-289")
async def token_superseded_cannot_abandon_or_renew(fx: Fixture) -> None:
    """After a take-over the first token can neither abandon nor renew; the second holder is undisturbed."""
    await fx.send(start())
    await fx.put(activity())
    turn, work = await fx.turn(), await fx.work()
    fx.clock.advance(fx.lock_timeout)
    new_turn, new_work = await fx.turn(), await fx.work()
    await expect.refused(fx.abandon_turn(turn))
    await expect.refused(fx.renew_turn(turn))
    await expect.refused(fx.provider.abandon_work_item(work.token))
    await expect.refused(fx.renew_work(work))
    await fx.no_turn()
    await fx.no_work()
    await fx.ack(new_turn, started())
    await fx.provider.ack_work_item(new_work.token)
