"""Whatever two callers may set differently is set differently in some check (PV-33.9).

`CAUGHT_BY` names, for every argument of every provider method, and every field of what is passed, checks of
which one at least fails each provider that takes one caller's value for another's.
"""

import asyncio
import inspect
from collections.abc import Iterator
from typing import Any

import pytest
from tests.providers.conformance.settings import (
    Mix,
    first,
    ignored,
    largest,
    mixed_store,
    previous,
    smallest,
)

from holdfast.core.contract import events, management, provider, work_items
from holdfast.providers.conformance import CHECKS, Factory, run_check

CAUGHT_BY = {
    "enqueue_for_orchestrator.delay": "PVC-298",
    "fetch_orchestration_item.lock_timeout": "PVC-021",
    "fetch_orchestration_item.filter": "PVC-111",
    "fetch_orchestration_item.poll_timeout": "PVC-300",
    "ack_orchestration_item.execution_id": "PVC-376",
    "ack_orchestration_item.metadata.status": "PVC-313",
    "ack_orchestration_item.metadata.output": "PVC-376",
    "ack_orchestration_item.metadata.orchestration_name": "PVC-313",
    "ack_orchestration_item.metadata.orchestration_version": "PVC-313",
    "ack_orchestration_item.metadata.parent_instance_id": "PVC-377",
    "ack_orchestration_item.metadata.pinned_duroxide_version": "PVC-112",
    "ack_orchestration_item.metadata.opened_sessions": "PVC-240 PVC-224",
    "ack_orchestration_item.metadata.cancelled_sessions": "PVC-240",
    "ack_orchestration_item.cancelled_activities": "PVC-310",
    "ack_orchestration_item.cancelled_activities.instance": "PVC-377",
    "ack_orchestration_item.cancelled_activities.execution_id": "PVC-310",
    "ack_orchestration_item.cancelled_activities.activity_id": "PVC-310",
    "ack_orchestration_item.history_delta": "PVC-376",
    "ack_orchestration_item.worker_items": "PVC-313",
    "ack_orchestration_item.orchestrator_items": "PVC-298",
    "ack_orchestration_item.worker_items.instance": "PVC-313",
    "enqueue_for_worker.item.instance": "PVC-066",
    "ack_orchestration_item.worker_items.execution_id": "PVC-310",
    "enqueue_for_worker.item.execution_id": "PVC-310",
    "ack_orchestration_item.worker_items.id": "PVC-313",
    "enqueue_for_worker.item.id": "PVC-313",
    "ack_orchestration_item.worker_items.name": "PVC-313",
    "enqueue_for_worker.item.name": "PVC-313",
    "ack_orchestration_item.worker_items.input": "PVC-313",
    "enqueue_for_worker.item.input": "PVC-313",
    "ack_orchestration_item.worker_items.session_id": "PVC-240",
    "enqueue_for_worker.item.session_id": "PVC-261",
    "ack_orchestration_item.worker_items.tag": "PVC-369",
    "enqueue_for_worker.item.tag": "PVC-369",
    "ack_orchestration_item.orchestrator_items.instance": "PVC-298",
    "ack_orchestration_item.orchestrator_items.orchestration": "PVC-313",
    "ack_orchestration_item.orchestrator_items.input": "PVC-313",
    "ack_orchestration_item.orchestrator_items.version": "PVC-313",
    "ack_orchestration_item.orchestrator_items.parent_instance": "PVC-313",
    "ack_orchestration_item.orchestrator_items.parent_id": "PVC-313",
    "ack_orchestration_item.orchestrator_items.parent_execution_id": "PVC-313",
    "ack_orchestration_item.orchestrator_items.execution_id": "PVC-313",
    "ack_orchestration_item.orchestrator_items.id": "PVC-313",
    "ack_orchestration_item.orchestrator_items.result": "PVC-313",
    "ack_orchestration_item.orchestrator_items.details": "PVC-313",
    "ack_orchestration_item.orchestrator_items.fire_at_ms": "PVC-298",
    "ack_orchestration_item.orchestrator_items.name": "PVC-313",
    "ack_orchestration_item.orchestrator_items.data": "PVC-313",
    "ack_orchestration_item.orchestrator_items.reason": "PVC-313",
    "ack_orchestration_item.orchestrator_items.carry_forward_events": "PVC-313",
    "ack_orchestration_item.orchestrator_items.initial_custom_status": "PVC-313",
    "ack_orchestration_item.orchestrator_items.open_sessions": "PVC-313",
    "enqueue_for_orchestrator.item.instance": "PVC-021",
    "enqueue_for_orchestrator.item.orchestration": "PVC-313",
    "enqueue_for_orchestrator.item.input": "PVC-313",
    "enqueue_for_orchestrator.item.version": "PVC-313",
    "enqueue_for_orchestrator.item.parent_instance": "PVC-313",
    "enqueue_for_orchestrator.item.parent_id": "PVC-313",
    "enqueue_for_orchestrator.item.parent_execution_id": "PVC-313",
    "enqueue_for_orchestrator.item.execution_id": "PVC-313",
    "enqueue_for_orchestrator.item.id": "PVC-313",
    "enqueue_for_orchestrator.item.result": "PVC-313",
    "enqueue_for_orchestrator.item.details": "PVC-313",
    "enqueue_for_orchestrator.item.fire_at_ms": "PVC-313",
    "enqueue_for_orchestrator.item.name": "PVC-313",
    "enqueue_for_orchestrator.item.data": "PVC-313",
    "enqueue_for_orchestrator.item.reason": "PVC-313",
    "enqueue_for_orchestrator.item.carry_forward_events": "PVC-313",
    "enqueue_for_orchestrator.item.initial_custom_status": "PVC-313",
    "enqueue_for_orchestrator.item.open_sessions": "PVC-313",
    "ack_work_item.completion.instance": "PVC-313",
    "ack_work_item.completion.execution_id": "PVC-313",
    "ack_work_item.completion.id": "PVC-313",
    "ack_work_item.completion.result": "PVC-313",
    "ack_work_item.completion.details": "PVC-313",
    "ack_orchestration_item.history_delta.event_id": "PVC-376",
    "ack_orchestration_item.history_delta.source_event_id": "PVC-313",
    "ack_orchestration_item.history_delta.instance_id": "PVC-313",
    "ack_orchestration_item.history_delta.execution_id": "PVC-376",
    "ack_orchestration_item.history_delta.timestamp_ms": "PVC-313",
    "ack_orchestration_item.history_delta.duroxide_version": "PVC-313",
    "ack_orchestration_item.history_delta.name": "PVC-376",
    "ack_orchestration_item.history_delta.version": "PVC-313",
    "ack_orchestration_item.history_delta.input": "PVC-313",
    "ack_orchestration_item.history_delta.parent_instance": "PVC-313",
    "ack_orchestration_item.history_delta.parent_id": "PVC-313",
    "ack_orchestration_item.history_delta.output": "PVC-313",
    "ack_orchestration_item.history_delta.details": "PVC-313",
    "ack_orchestration_item.history_delta.reason": "PVC-313",
    "ack_orchestration_item.history_delta.session_id": "PVC-313",
    "ack_orchestration_item.history_delta.tag": "PVC-313",
    "ack_orchestration_item.history_delta.fire_at_ms": "PVC-313",
    "ack_orchestration_item.history_delta.data": "PVC-376",
    "ack_orchestration_item.history_delta.result": "PVC-313",
    "ack_orchestration_item.history_delta.status": "PVC-313",
    "ack_orchestration_item.history_delta.key": "PVC-313",
    "ack_orchestration_item.history_delta.value": "PVC-313",
    "ack_orchestration_item.history_delta.last_updated_at_ms": "PVC-313",
    "ack_orchestration_item.history_delta.instance": "PVC-313",
    "ack_orchestration_item.history_delta.open_sessions": "PVC-313",
    "ack_orchestration_item.history_delta.carry_forward_events": "PVC-313",
    "ack_orchestration_item.history_delta.initial_custom_status": "PVC-313",
    "ack_orchestration_item.history_delta.parent_execution_id": "PVC-313",
    "abandon_orchestration_item.delay": "PVC-292",
    "abandon_orchestration_item.ignore_attempt": "PVC-069",
    "renew_orchestration_item_lock.extend_for": "PVC-341",
    "fetch_work_item.lock_timeout": "PVC-066",
    "fetch_work_item.poll_timeout": "PVC-300",
    "fetch_work_item.tag_filter": "PVC-369",
    "fetch_session_work_item.lock_timeout": "PVC-243",
    "fetch_session_work_item.poll_timeout": "PVC-300",
    "fetch_session_work_item.worker_id": "PVC-243",
    "fetch_session_work_item.session_lock_duration": "PVC-243",
    "fetch_session_work_item.tag_filter": "PVC-275",
    "fetch_session_work_item.claim_new": "PVC-273",
    "ack_work_item.completion": "PVC-313",
    "renew_work_item_lock.extend_for": "PVC-028",
    "renew_work_item_lock.extend_session_for": "PVC-261",
    "abandon_work_item.delay": "PVC-031",
    "abandon_work_item.ignore_attempt": "PVC-068",
    "renew_session_lock.instance_id": "PVC-219",
    "renew_session_lock.session_id": "PVC-240",
    "renew_session_lock.worker_id": "PVC-240",
    "release_session_lock.instance_id": "PVC-223",
    "release_session_lock.session_id": "PVC-240",
    "release_session_lock.worker_id": "PVC-223",
    "renew_session_lock.extend_for": "PVC-219",
    "read.instance_id": "PVC-313",
    "read_with_execution.instance_id": "PVC-376",
    "append_with_execution.instance_id": "PVC-340",
    "get_custom_status.instance_id": "PVC-377",
    "get_kv_value.instance_id": "PVC-377",
    "get_kv_all_values.instance_id": "PVC-159",
    "read_with_execution.execution_id": "PVC-376",
    "append_with_execution.execution_id": "PVC-340",
    "append_with_execution.events": "PVC-340",
    "get_custom_status.last_seen_version": "PVC-131 PVC-133",
    "get_kv_value.key": "PVC-166",
    "list_instances_by_status.status": "PVC-052",
    "list_executions.instance_id": "PVC-103",
    "latest_execution_id.instance_id": "PVC-376",
    "read_history.instance_id": "PVC-376",
    "read_history_with_execution_id.instance_id": "PVC-376",
    "get_instance_info.instance_id": "PVC-377",
    "get_execution_info.instance_id": "PVC-376",
    "list_children.instance_id": "PVC-377",
    "get_parent_id.instance_id": "PVC-095",
    "get_instance_tree.instance_id": "PVC-096",
    "delete_instance.instance_id": "PVC-088",
    "prune_executions.instance_id": "PVC-102",
    "read_history_with_execution_id.execution_id": "PVC-376",
    "get_execution_info.execution_id": "PVC-376",
    "delete_instance.force": "PVC-089",
    "delete_instances_atomic.force": "PVC-098",
    "delete_instances_atomic.ids": "PVC-377",
    "delete_instance_bulk.filter.instance_ids": "PVC-105",
    "delete_instance_bulk.filter.completed_before": "PVC-107",
    "delete_instance_bulk.filter.limit": "PVC-105",
    "prune_executions_bulk.filter.instance_ids": "PVC-103",
    "prune_executions_bulk.filter.completed_before": "PVC-103",
    "prune_executions_bulk.filter.limit": "PVC-103",
    "prune_executions.options.keep_last": "PVC-101",
    "prune_executions.options.completed_before": "PVC-329",
    "prune_executions_bulk.options.keep_last": "PVC-103",
    "prune_executions_bulk.options.completed_before": "PVC-103",
    "fetch_session_work_item.lock_timeout@worker_id": "PVC-243",
    "fetch_session_work_item.session_lock_duration@worker_id": "PVC-243",
    "fetch_session_work_item.tag_filter@worker_id": "PVC-275",
    "fetch_session_work_item.claim_new@worker_id": "PVC-273",
    "renew_session_lock.extend_for@worker_id": "PVC-219",
    "renew_session_lock.extend_for@session_id": "PVC-219",
    "renew_session_lock.extend_for@instance_id": "PVC-219 PVC-300",
    "renew_work_item_lock.extend_for@token": "PVC-028",
    "renew_work_item_lock.extend_session_for@token": "PVC-261",
    "renew_orchestration_item_lock.extend_for@token": "PVC-341",
    "get_custom_status.last_seen_version@instance_id": "PVC-131 PVC-133",
    "read_with_execution.execution_id@instance_id": "PVC-376",
    "get_execution_info.execution_id@instance_id": "PVC-376",
    "prune_executions.options@instance_id": "PVC-101",
    "get_kv_value.key@instance_id": "PVC-166",
}
"""Place to checks. `@` names an argument: for each value of it, calls are taken for each other apart."""

SWAPPED = {
    "fetch_orchestration_item.lock_timeout|poll_timeout": "PVC-021",
    "fetch_work_item.lock_timeout|poll_timeout": "PVC-066",
    "fetch_session_work_item.lock_timeout|poll_timeout": "PVC-219",
    "fetch_session_work_item.lock_timeout|session_lock_duration": "PVC-243",
    "renew_work_item_lock.extend_for|extend_session_for": "PVC-028",
    "renew_session_lock.instance_id|session_id": "PVC-219",
    "renew_session_lock.session_id|worker_id": "PVC-219",
    "renew_session_lock.instance_id|worker_id": "PVC-219",
    "release_session_lock.instance_id|session_id": "PVC-223",
    "release_session_lock.session_id|worker_id": "PVC-223",
    "release_session_lock.instance_id|worker_id": "PVC-223",
    "get_kv_value.instance_id|key": "PVC-377",
}
"""Two arguments of one call, each taken for the other."""

NUMBERS = (
    *("delay", "lock_timeout", "poll_timeout", "extend_for", "extend_session_for", "session_lock_duration"),
    *("execution_id", "activity_id", "last_seen_version"),
)
IGNORED: dict[str, tuple[Any, ...]] = {
    "lock_timeout": (5_000,),
    "poll_timeout": (0,),
    "delay": (None,),
    "extend_for": (5_000, 30_000),
    "extend_session_for": (None, 30_000),
    "session_lock_duration": (30_000,),
    "ignore_attempt": (True, False),
    "claim_new": (True, False),
    "force": (True, False),
    "limit": (None,),
    "completed_before": (None,),
    "instance_ids": (None,),
    "keep_last": (None,),
    "last_seen_version": (0,),
    "output": (None,),
    "pinned_duroxide_version": (None,),
    "parent_instance_id": (None,),
    "opened_sessions": ((),),
    "cancelled_sessions": ((),),
    "cancelled_activities": ((),),
}
"""Providers that ignore a setting and use what is common instead."""


def mixes(place: str) -> Iterator[tuple[str, Mix]]:
    """The ways to get this setting wrong."""
    yield "first", first
    yield "previous", previous
    name = place.partition("@")[0].rpartition(".")[2]
    if name in NUMBERS and place.count(".") == 1:
        if name != "extend_session_for" or "@" not in place:  # a session is never shortened
            yield "largest", largest
        yield "smallest", smallest
    if "@" not in place:
        for value in IGNORED.get(name, ()):
            yield f"always {value!r}", ignored(value)


def holds(place: str, mix: Mix, id: str) -> bool:
    factory = Factory(create=mixed_store(place, mix), long_polling=True, rounds=2)
    return asyncio.run(run_check(factory, CHECKS[id])).outcome == "held"


@pytest.mark.parametrize("place", CAUGHT_BY)
def test_pv_33_9_one_callers_setting_is_not_anothers(place: str) -> None:
    """PV-33.9: the first caller's value for all, the one before, the largest, the smallest, a fixed one."""
    for name, mix in mixes(place):
        assert not all(holds(place, mix, id) for id in CAUGHT_BY[place].split()), (place, name)


@pytest.mark.parametrize("place", SWAPPED)
def test_pv_33_9_two_settings_of_one_call_are_not_exchanged(place: str) -> None:
    """PV-33.9: an item's time for its session's, an instance for a session."""
    assert not all(holds(place, first, id) for id in SWAPPED[place].split()), place


LEFT_OUT = {
    "token": "a token is made by the store; a stale one is refused, which many checks show",
    "append_with_execution": "its events are those of `history_delta`",
}


def test_every_argument_of_every_method_is_in_the_table() -> None:
    """A new argument needs a check that tells its callers apart."""
    for contract in (provider.Provider, management.Management):
        for name, method in inspect.getmembers(contract, inspect.iscoroutinefunction):
            for argument in list(inspect.signature(method).parameters)[1:]:
                place = f"{name}.{argument}"
                known = any(f"{each}.".startswith(f"{place}.") for each in CAUGHT_BY)
                assert known or argument in LEFT_OUT, place


def test_every_field_of_what_is_passed_is_in_the_table() -> None:
    """Conclusions, activities, messages, events, filters and options."""
    fields = {
        "ack_orchestration_item.metadata": [provider.ExecutionMetadata],
        "ack_orchestration_item.cancelled_activities": [provider.ScheduledActivityIdentifier],
        "ack_orchestration_item.worker_items": [work_items.ActivityExecute],
        "enqueue_for_worker.item": [work_items.ActivityExecute],
        "ack_orchestration_item.orchestrator_items": work_items.MESSAGE_KINDS,
        "enqueue_for_orchestrator.item": work_items.MESSAGE_KINDS,
        "ack_orchestration_item.history_delta": events.KNOWN_KINDS,
        "delete_instance_bulk.filter": [management.InstanceFilter],
        "prune_executions_bulk.filter": [management.InstanceFilter],
        "prune_executions.options": [management.PruneOptions],
        "prune_executions_bulk.options": [management.PruneOptions],
    }
    for place, kinds in fields.items():
        for kind in kinds:
            for field in inspect.get_annotations(kind) or kind.__annotations__:
                assert f"{place}.{field}" in CAUGHT_BY, (place, field)
