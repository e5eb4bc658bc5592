"""What management reports of instances, executions and queues, without changing any (PV-19)."""

from __future__ import annotations

from functools import partial

from holdfast.core.contract.errors import ProviderError
from holdfast.providers.conformance import expect
from holdfast.providers.conformance.fixture import Fixture
from holdfast.providers.conformance.messages import activity, external, note, start, started
from holdfast.providers.conformance.racing import together
from holdfast.providers.conformance.registry import check


@check("PVC-051")
async def list_instances(fx: Fixture) -> None:
    """Every created instance is listed, newest creation first."""
    for instance in ("b", "a", "c"):
        await fx.begin(instance)
        fx.clock.advance(1)
    expect.equal(await fx.management.list_instances(), ["c", "a", "b"], "instances")


@check("PVC-052")
async def list_instances_by_status(fx: Fixture) -> None:
    """A completed instance is listed under Completed, by the status of its current execution."""
    await fx.begin("done", status="Completed")
    await fx.begin("live")
    await fx.begin("next", status="ContinuedAsNew")
    await fx.step("next", execution_id=2)
    listed = fx.management.list_instances_by_status
    expect.equal(await listed("Completed"), ["done"], "Completed")
    expect.same_elements(await listed("Running"), ["live", "next"], "Running")
    expect.nothing(await listed("ContinuedAsNew"), "ContinuedAsNew")


@check("PVC-053")
async def list_executions(fx: Fixture) -> None:
    """Execution 1 is listed after the first acknowledgement, even without name and version."""
    await fx.send(start())
    await fx.ack(await fx.turn(), started())
    expect.equal(await fx.management.list_executions("i"), [1], "executions")
    expect.nothing(await fx.management.list_executions("nobody"), "executions of an unknown id")


@check("PVC-054")
async def get_instance_info(fx: Fixture) -> None:
    """Name, version, id and current execution of a created instance are reported."""
    await fx.begin()
    info = await fx.management.get_instance_info("i")
    told = (info.instance_id, info.orchestration_name, info.orchestration_version, info.current_execution_id)
    expect.equal(told, ("i", "Flow", "1.0.0", 1), "the record")
    expect.equal((info.status, info.output, info.parent_instance_id), ("Running", None, None), "the state")
    await expect.refused(fx.management.get_instance_info("nobody"), "not found")


@check("PVC-055")
async def get_execution_info(fx: Fixture) -> None:
    """Status and output of an execution are those given at acknowledgement."""
    await fx.begin("i", note(2), status="Completed", output="42")
    info = await fx.management.get_execution_info("i", 1)
    told = (info.execution_id, info.status, info.output, info.event_count)
    expect.equal(told, (1, "Completed", "42", 2), "the record")
    await expect.refused(fx.management.get_execution_info("i", 2), "not found")
    await expect.refused(fx.management.get_execution_info("nobody", 1), "not found")


@check("PVC-056")
async def get_system_metrics(fx: Fixture) -> None:
    """Counts rise with instances, executions and events, and tell finished ones apart."""
    await fx.begin("a", status="Completed")
    await fx.begin("b", status="Failed")
    await fx.begin("c", note(2), status="ContinuedAsNew")
    await fx.step("c", started(execution_id=2), execution_id=2)
    metrics = await fx.management.get_system_metrics()
    expect.equal(
        (metrics.total_instances, metrics.total_executions, metrics.total_events), (3, 4, 5), "totals"
    )
    by_status = (metrics.running_instances, metrics.completed_instances, metrics.failed_instances)
    expect.equal(by_status, (1, 1, 1), "running, completed, failed")


@check("PVC-057")
async def get_queue_depths(fx: Fixture) -> None:
    """Depths count rows that no live lock holds, those not yet visible included."""
    await fx.begin()
    await fx.send(external())
    await fx.send(external("j"), delay=1_000)
    await fx.put(activity(2), activity(3))
    expect.equal(tuple(await fx.management.get_queue_depths()), (2, 2, 0), "depths")
    await fx.turn()
    await fx.work()
    expect.equal(tuple(await fx.management.get_queue_depths()), (1, 1, 0), "depths with one of each held")
    fx.clock.advance(fx.lock_timeout)
    expect.equal(tuple(await fx.management.get_queue_depths()), (2, 2, 0), "depths with expired locks")


@check("PVC-381")
async def management_reads_do_not_disturb(fx: Fixture) -> None:
    """Management reads during load neither fail nor change counts, locks or queues."""
    other = expect.present(fx.open().as_management(), "management of a second object")
    for number in range(fx.rounds // 5):
        instance = f"i{number}"
        await fx.begin(instance, work=[activity(2, instance)])
        await fx.send(external(instance))
        turn = await fx.turn(instance)
        outcomes: list[object] = [
            *await together(
                partial(other.get_instance_info, instance), partial(other.get_execution_info, instance, 1)
            ),
            *await together(other.list_instances, partial(other.list_instances_by_status, "Running")),
            *await together(other.get_system_metrics, other.get_queue_depths, partial(fx.ack, turn, note(2))),
        ]
        raised = [outcome for outcome in outcomes if isinstance(outcome, ProviderError)]
        expect.nothing(raised, f"errors in round {number}")
        work = await fx.work()
        expect.equal(work.attempt_count, 1, "attempts of the waiting item")
        await fx.provider.ack_work_item(work.token)
        await fx.no_turn()
