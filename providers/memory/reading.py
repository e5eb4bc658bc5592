"""Reads of histories and records (PV-5.13 to PV-5.15, PV-16.5, PV-19)."""

from __future__ import annotations

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.events import StoredEvent
from holdfast.core.contract.ids import Millis
from holdfast.core.contract.management import ExecutionInfo, InstanceInfo, QueueDepths, SystemMetrics
from holdfast.core.contract.provider import CustomStatus, reported_version
from holdfast.providers.memory.tables import InstanceRecord, Tables


def history(tables: Tables, operation: str, instance: str, execution_id: int) -> list[StoredEvent]:
    """The events of one execution. Raises if they are damaged: skipping is forbidden (PV-5.15)."""
    stored = tables.histories.get(instance, {}).get(execution_id)
    if stored is None:
        return []
    if stored.damaged:
        raise ProviderError.permanent(
            operation, f"history of {instance} execution {execution_id} cannot be decoded"
        )
    return list(stored.events)


def latest_history(tables: Tables, operation: str, instance: str) -> list[StoredEvent]:
    """The events of the highest recorded execution (PV-5.14)."""
    return history(tables, operation, instance, tables.latest_execution(instance))


def custom_status(tables: Tables, instance: str, last_seen_version: int) -> CustomStatus | None:
    """The custom status if its version is higher than the one seen (PV-16.5)."""
    record = tables.instances.get(instance)
    if record is None or record.custom_status_version <= last_seen_version:
        return None
    return CustomStatus(record.custom_status, record.custom_status_version)


def not_found(operation: str, instance: str) -> ProviderError:
    """The error for an unknown instance (PV-4.11)."""
    return ProviderError.permanent(operation, f"Instance {instance} not found")


def record_of(tables: Tables, operation: str, instance: str) -> InstanceRecord:
    """The instance record. Raises if there is none."""
    record = tables.instances.get(instance)
    if record is None:
        raise not_found(operation, instance)
    return record


def instances(tables: Tables, status: str | None) -> list[str]:
    """Ids, newest creation first; of one status, if one is given (PV-19.1, PV-19.2)."""
    newest_first = sorted(
        reversed(tables.instances), key=lambda instance: -tables.instances[instance].created_at
    )
    return [name for name in newest_first if status is None or tables.status(name) == status]


def instance_info(tables: Tables, operation: str, instance: str) -> InstanceInfo:
    """PV-19.5."""
    record = record_of(tables, operation, instance)
    execution = tables.current_execution(instance)
    return InstanceInfo(
        instance_id=instance,
        orchestration_name=record.name,
        orchestration_version=reported_version(record.version),
        current_execution_id=record.current_execution_id,
        status="Unknown" if execution is None else execution.status,
        output=None if execution is None else execution.output,
        created_at=record.created_at,
        updated_at=record.updated_at,
        parent_instance_id=record.parent,
    )


def execution_info(tables: Tables, operation: str, instance: str, execution_id: int) -> ExecutionInfo:
    """PV-19.7."""
    record = tables.executions.get(instance, {}).get(execution_id)
    if record is None:
        raise ProviderError.permanent(
            operation, f"Execution {execution_id} not found for instance {instance}"
        )
    stored = tables.histories.get(instance, {}).get(execution_id)
    return ExecutionInfo(
        execution_id=execution_id,
        status=record.status,
        output=record.output,
        started_at=record.started_at,
        completed_at=record.completed_at,
        event_count=0 if stored is None else len(stored.events),
    )


def metrics(tables: Tables) -> SystemMetrics:
    """PV-19.8."""
    statuses = [tables.status(instance) for instance in tables.instances]
    return SystemMetrics(
        total_instances=len(tables.instances),
        total_executions=sum(map(len, tables.executions.values())),
        running_instances=statuses.count("Running"),
        completed_instances=statuses.count("Completed"),
        failed_instances=statuses.count("Failed"),
        total_events=tables.event_count(),
    )


def queue_depths(tables: Tables, now: Millis) -> QueueDepths:
    """Rows that no live lock holds, visible or not; rows set aside do not wait (PV-19.9)."""
    waiting = 0
    for row in tables.messages.rows():
        lock = None if row.token is None else tables.lock_of_token.get(row.token)
        waiting += lock is None or lock.locked_until <= now
    items = sum(not row.set_aside and row.locked_until <= now for row in tables.work.by_seq.values())
    return QueueDepths(orchestrator_queue=waiting, worker_queue=items, timer_queue=0)
