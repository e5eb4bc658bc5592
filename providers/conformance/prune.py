"""Pruning removes old executions, never the current one or what belongs to the instance (PV-22)."""

from __future__ import annotations

from functools import partial

from holdfast.core.contract.management import InstanceFilter, PruneOptions
from holdfast.providers.conformance import expect, settings
from holdfast.providers.conformance.fixture import Fixture, refused_by
from holdfast.providers.conformance.messages import external, started
from holdfast.providers.conformance.racing import together
from holdfast.providers.conformance.registry import check


async def _executions(fx: Fixture, instance: str, count: int) -> None:
    """An instance with so many executions, the last one running, each ended a millisecond after the other."""
    await fx.begin(instance, status="ContinuedAsNew" if count > 1 else None)
    for number in range(2, count + 1):
        fx.clock.advance(1)
        ended = "ContinuedAsNew" if number < count else "Running"
        await fx.step(instance, started(execution_id=number), execution_id=number, status=ended)


async def _left(fx: Fixture, options: PruneOptions, instance: str = "i") -> list[int]:
    await fx.management.prune_executions(instance, options)
    return await fx.management.list_executions(instance)


@check("PVC-101")
async def prune_options_combinations(fx: Fixture) -> None:
    """Keeping two of four leaves the newest two; empty options leave only the current."""
    await _executions(fx, "i", 4)
    result = await fx.management.prune_executions("i", PruneOptions(keep_last=2))
    expect.equal(tuple(result), (1, 2, 2), "instances, executions and events")
    expect.equal(await fx.management.list_executions("i"), [3, 4], "executions left")
    expect.nothing(await fx.provider.read_with_execution("i", 1), "history of a pruned execution")
    expect.equal(await _left(fx, PruneOptions()), [4], "executions left by empty options")
    expect.equal(await fx.provider.read("i"), [started(execution_id=4)], "history")


@check("PVC-102")
async def prune_safety(fx: Fixture) -> None:
    """The current execution survives every option, unknown instances raise, none, zero and one are alike."""
    await expect.refused(fx.management.prune_executions("nobody", PruneOptions()), "not found")
    late = fx.clock() + 1_000_000
    for instance, keep in (("a", None), ("b", 0), ("c", 1)):
        await _executions(fx, instance, 3)
        options = PruneOptions(keep_last=keep, completed_before=late)
        expect.equal(await _left(fx, options, instance), [3], f"executions left by keep_last={keep}")
    await fx.step("a", execution_id=3, status="Completed")
    expect.equal(
        await _left(fx, PruneOptions(completed_before=late), "a"), [3], "a finished current execution"
    )


@check("PVC-103")
async def prune_bulk(fx: Fixture) -> None:
    """Bulk pruning by ids touches just those instances."""
    for instance in ("a", "b", "c"):
        await _executions(fx, instance, 3)
    chosen = InstanceFilter(instance_ids=["a", "c", "nobody"])
    result = await fx.management.prune_executions_bulk(chosen, PruneOptions(keep_last=1))
    expect.equal(tuple(result), (2, 4, 4), "instances, executions and events")
    expect.equal(await fx.management.list_executions("b"), [1, 2, 3], "executions of the other")
    nothing = await fx.management.prune_executions_bulk(InstanceFilter(instance_ids=[]), PruneOptions())
    expect.equal(tuple(nothing), (0, 0, 0), "what an empty list prunes")
    await settings.alone(fx, settings.bulk_pruning)


@check("PVC-104")
async def prune_bulk_includes_running_instances(fx: Fixture) -> None:
    """A running instance with old executions is pruned too and stays running, children included."""
    await _executions(fx, "i", 3)
    await fx.begin("child", parent="i", status="ContinuedAsNew")
    await fx.step("child", execution_id=2)
    result = await fx.management.prune_executions_bulk(InstanceFilter(), PruneOptions(keep_last=1))
    expect.equal((result.instances_processed, result.executions_deleted), (2, 3), "what was pruned")
    expect.equal((await fx.management.get_instance_info("i")).status, "Running", "status")
    expect.equal(await fx.management.list_executions("child"), [2], "executions of the child")


@check("PVC-317")
async def completed_at_set_for_continued_as_new(fx: Fixture) -> None:
    """An execution that continued has a completion time and falls under time-based pruning."""
    await _executions(fx, "i", 2)
    ended = expect.present((await fx.management.get_execution_info("i", 1)).completed_at, "completed_at")
    expect.equal(await _left(fx, PruneOptions(completed_before=ended + 1)), [2], "executions left")


@check("PVC-329")
async def prune_completed_before(fx: Fixture) -> None:
    """Only executions completed strictly before the cut-off go; those without completion time stay."""
    await fx.begin()
    first_end = fx.clock()
    await fx.step(execution_id=2, status="ContinuedAsNew")
    fx.clock.advance(1)
    await fx.step(execution_id=3, status="ContinuedAsNew")
    await fx.step(execution_id=4)
    expect.equal(await _left(fx, PruneOptions(completed_before=first_end)), [1, 2, 3, 4], "at the bound")
    expect.equal(await _left(fx, PruneOptions(completed_before=first_end + 1)), [1, 3, 4], "after it")
    expect.equal(
        await _left(fx, PruneOptions(keep_last=2, completed_before=first_end + 9)), [1, 3, 4], "both"
    )


@check("PVC-380")
async def prune_nothing_still_counts_instance(fx: Fixture) -> None:
    """Pruning with nothing to do reports one instance processed."""
    await fx.begin()
    result = await fx.management.prune_executions("i", PruneOptions())
    expect.equal(tuple(result), (1, 0, 0), "what was pruned")


@check("PVC-328")
async def prune_versus_ack_race(fx: Fixture) -> None:
    """Pruning while a new execution is being acknowledged never removes the current one."""
    other = expect.present(fx.open().as_management(), "management of a second object")
    await fx.begin(status="ContinuedAsNew")
    for number in range(2, 2 + fx.rounds):
        await fx.send(external())
        turn = await fx.turn()
        events = [started(execution_id=number)]
        acked, pruned = await together(
            partial(fx.ack, turn, *events, execution_id=number, status="ContinuedAsNew"),
            partial(other.prune_executions, "i", PruneOptions(keep_last=1)),
            reverse=number % 2 == 1,
        )
        expect.true(not refused_by(acked) and not refused_by(pruned), f"both succeed: {acked}, {pruned}")
        expect.equal(await fx.provider.read("i"), events, f"history of execution {number}")
        expect.true(number in await fx.management.list_executions("i"), f"execution {number} is there")
