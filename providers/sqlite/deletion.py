"""Deleting and pruning, each decided and done in one transaction (PV-20 to PV-22)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from holdfast.core.contract.codec import decode_message
from holdfast.core.contract.errors import CodecError, ProviderError
from holdfast.core.contract.management import DeleteInstanceResult, InstanceFilter, PruneOptions, PruneResult
from holdfast.core.contract.work_items import StartOrchestration
from holdfast.providers import arguments
from holdfast.providers.sqlite.database import Transaction
from holdfast.providers.sqlite.statements import statements
from holdfast.providers.waiting import BOTH

SQL = statements("management")

BULK_LIMIT: Final = 1_000
"""How many instances a bulk call handles by default (PV-21.4, PV-22.8)."""

_LIVE: Final = frozenset({"Running", "ContinuedAsNew"})


def not_found(operation: str, instance_id: str) -> ProviderError:
    """The error for an unknown instance (PV-4.11)."""
    return ProviderError.permanent(operation, f"Instance {instance_id} not found")


def tree(transaction: Transaction, instance_id: str) -> list[str]:
    """The instance and its descendants."""
    return [str(each) for (each,) in transaction.all(SQL["tree"], {"instance": instance_id})]


def delete_tree(transaction: Transaction, instance_id: str, force: bool) -> DeleteInstanceResult:
    """Delete a root with its descendants (PV-20.9)."""
    row = transaction.one(SQL["parent"], {"instance": instance_id})
    if row is None:
        raise not_found(transaction.operation, instance_id)
    parent, parent_exists = row
    if parent_exists:
        raise transaction.refuse(
            f"{instance_id!r} is a sub-orchestration of {parent!r} and cannot be deleted alone; "
            "delete the root instead"
        )
    return delete(transaction, tree(transaction, instance_id), force)


def delete(transaction: Transaction, ids: Sequence[str], force: bool) -> DeleteInstanceResult:
    """Delete exactly these instances, or refuse and delete nothing (PV-20.4 to PV-20.8)."""
    transaction.wake(BOTH)
    listed = dict.fromkeys(each for each in ids if _status(transaction, each) is not None)
    for instance_id in listed:
        if not force and _status(transaction, instance_id) in _LIVE:
            raise transaction.refuse(
                f"instance {instance_id!r} is still running; cancel it first or use force"
            )
        for (child,) in transaction.all(SQL["children"], {"instance": instance_id}):
            if child not in listed:
                raise transaction.refuse(
                    f"{instance_id!r} has a child {child!r} that is not to be deleted; name it as well"
                )
    instances = executions = events = messages = 0
    for instance_id in listed:
        values = {"instance": instance_id}
        messages += transaction.change(SQL["delete_messages"], values)
        messages += transaction.change(SQL["delete_work"], values)
        events += transaction.change(SQL["delete_history"], values)
        executions += transaction.change(SQL["delete_executions"], values)
        instances += transaction.change(SQL["delete_instance"], values)
        for name in ("delete_lock", "delete_sessions", "delete_settled_keys", "delete_changed_keys"):
            transaction.execute(SQL[name], values)
    messages += _delete_unborn_children(transaction, listed)
    return DeleteInstanceResult(instances, executions, events, messages)


def _status(transaction: Transaction, instance_id: str) -> str | None:
    """The status of an instance's current execution; None for an instance without a record."""
    row = transaction.one(SQL["current_status"], {"instance": instance_id})
    return None if row is None else row[0]


def _delete_unborn_children(transaction: Transaction, parents: dict[str, None]) -> int:
    """Delete start messages of children whose parent is deleted; returns how many (PV-20.14)."""
    deleted = 0
    if not parents:
        return deleted
    for message_id, text in transaction.all(SQL["waiting_starts"], {}):
        try:
            message = decode_message(text)
        except CodecError:
            continue
        if isinstance(message, StartOrchestration) and message.parent_instance in parents:
            deleted += transaction.change(SQL["delete_message"], {"id": message_id})
    return deleted


def delete_finished(transaction: Transaction, chosen: InstanceFilter) -> DeleteInstanceResult:
    """Delete finished roots with their trees; one with a live descendant is skipped (PV-21)."""
    limit = _limit(transaction, chosen)
    total = DeleteInstanceResult(0, 0, 0, 0)
    roots = _picked(transaction, "finished_roots", chosen)
    treated = 0
    for root in roots:
        if treated >= limit:
            break
        members = tree(transaction, root)
        if any(_status(transaction, member) in _LIVE for member in members):
            continue
        result = delete(transaction, members, force=False)
        treated += 1
        total = DeleteInstanceResult(*(old + new for old, new in zip(total, result, strict=True)))
    return total


def _limit(transaction: Transaction, chosen: InstanceFilter) -> int:
    if chosen.limit is None:
        return BULK_LIMIT
    return arguments.number(transaction.operation, "limit", chosen.limit)


def _picked(transaction: Transaction, query: str, chosen: InstanceFilter) -> list[str]:
    """The instances of a query that are also among those named, if any are."""
    rows = transaction.all(SQL[query], {"completed_before": chosen.completed_before})
    if chosen.instance_ids is None:
        return [str(each) for (each,) in rows]
    named = frozenset(chosen.instance_ids)
    return [str(each) for (each,) in rows if each in named]


def prune(transaction: Transaction, instance_id: str, options: PruneOptions) -> PruneResult:
    """Delete old executions of one instance (PV-22.1 to PV-22.6)."""
    if _status(transaction, instance_id) is None:
        raise not_found(transaction.operation, instance_id)
    rows = transaction.all(
        SQL["old_executions"],
        {
            "instance": instance_id,
            "completed_before": options.completed_before,
            "keep": max(options.keep_last or 1, 1),
        },
    )
    doomed = [{"instance": instance_id, "execution": execution_id} for (execution_id,) in rows]
    events = transaction.many(SQL["delete_execution_history"], doomed)
    executions = transaction.many(SQL["delete_execution"], doomed)
    return PruneResult(1, executions, events)


def prune_picked(transaction: Transaction, chosen: InstanceFilter, options: PruneOptions) -> PruneResult:
    """Delete old executions of every instance the filter picks (PV-22.8)."""
    total = PruneResult(0, 0, 0)
    for instance_id in _picked(transaction, "prunable_instances", chosen)[: _limit(transaction, chosen)]:
        result = prune(transaction, instance_id, options)
        total = PruneResult(*(old + new for old, new in zip(total, result, strict=True)))
    return total
