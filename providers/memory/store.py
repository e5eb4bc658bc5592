"""MemoryStore: one isolated store, opened by any number of processes of one Python process (PV-29.1)."""

from __future__ import annotations

from typing import Literal, get_args

import msgspec

from holdfast.core.contract.clock import IdSource, ProviderClock
from holdfast.core.contract.codec import decode_activity, decode_stored_event, encode_event, encode_work_item
from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.events import kind_of
from holdfast.core.contract.observe import Observer
from holdfast.core.contract.store import InspectableStore, SessionRecord, TableShape, WorkerRow
from holdfast.core.contract.work_items import ActivityExecute
from holdfast.providers.memory.calls import MemoryCalls
from holdfast.providers.memory.provider import MemoryProvider
from holdfast.providers.memory.tables import DAMAGED, SessionRow, WorkRow


def memory_store(clock: ProviderClock, ids: IdSource, *, long_polling: bool = True) -> MemoryStore:
    """The provider factory: an empty store on this clock. Short-polling providers never wait (PV-23.2)."""
    return MemoryStore(clock, ids, long_polling=long_polling)


class MemoryStore(InspectableStore):
    """A store and its inspection hooks (PV-33.2)."""

    def __init__(self, clock: ProviderClock, ids: IdSource, *, long_polling: bool = True) -> None:
        self._calls = MemoryCalls(clock, ids)
        self._tables = self._calls.tables
        self._long_polling = long_polling

    def open(self, observer: Observer | None = None) -> MemoryProvider:
        """A provider for a newly started process. Raises ProviderError if the store is closed."""
        if self._calls.closed:
            raise ProviderError.permanent("open", "the store is closed; make another one")
        return MemoryProvider(self._calls, observer, long_polling=self._long_polling)

    def close(self) -> None:
        """End the store; every later call on it raises."""
        self._calls.close()

    # --- inspection hooks ---------------------------------------------------------------------------------

    def session_records(self) -> list[SessionRecord]:
        """All session rows, ordered by (instance, session id)."""
        records = [
            SessionRecord(instance, session_id, row.worker_id, row.locked_until)
            for instance, rows in self._tables.sessions.items()
            for session_id, row in rows.items()
        ]
        records.sort()
        return records

    def worker_rows(self) -> list[WorkerRow]:
        """All worker-queue rows, ordered by seq."""
        return [
            WorkerRow(
                seq=row.seq,
                item=row.item if isinstance(row.item, ActivityExecute) else None,
                session_id=row.session_id,
                token=row.token,
                locked_until=row.locked_until if row.token is not None else None,
                visible_from=row.visible_from,
                attempt_count=row.attempt_count,
                claimed_by=row.claimed_by,
            )
            for row in self._tables.work.by_seq.values()
        ]

    def max_attempt_count(self, instance_id: str) -> int:
        """The highest attempt count among the instance's orchestrator messages; 0 if none."""
        rows = self._tables.messages.of_instance.get(instance_id, {})
        return max((row.attempt_count for row in rows.values()), default=0)

    def raw_counts(self) -> dict[str, int]:
        """Number of records per table."""
        tables = self._tables
        return {
            "instances": len(tables.instances),
            "executions": sum(map(len, tables.executions.values())),
            "history": tables.event_count(),
            "orchestrator_queue": sum(1 for _ in tables.messages.rows()),
            "worker_queue": len(tables.work.by_seq),
            "instance_locks": len(tables.locks),
            "sessions": sum(map(len, tables.sessions.values())),
            "kv_store": sum(map(len, tables.settled.values())),
            "kv_delta": sum(map(len, tables.changes.values())),
        }

    def table_shapes(self) -> dict[str, TableShape]:
        """The fields of the records, and the keys of the dicts that they are in."""
        return {
            "sessions": _shape(SessionRow, ("instance_id", "session_id")),
            "worker_queue": _shape(WorkRow, ("seq",)),
        }

    def event_types(self, instance_id: str) -> list[str]:
        """The type names of the instance's events: an event is kept whole, and so is its type."""
        executions = self._tables.histories.get(instance_id, {})
        return [kind_of(event) for execution in sorted(executions) for event in executions[execution].events]

    def age(self) -> None:
        """Rewrite everything in its stored form; without sessions, that is the form from before them."""
        tables = self._tables
        tables.sessions.clear()
        for row in tables.work.by_seq.values():
            row.session_id = row.claimed_by = None
            if isinstance(row.item, ActivityExecute):
                row.item = decode_activity(encode_work_item(row.item))
        for executions in tables.histories.values():
            for history in executions.values():
                history.events = [decode_stored_event(encode_event(event)) for event in history.events]
        tables.ready_work.rebuild(self._calls.clock())

    def corrupt_instance_history(self, instance_id: str) -> None:
        """Make the stored events of the instance undecodable."""
        for history in self._tables.histories.get(instance_id, {}).values():
            history.damaged = True

    def corrupt_message(self, instance_id: str) -> None:
        """Make the oldest orchestrator message of the instance undecodable."""
        rows = self._tables.messages.of_instance[instance_id]
        rows[min(rows)].message = DAMAGED

    def corrupt_worker_row(self, instance_id: str) -> None:
        """Make the oldest worker item of the instance undecodable."""
        self._tables.work.of_instance(instance_id)[0].item = DAMAGED

    def break_calls(self, operation: str, *, change: int = 1, times: int = 1, retryable: bool = True) -> None:
        """Make the next calls of an operation fail midway, at their `change`-th change."""
        self._calls.breakage.arm(operation, change, times, retryable)


def _shape(record: type[msgspec.Struct], key: tuple[str, ...]) -> TableShape:
    columns: dict[str, Literal["text", "integer", "other"]] = {}
    nullable = []
    if key[0] not in record.__struct_fields__:
        columns.update(dict.fromkeys(key, "text"))
    for field in msgspec.structs.fields(record):
        kinds = get_args(field.type) or (field.type,)
        columns[field.name] = "text" if str in kinds else "integer" if int in kinds else "other"
        if type(None) in kinds:
            nullable.append(field.name)
    return TableShape(columns, frozenset(nullable), key, None)
