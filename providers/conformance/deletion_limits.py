"""What deletion refuses, skips or includes: live, orphaned and not yet started instances (PV-20, PV-21)."""

from __future__ import annotations

from functools import partial

from holdfast.core.contract.management import InstanceFilter
from holdfast.core.contract.provider import ExecutionMetadata
from holdfast.providers.conformance import expect, side_by_side
from holdfast.providers.conformance.fixture import Fixture, refused_by
from holdfast.providers.conformance.messages import activity, external, kv_set, start, started
from holdfast.providers.conformance.racing import together
from holdfast.providers.conformance.registry import check


@check("PVC-323")
async def delete_refuses_continued_as_new_gap(fx: Fixture) -> None:
    """Between a continuing turn and the next execution the instance is live for single and bulk deletion."""
    await fx.begin(status="ContinuedAsNew")
    await expect.refused(fx.management.delete_instance("i", force=False), "running")
    result = await fx.management.delete_instance_bulk(InstanceFilter())
    expect.equal(result.instances_deleted, 0, "instances deleted in bulk")
    expect.equal(await fx.management.list_instances(), ["i"], "instances left")


@check("PVC-324")
async def bulk_delete_skips_root_with_live_descendant(fx: Fixture) -> None:
    """A finished root with a running child stays."""
    await fx.begin("root", status="Completed")
    await fx.begin("child", status="Completed", parent="root")
    await fx.begin("grandchild", parent="child")
    result = await fx.management.delete_instance_bulk(InstanceFilter())
    expect.equal(tuple(result), (0, 0, 0, 0), "what was deleted")
    await expect.refused(fx.management.delete_instance("root", force=False), "running")
    expect.equal(len(await fx.management.list_instances()), 3, "instances left")


@check("PVC-325")
async def delete_counts_real_instances(fx: Fixture) -> None:
    """Unknown ids in a list are not counted as deleted."""
    await fx.begin("a", status="Completed")
    result = await fx.management.delete_instances_atomic(["nobody", "a", "a", "none"], force=False)
    expect.equal(result.instances_deleted, 1, "instances deleted")


@check("PVC-326")
async def orphan_child_deletable(fx: Fixture) -> None:
    """A child whose parent is gone can be deleted."""
    await fx.begin("child", status="Completed", parent="nobody")
    await fx.begin("other", status="Completed", parent="nobody")
    await fx.management.delete_instance("child", force=False)
    result = await fx.management.delete_instance_bulk(InstanceFilter())
    expect.equal(result.instances_deleted, 1, "instances deleted in bulk")


@check("PVC-327")
async def tree_with_cycle_terminates(fx: Fixture) -> None:
    """Asking for a tree with circular parent links ends."""
    for instance, parent in (("a", "c"), ("b", "a"), ("c", "b")):
        await fx.begin(instance, parent=parent, status="Completed")
    tree = await fx.management.get_instance_tree("a")
    expect.same_elements(tree.all_ids, ["a", "b", "c"], "the tree")
    await fx.begin("self", parent="self")
    expect.equal((await fx.management.get_instance_tree("self")).all_ids, ("self",), "the tree of itself")


@check("PVC-377")
async def deletion_leaves_neighbours(fx: Fixture) -> None:
    """Deleting one instance leaves rows, locks, keys and messages of neighbours with similar ids."""
    neighbours = ("i%", "i_", "I", "i ")
    for instance in ("i", *neighbours):
        await fx.begin(instance, kv_set(2, "k", instance), work=[activity(2, instance)])
    await fx.send(external("i%"))
    turn = await fx.turn("i%")
    await fx.management.delete_instance("i", force=True)
    for instance in neighbours:
        expect.equal(await fx.provider.get_kv_value(instance, "k"), instance, f"the key of {instance!r}")
        expect.equal(len(await fx.provider.read(instance)), 2, f"events of {instance!r}")
        expect.equal((await fx.work()).item.instance, instance, "the activity")
    await fx.renew_turn(turn)
    await fx.no_work()
    await fx.ack(turn)
    await fx.management.delete_instances_atomic(neighbours, force=True)
    await side_by_side.instances(fx)


@check("PVC-378")
async def deletion_takes_unborn_children(fx: Fixture) -> None:
    """A queued start of a child goes with its deleted parent."""
    await fx.begin("parent", messages=[start("child", parent="parent"), start("other")])
    await fx.management.delete_instance("parent", force=True)
    await fx.turn("other")
    await fx.no_turn()


@check("PVC-379")
async def delete_versus_child_birth_race(fx: Fixture) -> None:
    """A child born while its parent is deleted stops the deletion or is born after it; no tree is halved."""
    other = fx.open()
    deleting = expect.present(other.as_management(), "management of a second object")
    for number in range(fx.rounds):
        parent, child = f"parent{number}", f"child{number}"
        await fx.begin(parent, status="Completed")
        await fx.send(start(child, parent=parent))
        turn = await fx.turn(child)
        birth = partial(
            fx.provider.ack_orchestration_item,
            turn.token,
            execution_id=1,
            history_delta=[started()],
            worker_items=[],
            orchestrator_items=[],
            metadata=ExecutionMetadata(
                orchestration_name="Flow", orchestration_version="1", parent_instance_id=parent
            ),
            cancelled_activities=[],
        )
        born, deleted = await together(
            birth, partial(deleting.delete_instances_atomic, [parent], force=True), reverse=number % 2 == 1
        )
        listed = await fx.management.list_instances()
        expect.equal(parent in listed, refused_by(deleted), "the parent is there if its deletion was refused")
        expect.equal(child in listed, not refused_by(born), "the child is there if it was born")
        if refused_by(deleted):
            expect.true(child in listed, f"a refused deletion has a child to name: {deleted}")
