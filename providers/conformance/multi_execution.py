"""Executions of one instance: separate histories, one pointer, numbers given by callers (PV-18)."""

from __future__ import annotations

from holdfast.core.contract.management import PruneOptions
from holdfast.providers.conformance import expect, settings
from holdfast.providers.conformance.fixture import Fixture
from holdfast.providers.conformance.messages import (
    activity,
    completed,
    continue_as_new,
    external,
    note,
    queued,
    start,
    started,
)
from holdfast.providers.conformance.registry import check


@check("PVC-034")
async def execution_isolation(fx: Fixture) -> None:
    """Two executions with the same event numbers keep separate histories; the plain read gives the newer."""
    await fx.begin("i", note(2, "old"))
    new = [started(execution_id=2), note(2, "new")]
    await fx.step("i", *new, execution_id=2)
    expect.equal(await fx.provider.read_with_execution("i", 1), [started(), note(2, "old")], "execution 1")
    expect.equal(await fx.provider.read_with_execution("i", 2), new, "execution 2")
    expect.equal(await fx.provider.read("i"), new, "the plain read")


@check("PVC-035")
async def latest_execution_detection(fx: Fixture) -> None:
    """The plain read follows the highest execution while the older one stays readable by number."""
    await fx.begin()
    await fx.step("i", started(execution_id=2), execution_id=2)
    await fx.step("i", note(2), execution_id=1)
    expect.equal(await fx.provider.read("i"), [started(execution_id=2)], "the plain read")
    expect.equal(await fx.provider.read_with_execution("i", 1), [started(), note(2)], "execution 1")
    expect.equal((await fx.management.get_instance_info("i")).current_execution_id, 2, "current execution")


@check("PVC-036")
async def execution_id_sequencing(fx: Fixture) -> None:
    """A first fetch reports execution 1; after acknowledging as execution 2 the next fetch reports 2."""
    await fx.send(start())
    turn = await fx.turn()
    expect.equal(turn.item.execution_id, 1, "the first fetch")
    await fx.ack(turn, started(), name="Flow", version="1")
    await fx.step("i", started(execution_id=2), execution_id=2)
    await fx.send(external())
    expect.equal((await fx.turn()).item.execution_id, 2, "the next fetch")


@check("PVC-037")
async def continue_as_new_creates_new_execution(fx: Fixture) -> None:
    """Acknowledging a continue-as-new message under the next number creates that execution."""
    await fx.begin(status="ContinuedAsNew", output="next", messages=[continue_as_new()])
    turn = await fx.turn()
    expect.equal(turn.item.messages, [continue_as_new()], "messages")
    await fx.ack(turn, started(execution_id=2), execution_id=2)
    expect.equal(await fx.management.list_executions("i"), [1, 2], "executions")
    expect.equal((await fx.management.get_execution_info("i", 1)).status, "ContinuedAsNew", "status of 1")
    expect.equal((await fx.management.get_execution_info("i", 2)).status, "Running", "status of 2")


@check("PVC-038")
async def execution_history_persistence(fx: Fixture) -> None:
    """Three executions stay readable one by one and the newest is the default."""
    await fx.begin("i", note(2, "one"))
    for execution in (2, 3):
        events = [started(execution_id=execution), note(2, f"number {execution}")]
        await fx.step("i", *events, execution_id=execution)
    for execution in (2, 3):
        stored = await fx.provider.read_with_execution("i", execution)
        expect.equal(stored[1], note(2, f"number {execution}"), f"execution {execution}")
    expect.equal((await fx.provider.read("i"))[1], note(2, "number 3"), "the plain read")
    expect.equal((await fx.provider.read_with_execution("i", 1))[1], note(2, "one"), "execution 1")


@check("PVC-359")
async def no_numbers_invented(fx: Fixture) -> None:
    """After a mixed run every execution and event number in storage is one the check passed in."""
    await fx.begin("i", note(5), work=[activity()], messages=[continue_as_new()], status="ContinuedAsNew")
    await fx.provider.ack_work_item((await fx.work()).token, completed())
    expect.equal(await fx.management.list_executions("i"), [1], "executions in the gap")
    await fx.ack(await fx.turn(), note(40, execution_id=7), execution_id=7)
    await fx.management.prune_executions("i", PruneOptions(keep_last=5))
    expect.equal(await fx.management.list_executions("i"), [1, 7], "executions")
    expect.equal([event.event_id for event in await fx.provider.read("i")], [40], "events of 7")
    old = await fx.provider.read_with_execution("i", 1)
    expect.equal([event.event_id for event in old], [1, 5], "events of 1")


@check("PVC-360")
async def stale_execution_completions_accepted(fx: Fixture) -> None:
    """Completions for an old execution, for a finished instance and in duplicate are all handed out."""
    await fx.begin()
    await fx.step("i", started(execution_id=2), execution_id=2, status="Completed")
    sent = [completed(), completed(), completed(execution_id=9), queued()]
    await fx.send(*sent)
    expect.equal((await fx.turn()).item.messages, sent, "messages")


@check("PVC-364")
async def event_stored_under_lock_and_argument(fx: Fixture) -> None:
    """An event that mentions another instance and execution is stored under the lock and argument."""
    foreign = note(2, instance="elsewhere", execution_id=77)
    await fx.begin("i", foreign)
    expect.equal(await fx.provider.read_with_execution("i", 1), [started(), foreign], "history")
    expect.nothing(await fx.provider.read("elsewhere"), "history of the instance mentioned")
    expect.nothing(await fx.provider.read_with_execution("i", 77), "history of the execution mentioned")


@check("PVC-375")
async def continue_as_new_gap_reports_old_execution(fx: Fixture) -> None:
    """Between the two acknowledgements the fetch reports the old number and the carried fields unchanged."""
    message = continue_as_new(
        carry_forward_events=(("inbox", "letter"), ("inbox", "letter")),
        initial_custom_status="busy",
        open_sessions=("t", "s"),
    )
    await fx.begin("i", note(2), status="ContinuedAsNew", output="next", messages=[message])
    turn = await fx.turn()
    expect.equal(turn.item.execution_id, 1, "the execution")
    expect.equal(turn.item.history, [started(), note(2)], "history")
    expect.equal(turn.item.messages, [message], "messages")


@check("PVC-376")
async def latest_execution_and_history_reads(fx: Fixture) -> None:
    """Highest number, its history, and 1 for unknown ids."""
    await fx.begin()
    await fx.step("i", started(execution_id=4), execution_id=4)
    expect.equal(await fx.management.latest_execution_id("i"), 4, "the latest execution")
    expect.equal(await fx.management.read_history("i"), [started(execution_id=4)], "its history")
    expect.equal(await fx.management.read_history_with_execution_id("i", 1), [started()], "history of 1")
    expect.equal(await fx.management.latest_execution_id("nobody"), 1, "the latest of an unknown id")
    expect.nothing(await fx.management.read_history("nobody"), "history of an unknown id")
    await settings.alone(fx, settings.executions)


@check("PVC-340")
async def append_all_or_nothing(fx: Fixture) -> None:
    """An append with one duplicate stores none of its events and creates no records."""
    await fx.provider.append_with_execution("i", 1, [note(2)])
    for wrong in ([note(1), note(2)], [note(3), note(3)], [note(4), note(0)]):
        await expect.refused(fx.provider.append_with_execution("i", 1, wrong))
    expect.equal(await fx.provider.read("i"), [note(2)], "history")
    expect.nothing(await fx.management.list_instances(), "instances")
    expect.nothing(await fx.management.list_executions("i"), "executions")
    await settings.alone(fx, settings.appended)
