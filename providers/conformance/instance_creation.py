"""When instance and execution records are created, and what they contain (PV-5)."""

from __future__ import annotations

import msgspec

from holdfast.providers.conformance import expect
from holdfast.providers.conformance.fixture import Fixture
from holdfast.providers.conformance.harness import START_OF_TIME
from holdfast.providers.conformance.messages import (
    continue_as_new,
    external,
    failure,
    start,
    started,
    status,
)
from holdfast.providers.conformance.registry import check


@check("PVC-047")
async def instance_creation_via_metadata(fx: Fixture) -> None:
    """An instance gets its record from acknowledgement metadata, whose version wins over the start's."""
    await fx.send(start(version="1.0.0"))
    turn = await fx.turn()
    expect.equal(turn.item.version, "1.0.0", "the version of the first fetch")
    await fx.ack(turn, started(), name="Renamed", version="2.0.0")
    info = await fx.management.get_instance_info("i")
    expect.equal((info.orchestration_name, info.orchestration_version), ("Renamed", "2.0.0"), "the record")
    await fx.step(name="Only a name")
    info = await fx.management.get_instance_info("i")
    expect.equal((info.orchestration_name, info.orchestration_version), ("Renamed", "2.0.0"), "as before")


@check("PVC-048")
async def no_instance_creation_on_enqueue(fx: Fixture) -> None:
    """A start message alone is fetchable although no instance exists yet."""
    await fx.send(start())
    expect.nothing(await fx.management.list_instances(), "instances")
    expect.nothing(await fx.provider.read("i"), "history")
    turn = await fx.turn("i")
    expect.equal((turn.item.orchestration_name, turn.item.execution_id), ("Flow", 1), "the item")
    expect.nothing(await fx.management.list_instances(), "instances after the fetch")


@check("PVC-049")
async def null_version_handling(fx: Fixture) -> None:
    """A start without version can be fetched, and afterwards the version set by metadata is reported."""
    await fx.send(start(version=None))
    turn = await fx.turn()
    expect.equal(turn.item.version, "unknown", "the version of the first fetch")
    expect.equal(turn.item.messages, [start(version=None)], "messages")
    await fx.ack(turn, started(), name="Flow", version="3.0.0")
    expect.equal((await fx.management.get_instance_info("i")).orchestration_version, "3.0.0", "the version")
    empty = {"j": start("j", version=""), "k": msgspec.structs.replace(continue_as_new("k"), version="")}
    for instance, message in empty.items():
        await fx.send(message)
        turn = await fx.turn(instance)
        expect.equal(turn.item.version, "", "an empty version, which is one")
        # Of k there is no record but its history.
        await fx.ack(turn, started(version=""), name="Flow" if instance == "j" else None, version="")
        await fx.send(external(instance))
        expect.equal((await fx.turn()).item.version, "", "an empty version that is recorded")


@check("PVC-050")
async def sub_orchestration_instance_creation(fx: Fixture) -> None:
    """A child started by a parent's acknowledgement exists only after its own first acknowledgement."""
    await fx.begin("i", messages=[start("child", parent="i")])
    expect.equal(await fx.management.list_instances(), ["i"], "instances before")
    turn = await fx.turn("child")
    await fx.ack(turn, started(), name="Flow", version="1", parent="i")
    expect.same_elements(await fx.management.list_instances(), ["i", "child"], "instances")
    expect.equal(await fx.management.get_parent_id("child"), "i", "the parent")


@check("PVC-316")
async def timestamps_nonzero_ms(fx: Fixture) -> None:
    """Created, updated, started and completed times are the store's milliseconds."""
    await fx.begin()
    fx.clock.advance(1_000)
    await fx.step(status="Completed")
    info = await fx.management.get_instance_info("i")
    expect.equal(info.created_at, START_OF_TIME, "created_at")
    expect.equal(info.updated_at, START_OF_TIME + 1_000, "updated_at")
    execution = await fx.management.get_execution_info("i", 1)
    expect.equal(execution.started_at, START_OF_TIME, "started_at")
    expect.equal(execution.completed_at, START_OF_TIME + 1_000, "completed_at")


@check("PVC-318")
async def completed_at_unset_for_running(fx: Fixture) -> None:
    """An explicit Running status sets no completion time."""
    await fx.begin(status="Running")
    execution = await fx.management.get_execution_info("i", 1)
    expect.equal((execution.status, execution.completed_at), ("Running", None), "status and completion")


@check("PVC-319")
async def output_cleared_with_status(fx: Fixture) -> None:
    """A status without output clears an earlier output; no status leaves both."""
    await fx.begin(status="Running", output="so far")
    await fx.step(output="ignored without status")
    expect.equal((await fx.management.get_instance_info("i")).output, "so far", "the output kept")
    await fx.step(status="Completed")
    info = await fx.management.get_instance_info("i")
    expect.equal((info.status, info.output), ("Completed", None), "status and output")


@check("PVC-320")
async def parent_may_be_missing(fx: Fixture) -> None:
    """A child whose parent was never created can be acknowledged."""
    await fx.begin("child", parent="nobody")
    expect.equal(await fx.management.get_parent_id("child"), "nobody", "the parent")


@check("PVC-321")
async def parent_link_not_rewritten(fx: Fixture) -> None:
    """A later acknowledgement with another parent does not change the link."""
    await fx.begin("child", parent="i")
    await fx.step("child", name="Flow", version="1", parent="j")
    expect.equal(await fx.management.get_parent_id("child"), "i", "the parent")


@check("PVC-373")
async def poisoned_start_creates_failed_instance(fx: Fixture) -> None:
    """Failing the very first batch with name and version leaves a Failed instance with two events."""
    await fx.send(start())
    turn = await fx.turn()
    await fx.ack(turn, started(), failure(2), status="Failed", output="poison", name="Flow", version="1")
    info = await fx.management.get_instance_info("i")
    expect.equal((info.status, info.output), ("Failed", "poison"), "status and output")
    expect.equal(await fx.provider.read("i"), [started(), failure(2)], "history")


@check("PVC-374")
async def status_event_without_instance_record(fx: Fixture) -> None:
    """A status event acknowledged without name and version is stored and otherwise ignored."""
    await fx.send(start())
    await fx.ack(await fx.turn(), started(), status(2, "busy"))
    expect.equal(await fx.provider.read("i"), [started(), status(2, "busy")], "history")
    expect.nothing(await fx.provider.get_custom_status("i", 0), "the custom status")
    await fx.send(start())
    await fx.ack(await fx.turn(), name="Flow", version="1")
    expect.nothing(await fx.provider.get_custom_status("i", 0), "the custom status of the record")
