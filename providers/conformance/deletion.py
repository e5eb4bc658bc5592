"""Deleting instances takes all of a tree, nothing of a neighbour, and revives nothing (PV-20)."""

from __future__ import annotations

from functools import partial

from holdfast.core.contract.management import Management
from holdfast.core.contract.provider import FetchedTurn
from holdfast.providers.conformance import expect
from holdfast.providers.conformance.fixture import Fixture, refused_by
from holdfast.providers.conformance.messages import (
    activity,
    completed,
    external,
    kv_set,
    note,
    start,
    started,
    status,
)
from holdfast.providers.conformance.racing import together
from holdfast.providers.conformance.registry import check


async def _family(fx: Fixture, *, status: str = "Completed") -> None:
    """root -> (child -> grandchild, sibling), all of one status."""
    for instance, parent in (("root", None), ("child", "root"), ("sibling", "root"), ("grandchild", "child")):
        await fx.begin(instance, status=status, parent=parent)


async def _gone(fx: Fixture, instance: str) -> None:
    """Nothing of the instance is left that reads can find."""
    expect.true(instance not in await fx.management.list_instances(), f"{instance} is not listed")
    expect.nothing(await fx.management.list_executions(instance), f"executions of {instance}")
    expect.nothing(await fx.provider.read(instance), f"history of {instance}")
    expect.nothing(await fx.provider.get_kv_all_values(instance), f"keys of {instance}")
    expect.nothing(await fx.provider.get_custom_status(instance, 0), f"status of {instance}")


@check("PVC-088")
async def delete_terminal_instances(fx: Fixture) -> None:
    """Completed and failed instances can be deleted and report what went."""
    for instance, ending in (("one", "Completed"), ("two", "Failed")):
        await fx.begin(instance, note(2), status=ending)
        result = await fx.management.delete_instance(instance, force=False)
        expect.equal(tuple(result), (1, 1, 2, 0), "instances, executions, events and messages deleted")
        await _gone(fx, instance)


@check("PVC-089")
async def delete_running_rejected_force_succeeds(fx: Fixture) -> None:
    """A running instance is refused with a permanent error naming the reason, and goes with force."""
    await fx.begin()
    await expect.refused(fx.management.delete_instance("i", force=False), "running")
    expect.equal(await fx.provider.read("i"), [started()], "history after the refusal")
    await fx.management.delete_instance("i", force=True)
    await _gone(fx, "i")


@check("PVC-090")
async def delete_nonexistent_instance(fx: Fixture) -> None:
    """Deleting an unknown id raises a permanent not-found error."""
    for force in (False, True):
        await expect.refused(fx.management.delete_instance("nobody", force=force), "not found")


@check("PVC-091")
async def delete_cleans_queues_and_locks(fx: Fixture) -> None:
    """Queue rows go with the instance and the id can be used anew with other name and version."""
    await fx.begin("i", kv_set(2, "k", "v"), status(3, "busy"), work=[activity(2), activity(3)])
    await fx.send(external(), external())
    await fx.turn()
    result = await fx.management.delete_instance("i", force=True)
    expect.equal(result.queue_messages_deleted, 4, "queue rows deleted")
    expect.equal(tuple(await fx.management.get_queue_depths()), (0, 0, 0), "queue depths")
    await fx.send(start())
    turn = await fx.turn("i")
    expect.equal((turn.item.history, turn.item.kv_snapshot), ([], {}), "history and keys of the new start")
    await fx.ack(turn, started(), name="Other", version="9")
    info = await fx.management.get_instance_info("i")
    expect.equal((info.orchestration_name, info.orchestration_version), ("Other", "9"), "the new record")
    await _only_new_status(fx)


async def _only_new_status(fx: Fixture) -> None:
    expect.nothing(await fx.provider.get_kv_all_values("i"), "keys")
    await fx.step("i", status(2, "new"))
    expect.equal(await fx.provider.get_custom_status("i", 0), ("new", 1), "the custom status")


@check("PVC-092")
async def cascade_delete_hierarchy(fx: Fixture) -> None:
    """Children cannot be deleted directly, with force or without; deleting the root removes three levels."""
    await _family(fx)
    for force in (False, True):
        for instance in ("child", "grandchild"):
            refusal = fx.management.delete_instance(instance, force=force)
            await expect.refused(refusal, "sub-orchestration")
    result = await fx.management.delete_instance("root", force=False)
    expect.equal(result.instances_deleted, 4, "instances deleted")
    expect.nothing(await fx.management.list_instances(), "instances left")


@check("PVC-093")
async def force_delete_prevents_ack_recreation(fx: Fixture) -> None:
    """A turn in progress cannot be acknowledged after its instance was force-deleted; nothing reappears."""
    await fx.begin(work=[activity()])
    await fx.send(external())
    turn, work = await fx.turn(), await fx.work()
    await fx.management.delete_instance("i", force=True)
    await expect.refused(fx.ack(turn, note(2), name="Flow", version="1", messages=[external()]))
    await expect.refused(fx.renew_turn(turn))
    await expect.refused(fx.abandon_turn(turn))
    await expect.refused(fx.renew_work(work))
    await expect.refused(fx.provider.abandon_work_item(work.token))
    await _gone(fx, "i")
    expect.equal(tuple(await fx.management.get_queue_depths()), (0, 0, 0), "queue depths")


@check("PVC-094")
async def list_children(fx: Fixture) -> None:
    """Only direct children are listed; leaves and unknown ids give an empty list."""
    await _family(fx)
    expect.same_elements(await fx.management.list_children("root"), ["child", "sibling"], "children")
    expect.nothing(await fx.management.list_children("sibling"), "children of a leaf")
    expect.nothing(await fx.management.list_children("nobody"), "children of an unknown id")


@check("PVC-095")
async def delete_get_parent_id(fx: Fixture) -> None:
    """Root: none; child: its parent; unknown: error."""
    await _family(fx)
    expect.nothing(await fx.management.get_parent_id("root"), "the root's parent")
    expect.equal(await fx.management.get_parent_id("grandchild"), "child", "the grandchild's parent")
    await expect.refused(fx.management.get_parent_id("nobody"), "not found")


@check("PVC-096")
async def delete_get_instance_tree(fx: Fixture) -> None:
    """The tree of a root has all four members, that of a leaf one."""
    await _family(fx)
    tree = await fx.management.get_instance_tree("root")
    expect.same_elements(tree.all_ids, ["root", "child", "sibling", "grandchild"], "the root's tree")
    expect.equal((tree.root_id, tree.size, tree.is_root_only), ("root", 4, False), "what the tree says")
    expect.true((await fx.management.get_instance_tree("sibling")).is_root_only, "a leaf is a tree of one")


@check("PVC-097")
async def delete_instances_atomic(fx: Fixture) -> None:
    """Three unrelated finished instances go in one call with added-up counts."""
    for instance in ("a", "b", "c", "other"):
        await fx.begin(instance, note(2), status="Completed")
    result = await fx.management.delete_instances_atomic(["a", "b", "c"], force=False)
    expect.equal(tuple(result), (3, 3, 6, 0), "what was deleted")
    expect.equal(await fx.management.list_instances(), ["other"], "instances left")
    nothing = await fx.management.delete_instances_atomic([], force=False)
    expect.equal(tuple(nothing), (0, 0, 0, 0), "what an empty list deletes")


@check("PVC-098")
async def delete_instances_atomic_force(fx: Fixture) -> None:
    """One running instance in the list blocks all without force and none with force."""
    await fx.begin("done", status="Completed")
    await fx.begin("live")
    both = ["done", "live"]
    await expect.refused(fx.management.delete_instances_atomic(both, force=False), "running")
    expect.same_elements(await fx.management.list_instances(), both, "instances after the refusal")
    await fx.management.delete_instances_atomic(both, force=True)
    expect.nothing(await fx.management.list_instances(), "instances left")


@check("PVC-099")
async def delete_instances_atomic_orphan_detection(fx: Fixture) -> None:
    """A list with a parent but not its child is refused and deletes nothing; with both it works."""
    await fx.begin("parent", status="Completed")
    await fx.begin("child", status="Completed", parent="parent")
    for force in (False, True):
        refusal = fx.management.delete_instances_atomic(["parent"], force=force)
        await expect.refused(refusal, "child")
    expect.equal(len(await fx.management.list_instances()), 2, "instances after the refusals")
    await fx.management.delete_instances_atomic(["parent", "child"], force=False)
    expect.nothing(await fx.management.list_instances(), "instances left")


@check("PVC-100")
async def stale_activity_after_delete_recreate(fx: Fixture) -> None:
    """A worker that started before deletion cannot complete into the instance recreated under the same id."""
    await fx.begin(work=[activity()])
    stale = await fx.work()
    await fx.management.delete_instance("i", force=True)
    await fx.begin(work=[activity()])
    await expect.refused(fx.provider.ack_work_item(stale.token, completed()))
    await fx.no_turn()
    expect.equal((await fx.work()).attempt_count, 1, "attempts of the new activity")


@check("PVC-322")
async def delete_versus_ack_race(fx: Fixture) -> None:
    """Force deletion racing an acknowledgement leaves nothing, and at most an error for the acknowledger."""
    other: Management = expect.present(fx.open().as_management(), "management of a second object")
    for number in range(fx.rounds):
        instance = f"i{number}"
        await fx.begin(instance)
        await fx.send(external(instance))
        turn: FetchedTurn = await fx.turn(instance)
        acked, deleted = await together(
            partial(fx.ack, turn, note(2), work=[activity(2, instance)], name="Flow", version="1"),
            partial(other.delete_instance, instance, force=True),
            reverse=number % 2 == 1,
        )
        expect.true(not refused_by(deleted), f"the deletion succeeds: {deleted}")
        await _gone(fx, instance)
        expect.equal(tuple(await fx.management.get_queue_depths()), (0, 0, 0), f"queues, ack was {acked}")
