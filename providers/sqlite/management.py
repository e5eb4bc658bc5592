"""The management object on SQLite: plain queries, and deletions in one transaction (PV-19 to PV-22)."""

from __future__ import annotations

from collections.abc import Sequence

import apsw

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.events import StoredEvent
from holdfast.core.contract.management import (
    DeleteInstanceResult,
    ExecutionInfo,
    InstanceFilter,
    InstanceInfo,
    InstanceTree,
    Management,
    PruneOptions,
    PruneResult,
    QueueDepths,
    SystemMetrics,
)
from holdfast.providers.sqlite import deletion, reads
from holdfast.providers.sqlite.calls import SqliteCalls
from holdfast.providers.sqlite.database import SqlRow, Values
from holdfast.providers.sqlite.statements import statements

SQL = statements("management")


def _rows(connection: apsw.Connection, statement: str, values: Values) -> list[SqlRow]:
    return connection.execute(SQL[statement], values).fetchall()


class SqliteManagement(Management):
    """Management of a store. Made by the provider."""

    def __init__(self, calls: SqliteCalls) -> None:
        self._calls = calls

    # --- looking ------------------------------------------------------------------------------------------

    async def list_instances(self) -> list[str]:
        """Ids of all instance records, newest creation first (PV-19.1)."""
        return [row[0] for row in await self._calls.read("list_instances", _rows, "instances", {})]

    async def list_instances_by_status(self, status: str) -> list[str]:
        """Ids whose current execution has this status, newest first (PV-19.2)."""
        rows = await self._calls.read(
            "list_instances_by_status", _rows, "instances_by_status", {"status": status}
        )
        return [row[0] for row in rows]

    async def list_executions(self, instance_id: str) -> list[int]:
        """Recorded execution numbers, ascending (PV-19.3)."""
        values: Values = {"instance": instance_id}
        return [row[0] for row in await self._calls.read("list_executions", _rows, "executions", values)]

    async def latest_execution_id(self, instance_id: str) -> int:
        """The highest recorded execution number, 1 if none (PV-19.4)."""
        values: Values = {"instance": instance_id}
        rows = await self._calls.read("latest_execution_id", _rows, "executions", values)
        return int(rows[-1][0]) if rows else 1

    async def read_history(self, instance_id: str) -> list[StoredEvent]:
        """The history of the latest execution (PV-19.4)."""
        return await self._calls.read("read_history", reads.latest_history, instance_id)

    async def read_history_with_execution_id(self, instance_id: str, execution_id: int) -> list[StoredEvent]:
        """The history of one execution (PV-19.4)."""
        return await self._calls.read(
            "read_history_with_execution_id", reads.history, instance_id, execution_id
        )

    async def get_instance_info(self, instance_id: str) -> InstanceInfo:
        """An instance record. Raises ProviderError, permanent, for an unknown id (PV-19.5)."""
        operation = "get_instance_info"
        rows = await self._calls.read(operation, _rows, "instance_info", {"instance": instance_id})
        if not rows:
            raise deletion.not_found(operation, instance_id)
        identity, name, version, execution_id, status, output, created_at, updated_at, parent = rows[0]
        return InstanceInfo(
            instance_id=identity,
            orchestration_name=name,
            orchestration_version=version,
            current_execution_id=execution_id,
            status=status,
            output=output,
            created_at=created_at,
            updated_at=updated_at,
            parent_instance_id=parent,
        )

    async def get_execution_info(self, instance_id: str, execution_id: int) -> ExecutionInfo:
        """An execution record. Raises ProviderError, permanent, for an unknown one (PV-19.7)."""
        operation = "get_execution_info"
        values: Values = {"instance": instance_id, "execution": execution_id}
        rows = await self._calls.read(operation, _rows, "execution_info", values)
        if not rows:
            raise ProviderError.permanent(
                operation, f"Execution {execution_id} not found for instance {instance_id}"
            )
        number, status, output, started_at, completed_at, event_count = rows[0]
        return ExecutionInfo(
            execution_id=number,
            status=status,
            output=output,
            started_at=started_at,
            completed_at=completed_at,
            event_count=event_count,
        )

    async def get_system_metrics(self) -> SystemMetrics:
        """Counts over the whole store (PV-19.8)."""
        ((instances, executions, running, completed, failed, events),) = await self._calls.read(
            "get_system_metrics", _rows, "system_metrics", {}
        )
        return SystemMetrics(
            total_instances=instances,
            total_executions=executions,
            running_instances=running,
            completed_instances=completed,
            failed_instances=failed,
            total_events=events,
        )

    async def get_queue_depths(self) -> QueueDepths:
        """Waiting rows per queue (PV-19.9)."""
        ((messages, work),) = await self._calls.read(
            "get_queue_depths", _rows, "queue_depths", {"now": self._calls.now()}
        )
        return QueueDepths(orchestrator_queue=messages, worker_queue=work, timer_queue=0)

    async def list_children(self, instance_id: str) -> list[str]:
        """Direct children (PV-20.1)."""
        values: Values = {"instance": instance_id}
        return [row[0] for row in await self._calls.read("list_children", _rows, "children", values)]

    async def get_parent_id(self, instance_id: str) -> str | None:
        """The parent id. Raises ProviderError, permanent, for an unknown id (PV-20.2)."""
        operation = "get_parent_id"
        rows = await self._calls.read(operation, _rows, "parent", {"instance": instance_id})
        if not rows:
            raise deletion.not_found(operation, instance_id)
        parent: str | None = rows[0][0]
        return parent

    async def get_instance_tree(self, instance_id: str) -> InstanceTree:
        """The id and all its descendants (PV-20.3)."""
        rows = await self._calls.read("get_instance_tree", _rows, "tree", {"instance": instance_id})
        return InstanceTree(instance_id, tuple(row[0] for row in rows))

    # --- deleting and pruning -----------------------------------------------------------------------------

    async def delete_instance(self, instance_id: str, *, force: bool) -> DeleteInstanceResult:
        """Delete a root with its tree in one step (PV-20.9)."""
        return await self._calls.write("delete_instance", deletion.delete_tree, instance_id, force)

    async def delete_instances_atomic(self, ids: Sequence[str], *, force: bool) -> DeleteInstanceResult:
        """Delete exactly these in one step, or refuse (PV-20.4 to PV-20.8)."""
        return await self._calls.write("delete_instances_atomic", deletion.delete, ids, force)

    async def delete_instance_bulk(self, filter: InstanceFilter) -> DeleteInstanceResult:
        """Delete finished roots that the filter picks (PV-21)."""
        return await self._calls.write("delete_instance_bulk", deletion.delete_finished, filter)

    async def prune_executions(self, instance_id: str, options: PruneOptions) -> PruneResult:
        """Delete old executions of one instance (PV-22.1 to PV-22.7)."""
        return await self._calls.write("prune_executions", deletion.prune, instance_id, options)

    async def prune_executions_bulk(self, filter: InstanceFilter, options: PruneOptions) -> PruneResult:
        """Delete old executions of every instance the filter picks (PV-22.8)."""
        return await self._calls.write("prune_executions_bulk", deletion.prune_picked, filter, options)
