"""The client: starting, talking, watching, managing (RT-19)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from holdfast.core.client import Client, Completed, Failed, NotFound, Running
from holdfast.core.contract.errors import (
    ActivityError,
    CannotDeleteSubOrchestration,
    InstanceNotFound,
    InstanceStillRunning,
    InvalidInput,
    ManagementNotAvailable,
    WaitTimeout,
)
from holdfast.core.hosting.forwarding import ForwardingProvider
from holdfast.core.program.registry import Registry
from holdfast.core.working.activity_context import ActivityContext

MINUTE = timedelta(minutes=1)


def registry() -> Registry:
    registry = Registry()

    @registry.orchestration()
    async def echo(ctx: Any, input: str) -> str:
        return input

    @registry.orchestration()
    async def fails(ctx: Any, input: str) -> str:
        raise ValueError("no luck")

    @registry.orchestration()
    async def waits(ctx: Any, input: str) -> str:
        ctx.set_custom_status("waiting")
        ctx.set_kv_value("key", "value")
        return str(await ctx.schedule_wait("go"))

    @registry.orchestration()
    async def parent(ctx: Any, input: str) -> str:
        return str(await ctx.schedule_sub_orchestration("waits", ""))

    @registry.orchestration()
    async def system(ctx: Any, input: str) -> str:
        guid = await ctx.new_guid()
        now = await ctx.utc_now()
        value = await ctx.get_kv_value_from_instance("w", "key")
        return f"{guid} {now.timestamp():.0f} {value}"

    @registry.activity()
    async def unused(ctx: ActivityContext, input: str) -> str:
        return input

    return registry


@pytest.mark.parametrize("instance", ["sub::x", "a::sub::b"])
def test_rt_1_16_ids_of_children_are_refused(world: Any, instance: str) -> None:
    """RT-1.16: nothing is sent."""

    async def scenario() -> None:
        with pytest.raises(InvalidInput, match="reserved sub-orchestration marker 'sub::'"):
            await world.client.start_orchestration(instance, "echo")
        await world.client.start_orchestration("a::b", "echo")

    world.run(scenario())


def test_rt_19_6_the_status_follows_the_instance(world: Any) -> None:
    """RT-19.6, RT-19.7, RT-19.10."""

    async def scenario() -> None:
        assert await world.client.get_orchestration_status("i") == NotFound()
        await world.client.start_orchestration("i", "waits")
        assert await world.client.get_orchestration_status("i") == NotFound()
        await world.start(registry())
        await world.sleep(1)
        status = await world.client.get_orchestration_status("i")
        assert status == Running(custom_status="waiting", custom_status_version=1)
        await world.client.raise_event("i", "go", "now")
        status = await world.client.wait_for_orchestration("i", MINUTE)
        assert status == Completed(output="now", custom_status="waiting", custom_status_version=1)

    world.run(scenario())


def test_rt_19_11_waiting_polls_and_times_out(world: Any) -> None:
    """RT-19.11: an unknown instance keeps it waiting, to the deadline and no longer."""

    async def scenario() -> None:
        with pytest.raises(WaitTimeout, match="Operation timed out"):
            await world.client.wait_for_orchestration("i", timedelta(seconds=2))
        assert world.now == 2

    world.run(scenario())


def test_rt_19_12_typed_waiting_decodes_or_explains(world: Any) -> None:
    """RT-19.12."""

    async def scenario() -> None:
        await world.start(registry())
        await world.client.start_orchestration_typed("n", "echo", 42)
        assert await world.client.wait_for_orchestration_typed("n", int, MINUTE) == 42
        await world.client.start_orchestration("t", "echo", "text")
        with pytest.raises(InvalidInput, match="decode failed"):
            await world.client.wait_for_orchestration_typed("t", int, MINUTE)
        await world.client.start_orchestration("f", "fails")
        with pytest.raises(ActivityError, match="no luck"):
            await world.client.wait_for_orchestration_typed("f", int, MINUTE)
        status = await world.client.get_orchestration_status("f")
        assert isinstance(status, Failed) and status.message.endswith("no luck")

    world.run(scenario())


def test_rt_19_13_a_status_change_is_waited_for(world: Any) -> None:
    """RT-19.13."""

    async def scenario() -> None:
        await world.start(registry())
        await world.client.start_orchestration("i", "waits")
        poll = timedelta(milliseconds=50)
        status = await world.client.wait_for_status_change("i", 0, poll_interval=poll, timeout=MINUTE)
        assert status.custom_status == "waiting"
        with pytest.raises(WaitTimeout):
            await world.client.wait_for_status_change(
                "i", status.custom_status_version, poll_interval=poll, timeout=timedelta(seconds=1)
            )

    world.run(scenario())


def test_rt_19_14_key_values_are_read_and_waited_for(world: Any) -> None:
    """RT-19.14, RT-16.11."""

    async def scenario() -> None:
        await world.client.start_orchestration("i", "waits")
        await world.start(registry())
        assert await world.client.wait_for_kv_value("i", "key", MINUTE) == "value"
        assert await world.client.get_kv_value("i", "other") is None
        assert await world.client.get_kv_all_values("i") == {"key": "value"}
        with pytest.raises(InvalidInput, match="decode failed"):
            await world.client.get_kv_value_typed("i", "key", int)

    world.run(scenario())


def test_rt_18_system_calls_work_in_every_worker(world: Any) -> None:
    """RT-18.1 to RT-18.4."""

    async def scenario() -> None:
        await world.start(registry())
        await world.client.start_orchestration("w", "waits")
        await world.client.wait_for_kv_value("w", "key", MINUTE)
        await world.client.start_orchestration("s", "system")
        status = await world.client.wait_for_orchestration("s", MINUTE)
        guid, _, value = status.output.split()
        assert guid.startswith("00000000-0000-4000-8000-")
        assert value == "value"

    world.run(scenario())


def test_rt_21_10_the_descriptor_is_read_from_the_start_event(world: Any) -> None:
    """RT-21.10."""

    async def scenario() -> None:
        await world.start(registry())
        assert await world.client.describe("p") is None
        await world.client.start_orchestration("p", "parent")
        await world.sleep(2)
        described = await world.client.describe("p::sub::2")
        assert (described.name, described.version, described.parent_instance) == ("waits", "1.0.0", "p")

    world.run(scenario())


def test_rt_19_27_deletion_explains_its_refusals(world: Any) -> None:
    """RT-19.15, RT-19.27, RT-19.28."""

    async def scenario() -> None:
        await world.start(registry())
        await world.client.start_orchestration("p", "parent")
        await world.sleep(2)
        with pytest.raises(InstanceNotFound, match="Instance x not found"):
            await world.client.delete_instance("x")
        with pytest.raises(CannotDeleteSubOrchestration):
            await world.client.delete_instance("p::sub::2")
        with pytest.raises(InstanceStillRunning):
            await world.client.delete_instance("p")
        assert (await world.client.delete_instance("p", force=True)).instances_deleted == 2
        assert await world.client.list_all_instances() == []

    world.run(scenario())


def test_rt_19_17_without_management_every_management_call_says_so(world: Any) -> None:
    """RT-19.17."""

    class Bare(ForwardingProvider):
        def as_management(self) -> None:
            return None

    async def scenario() -> None:
        client = Client(Bare(world.provider), clock=world.clock)
        with pytest.raises(ManagementNotAvailable, match="ProviderAdmin"):
            await client.list_all_instances()

    world.run(scenario())


def test_rt_11_2_cancelling_ends_the_instance(world: Any) -> None:
    """RT-11.1, RT-11.5."""

    async def scenario() -> None:
        await world.start(registry())
        await world.client.start_orchestration("i", "waits")
        await world.sleep(1)
        await world.client.cancel_instance("i", "enough")
        status = await world.client.wait_for_orchestration("i", MINUTE)
        assert status.message == "canceled: enough"

    world.run(scenario())
