"""Attempts are counted per message and row, and reported as the highest of a batch (PV-14.1 to PV-14.5)."""

from __future__ import annotations

from holdfast.providers.conformance import expect, settings
from holdfast.providers.conformance.fixture import Fixture
from holdfast.providers.conformance.messages import activity, external, start
from holdfast.providers.conformance.registry import check


@check("PVC-063")
async def orchestration_attempt_count_starts_at_one(fx: Fixture) -> None:
    """The first fetch of a message reports attempt 1."""
    await fx.send(start())
    expect.equal((await fx.turn()).attempt_count, 1, "attempts")


@check("PVC-064")
async def orchestration_attempt_count_increments_on_refetch(fx: Fixture) -> None:
    """Each abandon and refetch of a turn raises the reported attempt by one, and so does each expiry."""
    await fx.send(start())
    for attempt in range(1, 4):
        turn = await fx.turn()
        expect.equal(turn.attempt_count, attempt, "attempts")
        await fx.abandon_turn(turn)
    await fx.turn()
    fx.clock.advance(fx.lock_timeout)
    expect.equal((await fx.turn()).attempt_count, 5, "attempts after an expiry")


@check("PVC-065")
async def worker_attempt_count_starts_at_one(fx: Fixture) -> None:
    """The first fetch of a work item reports attempt 1."""
    await fx.put(activity())
    expect.equal((await fx.work()).attempt_count, 1, "attempts")


@check("PVC-066")
async def worker_attempt_count_increments_on_lock_expiry(fx: Fixture) -> None:
    """A work item refetched after its lock ran out reports attempt 2."""
    await fx.put(activity())
    await fx.work()
    fx.clock.advance(fx.lock_timeout)
    expect.equal((await fx.work()).attempt_count, 2, "attempts")
    await settings.alone(fx, settings.work_locks)


@check("PVC-067")
async def attempt_count_is_per_message(fx: Fixture) -> None:
    """Two work items count their attempts separately."""
    await fx.put(activity(2), activity(3))
    first = await fx.work()
    await fx.provider.abandon_work_item(first.token)
    expect.equal((await fx.work()).attempt_count, 2, "attempts of the first item")
    expect.equal((await fx.work()).attempt_count, 1, "attempts of the second item")


@check("PVC-068")
async def abandon_work_item_ignore_attempt_decrements(fx: Fixture) -> None:
    """Abandoning with ignore-attempt takes back the last count, so the next fetch repeats the number."""
    await fx.put(activity())
    await fx.provider.abandon_work_item((await fx.work()).token)
    for _ in range(2):
        work = await fx.work()
        expect.equal(work.attempt_count, 2, "attempts")
        await fx.provider.abandon_work_item(work.token, ignore_attempt=True)


@check("PVC-069")
async def abandon_orchestration_item_ignore_attempt_decrements(fx: Fixture) -> None:
    """The same for a turn."""
    await fx.send(start())
    await fx.abandon_turn(await fx.turn())
    for _ in range(2):
        turn = await fx.turn()
        expect.equal(turn.attempt_count, 2, "attempts")
        await fx.abandon_turn(turn, ignore_attempt=True)


@check("PVC-070")
async def ignore_attempt_never_goes_negative(fx: Fixture) -> None:
    """Repeated ignore-attempt abandons never push the count below zero."""
    await fx.send(start())
    await fx.put(activity())
    for _ in range(4):
        turn, work = await fx.turn(), await fx.work()
        expect.equal((turn.attempt_count, work.attempt_count), (1, 1), "attempts")
        await fx.abandon_turn(turn, ignore_attempt=True)
        await fx.provider.abandon_work_item(work.token, ignore_attempt=True)


@check("PVC-071")
async def max_attempt_count_across_message_batch(fx: Fixture) -> None:
    """A batch of an often-tried and a fresh message reports the higher count."""
    await fx.send(start())
    for _ in range(3):
        await fx.abandon_turn(await fx.turn())
    await fx.send(external())
    turn = await fx.turn()
    expect.equal((len(turn.item.messages), turn.attempt_count), (2, 4), "messages and attempts")


@check("PVC-296")
async def fetch_none_changes_nothing(fx: Fixture) -> None:
    """Ten empty fetches on locked instances raise no attempt count."""
    await fx.send(start("i"), start("j"))
    await fx.turn("i")
    await fx.turn("j")
    await fx.send(external("i"))
    before = (fx.attempts("i"), fx.attempts("j"))
    for _ in range(10):
        await fx.no_turn()
    expect.equal((fx.attempts("i"), fx.attempts("j")), before, "attempts")
