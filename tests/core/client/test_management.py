"""Managing instances through the client, on both providers (RT-19.15 to RT-19.37)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from holdfast.core.client import Client
from holdfast.core.contract.codec import encode_event, opaque_event
from holdfast.core.contract.errors import (
    CannotDeleteSubOrchestration,
    ClientError,
    InstanceNotFound,
    InstanceStillRunning,
    InvalidInput,
    ManagementNotAvailable,
    ProviderError,
    WaitTimeout,
)
from holdfast.core.contract.events import OrchestrationStarted
from holdfast.core.contract.failures import (
    Configuration,
    FailureDetails,
    Infrastructure,
    Poison,
    PoisonedMessage,
    PoisonOrchestration,
    application,
    cancelled,
)
from holdfast.core.contract.management import InstanceFilter, OrchestrationStats, PruneOptions
from holdfast.core.contract.observe import LocalEvent, Logged
from holdfast.core.contract.work_items import StartOrchestration
from holdfast.core.hosting.forwarding import ForwardingProvider
from holdfast.providers.conformance import Factory
from holdfast.providers.conformance.fixture import Fixture
from holdfast.providers.conformance.messages import kv_clear, kv_set, note, queued, started
from holdfast.providers.memory import memory_store
from holdfast.providers.sqlite import sqlite_store
from holdfast.system import SystemClock


class Records:
    """Takes the log records of a client."""

    takes_records = True

    def __init__(self) -> None:
        self.seen: list[Logged] = []

    def notify(self, event: LocalEvent) -> None:
        assert isinstance(event, Logged)
        self.seen.append(event)


class Managed(Fixture):
    """A store with a client that logs."""

    def __init__(self, factory: Factory) -> None:
        super().__init__(factory)
        self.records = Records()
        self.client = Client(self.provider, clock=SystemClock(), observer=self.records)


Body = Callable[[Managed], Awaitable[None]]


@pytest.fixture(params=[memory_store, sqlite_store], ids=["memory", "sqlite"])
def managed(request: pytest.FixtureRequest) -> Callable[[Body], None]:
    def run(body: Body) -> None:
        async def on_a_store() -> None:
            fx = Managed(Factory(create=request.param))
            try:
                await body(fx)
            finally:
                await fx.close()

        asyncio.run(on_a_store())

    return run


Run = Callable[[Body], None]


# --- statistics -------------------------------------------------------------------------------------------


def test_rt_19_26_the_statistics_of_an_unknown_instance_are_none(managed: Run) -> None:
    async def body(fx: Managed) -> None:
        assert await fx.client.get_orchestration_stats("nobody") is None

    managed(body)


def test_rt_19_26_statistics_count_events_bytes_and_values(managed: Run) -> None:
    """RT-19.26: bytes of the stored texts; values as clients see them, set and cleared by a running turn."""

    async def body(fx: Managed) -> None:
        told = [note(2, "\u00e9"), kv_set(3, "kept", "\u00e9"), kv_set(4, "gone", "x"), kv_set(5, "", "")]
        await fx.begin("i", *told, kv_clear(6, "gone"))
        stats = await fx.client.get_orchestration_stats("i")
        size = sum(len(encode_event(event)) for event in [started(), *told, kv_clear(6, "gone")])
        assert stats == OrchestrationStats(
            history_event_count=6,
            history_size_bytes=size,
            kv_user_key_count=2,
            kv_total_value_bytes=2,
            queue_pending_count=0,
        )

    managed(body)


def test_rt_19_26_statistics_are_those_of_the_current_execution(managed: Run) -> None:
    """RT-19.26: settled values stay, and what was carried over counts however many messages come or go."""

    async def body(fx: Managed) -> None:
        carried = (("inbox", "a"), ("inbox", "b"), ("other", "c"))
        began = OrchestrationStarted(
            event_id=1,
            instance_id="i",
            execution_id=2,
            timestamp_ms=1,
            duroxide_version="0.1.32",
            name="Flow",
            version="1.0.0",
            input="",
            carry_forward_events=carried,
        )
        await fx.begin("i", kv_set(2, "k", "settled"), note(3), note(4), status="ContinuedAsNew")
        await fx.step("i", began, execution_id=2)
        await fx.send(queued(), queued())
        stats = await fx.client.get_orchestration_stats("i")
        assert stats is not None
        assert (stats.history_event_count, stats.queue_pending_count) == (1, 3)
        assert (stats.kv_user_key_count, stats.kv_total_value_bytes) == (1, len("settled"))
        assert stats.history_size_bytes == len(encode_event(began))

    managed(body)


def test_rt_19_26_events_of_a_later_version_count_as_they_are_stored(managed: Run) -> None:
    async def body(fx: Managed) -> None:
        text = '{"event_id": 2, "type": "ThingOfTheFuture",  "more": 1}'
        await fx.begin("i", opaque_event(text))
        stats = await fx.client.get_orchestration_stats("i")
        assert stats is not None
        assert stats.history_size_bytes == len(encode_event(started())) + len(text)

    managed(body)


# --- records ----------------------------------------------------------------------------------------------


def test_rt_19_37_each_deletion_and_pruning_leaves_one_info_record_with_its_counts(managed: Run) -> None:
    async def body(fx: Managed) -> None:
        for name in ("a", "b", "c"):
            await fx.begin(name, note(2), status="Completed")
        await fx.begin("long", status="ContinuedAsNew")
        await fx.step("long", started(execution_id=2), execution_id=2)
        client = fx.client
        results = [
            await client.delete_instance("a"),
            await client.delete_instance_bulk(InstanceFilter(instance_ids=["b", "c"])),
            await client.prune_executions("long", PruneOptions(keep_last=1)),
            await client.prune_executions_bulk(InstanceFilter(), PruneOptions(keep_last=1)),
        ]
        seen = fx.records.seen
        assert [record.event for record in seen] == [
            "Deleted instance",
            "Bulk deleted instances",
            "Pruned executions",
            "Bulk pruned executions",
        ]
        assert {record.level for record in seen} == {"info"}
        for record, result in zip(seen, results, strict=True):
            assert result._asdict().items() <= dict(record.fields).items(), (record, result)
        assert seen[0].fields["instance_id"] == "a" and seen[0].fields["events_deleted"] == 2
        assert seen[2].fields["executions_deleted"] == 1

    managed(body)


def test_rt_19_37_what_was_refused_leaves_no_record(managed: Run) -> None:
    async def body(fx: Managed) -> None:
        await fx.begin("live")
        await fx.begin("child", parent="live", status="Completed")
        with pytest.raises(InstanceStillRunning):
            await fx.client.delete_instance("live")
        with pytest.raises(CannotDeleteSubOrchestration):
            await fx.client.delete_instance("child")
        with pytest.raises(InstanceNotFound):
            await fx.client.delete_instance("nobody")
        with pytest.raises(ProviderError, match="Instance nobody not found"):
            await fx.client.prune_executions("nobody", PruneOptions())
        assert fx.records.seen == []

    managed(body)


def test_rt_19_37_without_an_observer_the_record_goes_to_logging(
    managed: Run, caplog: pytest.LogCaptureFixture
) -> None:
    async def body(fx: Managed) -> None:
        await fx.begin("i", status="Completed")
        with caplog.at_level("INFO", "holdfast"):
            await Client(fx.provider, clock=SystemClock()).delete_instance("i")

    managed(body)
    (record,) = [each for each in caplog.records if "Deleted instance" in each.getMessage()]
    assert record.levelname == "INFO" and record.name.startswith("holdfast.")
    assert "instances_deleted=1" in record.getMessage(), record.getMessage()


# --- texts ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["nobody", "it's", "\u00e9 %"])
def test_rt_19_19_an_unknown_id_is_a_permanent_error_with_its_text(managed: Run, name: str) -> None:
    """RT-19.19, PV-4.11: from the client and from every method of the provider that says it."""

    async def body(fx: Managed) -> None:
        calls: list[Awaitable[Any]] = [
            fx.client.get_instance_info(name),
            fx.client.prune_executions(name, PruneOptions()),
            fx.management.get_instance_info(name),
            fx.management.get_parent_id(name),
            fx.management.delete_instance(name, force=True),
        ]
        for call in calls:
            with pytest.raises(ProviderError) as raised:
                await call
            assert raised.value.message == f"Instance {name} not found"
            assert not raised.value.retryable

    managed(body)


def test_rt_19_19_the_text_does_not_depend_on_the_provider(managed: Run) -> None:
    async def body(fx: Managed) -> None:
        class Terse(ForwardingProvider):
            def as_management(self) -> Any:
                class Management:
                    async def get_instance_info(self, instance: str) -> Any:
                        raise ProviderError.permanent("get_instance_info", "row not found")

                return Management()

        with pytest.raises(ProviderError, match="get_instance_info: Instance i not found"):
            await Client(Terse(fx.provider), clock=SystemClock()).get_instance_info("i")

    managed(body)


def test_a_closed_provider_is_not_taken_for_an_unknown_instance(managed: Run) -> None:
    """RT-19.15: the provider's other errors pass through, permanent ones too."""

    async def body(fx: Managed) -> None:
        await fx.begin("i", status="Completed")
        other = fx.open()
        client = Client(other, clock=SystemClock())
        await other.close()
        calls: list[Awaitable[Any]] = [
            client.delete_instance("i"),
            client.get_instance_info("i"),
            client.get_orchestration_stats("i"),
        ]
        for call in calls:
            with pytest.raises(ProviderError, match="closed"):
                await call

    managed(body)


def test_rt_19_16_only_a_timeout_is_worth_another_try() -> None:
    """RT-19.15, RT-19.16."""
    errors = {
        WaitTimeout(): "Operation timed out",
        InvalidInput("m"): "Invalid input: m",
        ManagementNotAvailable(): (
            "Management features not available - provider doesn't implement ProviderAdmin"
        ),
        InstanceNotFound("i"): "Instance i not found",
        InstanceStillRunning("i"): "Instance i is still running. Use force=true or cancel first.",
        CannotDeleteSubOrchestration("i"): (
            "Cannot delete sub-orchestration i directly. Delete the root orchestration instead."
        ),
    }
    assert {str(error): error.retryable for error in errors} == {
        text: text == "Operation timed out" for text in errors.values()
    }
    assert {type(error) for error in errors} == set(ClientError.__subclasses__())


def test_rt_20_9_only_a_stored_flag_makes_a_failure_retryable() -> None:
    """RT-20.9, RT-20.13."""
    kind = PoisonedMessage(orchestration=PoisonOrchestration(instance="i", execution_id=1))
    poison = Poison(attempt_count=2, max_attempts=1, message_type=kind, message="")
    failures = [
        FailureDetails(infrastructure=Infrastructure(operation="o", message="m", retryable=True)),
        FailureDetails(infrastructure=Infrastructure(operation="o", message="m", retryable=False)),
        FailureDetails(configuration=Configuration()),
        application("m"),
        cancelled("r"),
        FailureDetails(poison=poison),
    ]
    assert [each.category for each in failures] == [
        *("infrastructure", "infrastructure", "configuration", "application", "application", "poison")
    ]
    assert [each.retryable for each in failures] == [True, False, False, False, False, False]


# --- starting ---------------------------------------------------------------------------------------------


def test_rt_19_5_a_typed_start_may_name_a_version(managed: Run) -> None:
    """RT-19.2, RT-19.5, RT-1.22: the version and the encoded input are sent; a bad input sends nothing."""

    async def body(fx: Managed) -> None:
        client = fx.client
        with pytest.raises(InvalidInput, match="encode failed"):
            await client.start_orchestration_versioned_typed("i", "Flow", "2.0.0", {1, 2})
        with pytest.raises(InvalidInput, match="reserved"):
            await client.start_orchestration_versioned_typed("sub::i", "Flow", "2.0.0", 1)
        await client.start_orchestration_versioned_typed("i", "Flow", "2.0.0", {"n": 1})
        await client.start_orchestration_versioned_typed("j", "Flow", "not a version", "text")
        await client.start_orchestration_typed("k", "Flow", [1])
        sent = [(await fx.turn()).item.messages[0] for _ in range(3)]
        assert sent == [
            StartOrchestration(
                instance=instance, orchestration="Flow", input=input, version=version, execution_id=1
            )
            for instance, version, input in (
                ("i", "2.0.0", '{"n":1}'),
                ("j", "not a version", "text"),
                ("k", None, "[1]"),
            )
        ]
        await fx.no_turn()

    managed(body)
