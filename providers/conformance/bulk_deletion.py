"""Deleting finished roots in bulk, by ids, by completion time, in batches (PV-21)."""

from __future__ import annotations

from holdfast.core.contract.management import InstanceFilter
from holdfast.providers.conformance import expect
from holdfast.providers.conformance.fixture import Fixture
from holdfast.providers.conformance.registry import check


async def _finished(fx: Fixture, *instances: str) -> None:
    """Roots that completed one millisecond apart."""
    for instance in instances:
        await fx.begin(instance, status="Completed")
        fx.clock.advance(1)


async def _deleted(fx: Fixture, filter: InstanceFilter) -> int:
    return (await fx.management.delete_instance_bulk(filter)).instances_deleted


@check("PVC-105")
async def delete_instance_bulk_filter_combinations(fx: Fixture) -> None:
    """By ids, unknown ids, and empty filter: just the matching finished instances go."""
    await _finished(fx, "a", "b", "c", "d")
    expect.equal(await _deleted(fx, InstanceFilter(instance_ids=[])), 0, "deleted by an empty list")
    expect.equal(await _deleted(fx, InstanceFilter(instance_ids=["nobody"])), 0, "deleted by unknown ids")
    expect.equal(await _deleted(fx, InstanceFilter(instance_ids=["a", "c", "nobody"])), 2, "deleted by ids")
    expect.same_elements(await fx.management.list_instances(), ["b", "d"], "instances left")
    both = InstanceFilter(instance_ids=["b", "d"], limit=1)
    expect.equal(await _deleted(fx, both), 1, "deleted by ids and limit")
    expect.equal(await fx.management.list_instances(), ["d"], "instances left")
    expect.equal(await _deleted(fx, InstanceFilter()), 1, "deleted by the empty filter")


@check("PVC-106")
async def delete_instance_bulk_safety_and_limits(fx: Fixture) -> None:
    """Running instances are skipped without error, and a limit makes batches that run dry, oldest first."""
    await fx.begin("live")
    await _finished(fx, "e", "d", "c", "b", "a")
    expect.equal(await _deleted(fx, InstanceFilter(instance_ids=["live"])), 0, "running ones deleted")
    expect.equal(await _deleted(fx, InstanceFilter(limit=0)), 0, "deleted with limit 0")
    expect.equal(await _deleted(fx, InstanceFilter(limit=2)), 2, "deleted in the first batch")
    expect.same_elements(await fx.management.list_instances(), ["live", "a", "b", "c"], "instances left")
    batches = [await _deleted(fx, InstanceFilter(limit=2)) for _ in range(3)]
    expect.equal(batches, [2, 1, 0], "the batches after it")
    expect.equal(await fx.management.list_instances(), ["live"], "instances left")


@check("PVC-107")
async def delete_instance_bulk_completed_before_filter(fx: Fixture) -> None:
    """A cut-off before completion deletes nothing, one after it deletes all; the bound is strict."""
    first = fx.clock()
    await _finished(fx, "a", "b")
    expect.equal(await _deleted(fx, InstanceFilter(completed_before=first)), 0, "deleted at the bound")
    expect.equal(await _deleted(fx, InstanceFilter(completed_before=first + 1)), 1, "deleted after it")
    expect.equal(await fx.management.list_instances(), ["b"], "instances left")
    expect.equal(await _deleted(fx, InstanceFilter(completed_before=first + 2)), 1, "deleted in the end")


@check("PVC-108")
async def delete_instance_bulk_cascades_to_children(fx: Fixture) -> None:
    """Deleting roots in bulk takes their children and counts them."""
    await _finished(fx, "a", "b")
    await fx.begin("child", status="Failed", parent="a")
    result = await fx.management.delete_instance_bulk(InstanceFilter(instance_ids=["a", "b", "child"]))
    expect.equal(tuple(result), (3, 3, 3, 0), "what was deleted")
    expect.nothing(await fx.management.list_instances(), "instances left")
