"""Cancelling takes the row away; the holder learns it at its next call (PV-15, PV-10.8, PV-11)."""

from __future__ import annotations

from functools import partial

from holdfast.core.contract.provider import ExecutionStatus, FetchedWork
from holdfast.providers.conformance import expect
from holdfast.providers.conformance.fixture import LEASE, Fixture
from holdfast.providers.conformance.messages import activity, completed, external, named, started
from holdfast.providers.conformance.racing import together
from holdfast.providers.conformance.registry import check


async def _handed_out_under(fx: Fixture, status: ExecutionStatus) -> None:
    """An activity enqueued by an acknowledgement of this status is handed out and can be renewed."""
    await fx.begin(status=status, work=[activity()])
    work = await fx.work()
    expect.equal(work.item, activity(), f"the activity of a {status} instance")
    await fx.renew_work(work)


@check("PVC-072")
async def fetch_returns_running_state_for_active_orchestration(fx: Fixture) -> None:
    """An activity of a running instance is handed out."""
    await _handed_out_under(fx, "Running")


@check("PVC-073")
async def fetch_returns_terminal_state_when_orchestration_completed(fx: Fixture) -> None:
    """An activity enqueued by the completing acknowledgement is still handed out."""
    await _handed_out_under(fx, "Completed")


@check("PVC-074")
async def fetch_returns_terminal_state_when_orchestration_failed(fx: Fixture) -> None:
    """The same for a failing acknowledgement."""
    await _handed_out_under(fx, "Failed")


@check("PVC-075")
async def fetch_returns_terminal_state_when_orchestration_continued_as_new(fx: Fixture) -> None:
    """The same for a continuing acknowledgement."""
    await _handed_out_under(fx, "ContinuedAsNew")


@check("PVC-076")
async def fetch_returns_missing_state_when_instance_deleted(fx: Fixture) -> None:
    """An activity of an unknown instance is handed out."""
    await fx.put(activity(2, "nobody"))
    expect.equal((await fx.work()).item.instance, "nobody", "the instance")


@check("PVC-077")
async def renew_returns_running_when_orchestration_active(fx: Fixture) -> None:
    """Renewing an activity of a running instance succeeds."""
    await fx.begin(work=[activity()])
    await fx.renew_work(await fx.work())


@check("PVC-078")
async def renew_returns_terminal_when_orchestration_completed(fx: Fixture) -> None:
    """Renewing still succeeds after the instance completed without cancelling it."""
    await fx.begin(work=[activity()])
    work = await fx.work()
    await fx.step(status="Completed")
    await fx.renew_work(work)


@check("PVC-079")
async def renew_returns_missing_when_instance_deleted(fx: Fixture) -> None:
    """Renewing an activity of an unknown instance succeeds."""
    await fx.put(activity(2, "nobody"))
    await fx.renew_work(await fx.work())


@check("PVC-080")
async def ack_work_item_none_deletes_without_enqueue(fx: Fixture) -> None:
    """Acknowledging without completion removes the item and enqueues nothing."""
    await fx.begin(work=[activity()])
    await fx.provider.ack_work_item((await fx.work()).token)
    fx.clock.advance(LEASE)
    await fx.no_work()
    await fx.no_turn()


@check("PVC-081")
async def cancelled_activities_deleted_from_worker_queue(fx: Fixture) -> None:
    """Two of three activities named as cancelled disappear; the third stays."""
    await fx.begin(work=[activity(2), activity(3), activity(4)])
    await fx.step(cancelled=[named(4), named(2)])
    expect.equal(await fx.all_work(), [3], "activities left")


@check("PVC-082")
async def ack_work_item_fails_when_entry_deleted(fx: Fixture) -> None:
    """Acknowledging an item whose row is gone raises a permanent error."""
    await fx.begin(work=[activity()])
    work = await fx.work()
    await fx.step(cancelled=[named()])
    await expect.refused(fx.provider.ack_work_item(work.token))
    await expect.refused(fx.provider.abandon_work_item(work.token))


@check("PVC-083")
async def renew_fails_when_entry_deleted(fx: Fixture) -> None:
    """Renewing an item whose row is gone raises."""
    await fx.begin(work=[activity()])
    work = await fx.work()
    await fx.step(cancelled=[named()])
    await expect.refused(fx.renew_work(work))


@check("PVC-084")
async def cancelling_nonexistent_activities_is_idempotent(fx: Fixture) -> None:
    """Naming activities that have no row does no harm."""
    await fx.begin(work=[activity()])
    for _ in range(2):
        await fx.step(cancelled=[named(9), named(9), named(2, "nobody")])
    expect.equal(await fx.all_work(), [2], "activities left")


@check("PVC-085")
async def batch_cancellation_deletes_multiple_activities(fx: Fixture) -> None:
    """Five activities cancelled at once all disappear, delayed and held ones too."""
    await fx.begin(work=[activity(id) for id in range(2, 7)])
    await fx.provider.abandon_work_item((await fx.work()).token, delay=LEASE)
    await fx.work()
    await fx.step(cancelled=[named(id) for id in range(2, 7)])
    fx.clock.advance(LEASE)
    await fx.no_work()


@check("PVC-086")
async def same_activity_in_worker_items_and_cancelled_is_noop(fx: Fixture) -> None:
    """An activity both scheduled and cancelled by one acknowledgement is not queued; its neighbour is."""
    await fx.begin(work=[activity(2), activity(3)], cancelled=[named(2)])
    expect.equal(await fx.all_work(), [3], "activities left")


@check("PVC-087")
async def orphan_activity_after_instance_force_deletion(fx: Fixture) -> None:
    """Force-deleting an instance with a waiting activity leaves nothing that makes later calls fail."""
    await fx.begin(work=[activity(2), activity(3)])
    held = await fx.work()
    await fx.management.delete_instance("i", force=True)
    await fx.no_work()
    await fx.no_turn()
    await expect.refused(fx.provider.ack_work_item(held.token, completed()))


@check("PVC-309")
async def cancel_versus_fetch_race(fx: Fixture) -> None:
    """An activity cancelled while being fetched is never left in the queue."""
    other = fx.open()
    for number in range(fx.rounds):
        instance = f"i{number}"
        await fx.begin(instance, work=[activity(2, instance)])
        await fx.send(external(instance))
        turn = await fx.turn(instance)
        cancelling, fetched = await together(
            partial(fx.ack, turn, cancelled=[named(2, instance)]),
            partial(fx.try_work, by=other),
            reverse=number % 2 == 1,
        )
        expect.nothing(cancelling, "the acknowledgement's answer")
        if isinstance(fetched, FetchedWork):
            await expect.refused(fx.renew_work(fetched))
        expect.equal((await fx.management.get_queue_depths()).worker_queue, 0, "rows left")
        fx.clock.advance(fx.lock_timeout)
        await fx.no_work()


@check("PVC-310")
async def cancel_scoped_by_execution(fx: Fixture) -> None:
    """Cancelling an activity number of execution 2 leaves the same number of execution 1."""
    work = [activity(2), activity(5)]
    await fx.begin(work=work, cancelled=[named(5)], status="ContinuedAsNew")
    await fx.step("i", started(execution_id=2), execution_id=2, work=[activity(2, execution_id=2)])
    await fx.put(activity(2, "j", execution_id=2))
    await fx.step(execution_id=2, cancelled=[named(2, execution_id=2)])
    expect.equal((await fx.work()).item, activity(2), "the activity of execution 1")
    expect.equal((await fx.work()).item, activity(2, "j", execution_id=2), "that of another instance")
    await fx.no_work()
    await fx.put(activity(12), activity(2, "i1"), activity(2, execution_id=11))
    await fx.step(execution_id=2, cancelled=[named(12)])
    left = [(await fx.work()).item for _ in range(2)]
    expect.equal(left, [activity(2, "i1"), activity(2, execution_id=11)], "names alike when joined")


@check("PVC-311")
async def cancel_locked_item_stops_completion(fx: Fixture) -> None:
    """A held activity cancelled by a turn cannot be acknowledged and no completion appears."""
    await fx.begin(work=[activity()])
    work = await fx.work()
    await fx.step(cancelled=[named()])
    await expect.refused(fx.provider.ack_work_item(work.token, completed()))
    await fx.no_turn()
    fx.clock.advance(LEASE)
    await fx.no_work()
