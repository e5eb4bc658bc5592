"""Both queues: order, hiding while held, delays, attempts at once and in turn (PV-6, PV-10, PV-11)."""

from __future__ import annotations

from functools import partial
from typing import Any

from holdfast.providers.conformance import expect
from holdfast.providers.conformance.faults import MethodFault, faulty
from holdfast.providers.conformance.fixture import LEASE, Fixture
from holdfast.providers.conformance.messages import (
    activity,
    child_completed,
    child_failed,
    completed,
    external,
    failed,
    queued,
    start,
    timer,
)
from holdfast.providers.conformance.racing import succeeded, together
from holdfast.providers.conformance.registry import check


@check("PVC-039")
async def worker_queue_fifo_ordering(fx: Fixture) -> None:
    """Five work items come out in the order they went in and then the queue is empty."""
    await fx.put(*(activity(id) for id in (6, 2, 5, 3, 4)))
    expect.equal(await fx.all_work(), [6, 2, 5, 3, 4], "order")


@check("PVC-040")
async def worker_peek_lock_semantics(fx: Fixture) -> None:
    """A fetched work item stays in the queue but hidden, and is gone after acknowledgement."""
    await fx.put(activity())
    work = await fx.work()
    await fx.no_work()
    await fx.provider.ack_work_item(work.token, completed())
    fx.clock.advance(LEASE)
    await fx.no_work()
    await expect.refused(fx.provider.ack_work_item(work.token, completed()))


@check("PVC-041")
async def worker_ack_atomicity(fx: Fixture) -> None:
    """Acknowledging with a completion empties the queue and hands exactly that completion to the instance."""
    await fx.begin(work=[activity(2), activity(3)])
    await fx.provider.ack_work_item((await fx.work()).token, completed(id=2, result="first"))
    await fx.provider.ack_work_item((await fx.work()).token, failed(id=3))
    await fx.no_work()
    expect.equal(await fx.messages(), [completed(id=2, result="first"), failed(id=3)], "messages")
    await fx.no_turn()


@check("PVC-042")
async def timer_delayed_visibility(fx: Fixture) -> None:
    """A timer message enqueued with a delay is handed out when the delay is over, whatever its due time."""
    await fx.begin()
    await fx.send(timer(fire_at_ms=fx.clock() + LEASE), delay=1_000)
    fx.clock.advance(999)
    await fx.no_turn()
    fx.clock.advance(1)
    await fx.turn("i")


@check("PVC-043")
async def lost_lock_token_handling(fx: Fixture) -> None:
    """A work item whose token was lost comes back after the lock time."""
    await fx.put(activity())
    await fx.work()
    await fx.no_work()
    fx.clock.advance(fx.lock_timeout)
    expect.equal((await fx.work()).item, activity(), "the item")


@check("PVC-044")
async def worker_item_immediate_visibility(fx: Fixture) -> None:
    """A work item is fetchable straight after being enqueued."""
    for id in (2, 3):
        await fx.put(activity(id))
        expect.equal((await fx.work()).item.id, id, "the item")


@check("PVC-045")
async def worker_delayed_visibility_skips_future_items(fx: Fixture) -> None:
    """A delayed older item is passed over in favour of a younger one and returns when its delay ends."""
    await fx.put(activity(2), activity(3), activity(4))
    await fx.provider.abandon_work_item((await fx.work()).token, delay=fx.lock_timeout)
    expect.equal((await fx.work()).item.id, 3, "the younger item")
    fx.clock.advance(fx.lock_timeout)
    expect.equal((await fx.work()).item.id, 2, "the delayed item, at its old rank")


@check("PVC-046")
async def orphan_queue_messages_dropped(fx: Fixture) -> None:
    """Queue messages for an unknown instance are deleted; for a known instance they are handed out."""
    await fx.send(queued("ghost"))
    await fx.no_turn()
    await fx.send(start("ghost"))
    expect.equal((await fx.turn()).item.messages, [start("ghost")], "messages of a later start")
    await fx.begin()
    await fx.send(queued())
    expect.equal(await fx.messages(), [queued()], "messages of a known instance")


@check("PVC-308")
async def worker_fetch_exactly_once_under_load(fx: Fixture) -> None:
    """Two hundred items fetched by sixteen tasks: each once, none skipped, no empty answer before the end."""
    await fx.put(*(activity(id) for id in range(200)))
    providers = [fx.provider, fx.open(), fx.open(), fx.open()]
    taken: list[int] = []
    for start_at in range(0, 200, 16):
        due = min(16, 200 - start_at)
        calls = [partial(fx.try_work, by=providers[number % 4]) for number in range(due)]
        answers = succeeded(await together(*calls))
        expect.true(None not in answers and len(answers) == due, f"{due} of {due} fetches return an item")
        taken += [work.item.id for work in answers if work is not None]
    expect.equal(sorted(taken), list(range(200)), "items handed out")
    await fx.no_work()


@check("PVC-343")
async def fifo_across_interleaved_enqueue(fx: Fixture) -> None:
    """Messages of one instance enqueued one after another by changing callers come in that order."""
    await fx.begin()
    providers = [fx.provider, fx.open(), fx.open()]
    sent = [external(data=f"{number}") for number in range(30)]
    for number, message in enumerate(sent):
        await providers[number % 3].enqueue_for_orchestrator(message)
    expect.equal(await fx.messages(), sent, "messages")


@check("PVC-361")
async def sub_orchestration_results_go_to_parent(fx: Fixture) -> None:
    """Both kinds of child result are addressed to the parent on both enqueue paths."""
    await fx.begin("parent")
    results = [child_completed("parent"), child_failed("parent")]
    await fx.begin("child", parent="parent", messages=results)
    expect.equal(await fx.messages("parent"), results, "results brought by a turn")
    await fx.send(*results)
    expect.equal(await fx.messages("parent"), results, "results enqueued")


@check("PVC-352")
async def uncertain_commit_not_applied_twice(fx: Fixture) -> None:
    """Told that an applied acknowledgement failed, the caller's retry raises and nothing is doubled."""
    await fx.begin(work=[activity()])
    await fx.send(external())
    turn, work = await fx.turn(), await fx.work()
    unlucky = faulty(fx.provider, MethodFault("ack_work_item", applied=True))
    await expect.told_retryable(unlucky.ack_work_item(work.token, completed()))
    await expect.refused(unlucky.ack_work_item(work.token, completed()))
    unlucky = faulty(fx.provider, MethodFault("ack_orchestration_item", applied=True))
    effects: dict[str, Any] = {"work": [activity(3)], "messages": [external("i", "again")]}
    await expect.told_retryable(fx.ack(turn, by=unlucky, **effects))
    await expect.refused(fx.ack(turn, by=unlucky, **effects), "lock token", "lock_token", "expired")
    expect.equal(await fx.messages(), [completed(), external("i", "again")], "messages")
    expect.equal(await fx.all_work(), [3], "activities")
