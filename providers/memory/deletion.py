"""Deleting instances and pruning old executions, each call in one step (PV-20 to PV-22)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import Millis
from holdfast.core.contract.management import DeleteInstanceResult, InstanceFilter, PruneOptions, PruneResult
from holdfast.core.contract.work_items import StartOrchestration
from holdfast.providers import arguments
from holdfast.providers.memory.reading import not_found, record_of
from holdfast.providers.memory.tables import Tables

BULK_LIMIT: Final = 1_000
"""How many instances a bulk call handles by default (PV-21.4, PV-22.8)."""

_LIVE: Final = frozenset({"Running", "ContinuedAsNew"})


def children(tables: Tables, instance: str) -> list[str]:
    """Direct children, in order of creation (PV-20.1)."""
    return [name for name, record in tables.instances.items() if record.parent == instance]


def tree(tables: Tables, instance: str) -> list[str]:
    """The instance and all descendants, each once, also on circular links (PV-20.3)."""
    found = {instance: None}
    queue = [instance]
    while queue:
        for child in children(tables, queue.pop()):
            if child not in found:
                found[child] = None
                queue.append(child)
    return list(found)


def delete_tree(tables: Tables, now: Millis, instance: str, force: bool) -> DeleteInstanceResult:
    """Delete a root with its descendants (PV-20.9, PV-20.10)."""
    operation = "delete_instance"
    parent = record_of(tables, operation, instance).parent
    if parent is not None and parent in tables.instances:
        raise ProviderError.permanent(
            operation,
            f"{instance!r} is a sub-orchestration of {parent!r} and cannot be deleted alone; "
            "delete the root instead",
        )
    return delete(tables, now, operation, tree(tables, instance), force)


def delete(
    tables: Tables, now: Millis, operation: str, ids: Sequence[str], force: bool
) -> DeleteInstanceResult:
    """Delete exactly these instances, or refuse and delete nothing (PV-20.4 to PV-20.8)."""
    listed = [each for each in dict.fromkeys(ids) if each in tables.instances]
    for instance in listed:
        if not force and tables.status(instance) in _LIVE:
            raise ProviderError.permanent(
                operation, f"instance {instance!r} is still running; cancel it first or use force"
            )
        for child in children(tables, instance):
            if child not in listed:
                raise ProviderError.permanent(
                    operation,
                    f"{instance!r} has a child {child!r} that is not to be deleted; name it as well",
                )
    total = DeleteInstanceResult(0, 0, 0, 0)
    for instance in listed:
        total = _sum(total, _remove(tables, instance))
    unborn = _remove_unborn_children(tables, listed)
    return total._replace(queue_messages_deleted=total.queue_messages_deleted + unborn)


def _remove(tables: Tables, instance: str) -> DeleteInstanceResult:
    """Everything stored for one instance."""
    lock = tables.locks.get(instance)
    if lock is not None:
        tables.unlock_instance(lock)
    items = tables.work.of_instance(instance)
    for row in items:
        tables.work.remove(row)
    messages = tables.messages.remove_instance(instance)
    histories = tables.histories.get(instance, {})
    executions = tables.executions.get(instance, {})
    tables.forget(tables.instances, instance)
    tables.forget(tables.histories, instance)
    tables.forget(tables.executions, instance)
    tables.forget(tables.held_until, instance)
    tables.forget(tables.sessions, instance)
    tables.forget(tables.settled, instance)
    tables.forget(tables.changes, instance)
    events = sum(len(history.events) for history in histories.values())
    return DeleteInstanceResult(1, len(executions), events, messages + len(items))


def _remove_unborn_children(tables: Tables, parents: Sequence[str]) -> int:
    """Delete start messages of children whose parent is deleted; returns how many (PV-20.14)."""
    unborn = [
        row
        for row in tables.messages.rows()
        if isinstance(row.message, StartOrchestration) and row.message.parent_instance in parents
    ]
    for row in unborn:
        tables.messages.remove(row)
    return len(unborn)


def delete_finished(tables: Tables, now: Millis, chosen: InstanceFilter) -> DeleteInstanceResult:
    """Delete finished roots with their trees; one with a live descendant is skipped (PV-21)."""
    operation = "delete_instance_bulk"
    limit = _limit(operation, chosen)
    total = DeleteInstanceResult(0, 0, 0, 0)
    treated = 0
    for root in _finished_roots(tables, chosen):
        if treated >= limit:
            break
        members = tree(tables, root)
        if not any(tables.status(member) in _LIVE for member in members):
            total = _sum(total, delete(tables, now, operation, members, force=False))
            treated += 1
    return total


def _finished_roots(tables: Tables, chosen: InstanceFilter) -> list[str]:
    """Finished roots, by ascending completion time, then id (PV-21.4)."""
    roots: list[tuple[int, str]] = []
    for instance in _named(tables, chosen):
        record, execution = tables.instances[instance], tables.current_execution(instance)
        is_root = record.parent is None or record.parent not in tables.instances
        if is_root and execution is not None and execution.status in ("Completed", "Failed"):
            assert execution.completed_at is not None, f"{instance} is finished: it has a completion time"
            if chosen.completed_before is None or execution.completed_at < chosen.completed_before:
                roots.append((execution.completed_at, instance))
    return [instance for _, instance in sorted(roots)]


def prune(tables: Tables, now: Millis, operation: str, instance: str, options: PruneOptions) -> PruneResult:
    """Delete old executions of one instance (PV-22.1 to PV-22.7)."""
    if instance not in tables.instances:
        raise not_found(operation, instance)
    current = tables.instances[instance].current_execution_id
    executions = tables.executions.get(instance, {})
    kept = frozenset(sorted(executions, reverse=True)[: max(options.keep_last or 1, 1)])
    removed = events = 0
    for number, record in list(executions.items()):
        if number == current or number in kept or record.status == "Running":
            continue
        before = options.completed_before
        if before is not None and (record.completed_at is None or record.completed_at >= before):
            continue
        tables.journal.remove(executions, number)
        removed += 1
        histories = tables.histories.get(instance, {})
        if number in histories:
            events += len(histories[number].events)
            tables.journal.remove(histories, number)
    return PruneResult(1, removed, events)


def prune_picked(tables: Tables, now: Millis, chosen: InstanceFilter, options: PruneOptions) -> PruneResult:
    """Delete old executions of every instance the filter picks (PV-22.8)."""
    operation = "prune_executions_bulk"
    total = PruneResult(0, 0, 0)
    picked = [instance for instance in _named(tables, chosen) if _ended_before(tables, instance, chosen)]
    for instance in picked[: _limit(operation, chosen)]:
        result = prune(tables, now, operation, instance, options)
        total = PruneResult(*(old + new for old, new in zip(total, result, strict=True)))
    return total


def _ended_before(tables: Tables, instance: str, chosen: InstanceFilter) -> bool:
    if chosen.completed_before is None:
        return True
    execution = tables.current_execution(instance)
    ended = None if execution is None else execution.completed_at
    return ended is not None and ended < chosen.completed_before


def _named(tables: Tables, chosen: InstanceFilter) -> Iterable[str]:
    """The instances a filter names, in order of creation; all if it names none (PV-21.2)."""
    if chosen.instance_ids is None:
        return list(tables.instances)
    named = frozenset(chosen.instance_ids)
    return [instance for instance in tables.instances if instance in named]


def _limit(operation: str, chosen: InstanceFilter) -> int:
    return BULK_LIMIT if chosen.limit is None else arguments.number(operation, "limit", chosen.limit)


def _sum(one: DeleteInstanceResult, other: DeleteInstanceResult) -> DeleteInstanceResult:
    return DeleteInstanceResult(*(old + new for old, new in zip(one, other, strict=True)))
