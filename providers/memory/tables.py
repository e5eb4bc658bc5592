"""What an in-memory store holds: records and the look-ups that keep fetches from scanning (PV-2).

Events, messages and items are frozen, so storing the object is storing a copy (PV-29.2). `DAMAGED` stands for
damaged text, which only the inspection hooks produce.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, TypeVar

import msgspec

from holdfast.core.contract.events import StoredEvent
from holdfast.core.contract.ids import LockToken
from holdfast.core.contract.provider import KvEntry, ScheduledActivityIdentifier, Version
from holdfast.core.contract.work_items import ActivityExecute, Message
from holdfast.providers.memory.journal import Journal
from holdfast.providers.memory.ready import ReadyMessages, ReadyWork

_K = TypeVar("_K")
_V = TypeVar("_V")


class Damage(Enum):
    """Stands for stored text that cannot be decoded."""

    DAMAGED = "not JSON"


DAMAGED: Final = Damage.DAMAGED


class InstanceRecord(msgspec.Struct):
    """PV-2.1."""

    name: str
    version: str | None
    current_execution_id: int
    parent: str | None
    created_at: int
    updated_at: int
    custom_status: str | None = None
    custom_status_version: int = 0


class ExecutionRecord(msgspec.Struct):
    """PV-2.2."""

    started_at: int
    status: str = "Running"
    output: str | None = None
    completed_at: int | None = None
    pinned: Version | None = None


class History:
    """The events of one execution, by ascending number, each number once (PV-2.3)."""

    __slots__ = ("damaged", "events")

    def __init__(self) -> None:
        self.events: list[StoredEvent] = []
        self.damaged = False

    def __contains__(self, event_id: int) -> bool:
        if not self.events or event_id > self.events[-1].event_id:
            return False
        at = bisect_left(self.events, event_id, key=_number)
        return at < len(self.events) and self.events[at].event_id == event_id

    def append(self, event: StoredEvent) -> None:
        """Store one event, at its place; the common place is the end."""
        assert event.event_id not in self, f"event {event.event_id} is stored already: never overwritten"
        if not self.events or event.event_id > self.events[-1].event_id:
            self.events.append(event)
        else:
            insort(self.events, event, key=_number)

    def take_back(self, event: StoredEvent) -> None:
        """Undo `append`; does nothing if the event was not stored yet."""
        if event.event_id in self:
            del self.events[bisect_left(self.events, event.event_id, key=_number)]


def _number(event: StoredEvent) -> int:
    return event.event_id


class MessageRow(msgspec.Struct):
    """PV-2.4. Marked by `token` while a batch that holds it is out."""

    seq: int
    instance: str
    message: Message | Damage
    visible_from: int
    token: LockToken | None = None
    attempt_count: int = 0


class WorkRow(msgspec.Struct):
    """PV-2.5. The identity and session are copies of the item's, filled on every enqueue path (PV-24.22)."""

    seq: int
    item: ActivityExecute | Damage
    identity: ScheduledActivityIdentifier
    session_id: str | None
    tag: str | None
    visible_from: int
    token: LockToken | None = None
    locked_until: int = 0
    attempt_count: int = 0
    claimed_by: str | None = None
    set_aside: bool = False


class InstanceLock(msgspec.Struct):
    """PV-2.6, with the messages its token marks."""

    instance: str
    token: LockToken
    locked_until: int
    batch: list[MessageRow]

    def marked(self) -> list[MessageRow]:
        """What is left of the batch: a deleted parent may have taken a message with it (PV-20.14)."""
        return [row for row in self.batch if row.token == self.token]


class SessionRow(msgspec.Struct):
    """PV-2.7: worker and expiry are both set or both unset (SS-10.2)."""

    worker_id: str | None = None
    locked_until: int | None = None

    def is_live(self, now: int) -> bool:
        """Whether a worker is attached; at the expiry itself none is (PV-3.5)."""
        assert (self.worker_id is None) == (self.locked_until is None), f"half a lock: {self}"
        return self.locked_until is not None and self.locked_until > now


class MessageTable:
    """The orchestrator queue: by instance in order of arrival, and over all by (visible from, seq)."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.of_instance: dict[str, dict[int, MessageRow]] = {}
        self._by_time: list[tuple[int, int, str]] = []
        self._last_seq = 0
        self.touched: list[tuple[int, int, str]] = []  # for `ReadyMessages`

    def put(self, instance: str, message: Message, visible_from: int) -> None:
        """Append a row, unmarked, never tried (PV-6.1)."""
        self._last_seq += 1
        row = MessageRow(self._last_seq, instance, message, visible_from)
        rows = self.of_instance.get(instance)
        if rows is None:
            self._journal.put(self.of_instance, instance, {row.seq: row})
        else:
            self._journal.put(rows, row.seq, row)
        self._note_time(row)

    def remove(self, row: MessageRow) -> None:
        """Take a row out for good."""
        rows = self.of_instance[row.instance]
        self._journal.remove(rows, row.seq)
        if not rows:
            self._journal.remove(self.of_instance, row.instance)
        self._journal.keep(row)
        row.token = None
        self._forget_time(row)

    def move(self, row: MessageRow, visible_from: int) -> None:
        """Change when a row becomes visible; its rank within the instance stays."""
        self._forget_time(row)
        self._journal.keep(row)
        row.visible_from = visible_from
        self._note_time(row)

    def remove_instance(self, instance: str) -> int:
        """Remove all rows of an instance; returns how many."""
        rows = list(self.of_instance.get(instance, {}).values())
        for row in rows:
            self.remove(row)
        return len(rows)

    def visible_rows(self, instance: str, now: int) -> list[MessageRow]:
        """The visible messages of an instance in order of arrival (PV-7.7)."""
        return [row for row in self.of_instance.get(instance, {}).values() if row.visible_from <= now]

    def rows(self) -> Iterator[MessageRow]:
        """All rows, grouped by instance."""
        for rows in self.of_instance.values():
            yield from rows.values()

    def next_visible_after(self, now: int) -> int | None:
        """The next time a hidden row becomes visible."""
        at = bisect_left(self._by_time, (now + 1,))
        return self._by_time[at][0] if at < len(self._by_time) else None

    def _note_time(self, row: MessageRow) -> None:
        entry = (row.visible_from, row.seq, row.instance)
        self._journal.undo(self._take_out, entry)
        insort(self._by_time, entry)
        self.touched.append(entry)

    def _forget_time(self, row: MessageRow) -> None:
        entry = (row.visible_from, row.seq, row.instance)
        at = bisect_left(self._by_time, entry)
        assert self._by_time[at][1] == row.seq, f"message {row.seq} is not where its time says"
        self._journal.undo(self._put_in, entry)
        del self._by_time[at]

    def _take_out(self, entry: tuple[int, int, str]) -> None:
        if entry in self._by_time:
            self._by_time.remove(entry)

    def _put_in(self, entry: tuple[int, int, str]) -> None:
        if entry not in self._by_time:
            insort(self._by_time, entry)
            self.touched.append(entry)


class WorkTable:
    """The worker queue: by sequence number, by token, and by instance."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.by_seq: dict[int, WorkRow] = {}
        self.by_token: dict[LockToken, WorkRow] = {}
        self._of_instance: dict[str, dict[int, WorkRow]] = {}
        self._last_seq = 0
        self.touched: list[WorkRow] = []  # for `ReadyWork`

    def put(self, item: ActivityExecute, now: int) -> None:
        """Append a row, unlocked, never tried, with every look-up copy filled (PV-10.1, PV-8.9)."""
        self._last_seq += 1
        identity = ScheduledActivityIdentifier(item.instance, item.execution_id, item.id)
        row = WorkRow(self._last_seq, item, identity, item.session_id, item.tag, now)
        self._journal.put(self.by_seq, row.seq, row)
        self.touched.append(row)
        rows = self._of_instance.get(item.instance)
        if rows is None:
            self._journal.put(self._of_instance, item.instance, {row.seq: row})
        else:
            self._journal.put(rows, row.seq, row)

    def lock(self, row: WorkRow, token: LockToken, locked_until: int, worker_id: str | None) -> None:
        """Hand a row out; its previous token is dead from now on (PV-10.4, PV-24.6)."""
        assert token not in self.by_token, f"token {token!r} is item {self.by_token[token].seq}'s already"
        self.unlock(row)
        row.token, row.locked_until, row.claimed_by = token, locked_until, worker_id
        row.attempt_count += 1
        self._journal.put(self.by_token, token, row)

    def unlock(self, row: WorkRow) -> None:
        """Clear token, expiry and holder."""
        assert (row.token is None) == (row.locked_until == 0), f"half a lock on item {row.seq}: {row}"
        self._journal.keep(row)
        self.touched.append(row)
        if row.token is not None:
            assert self.by_token.get(row.token) is row, f"token {row.token!r} is not item {row.seq}'s"
            self._journal.remove(self.by_token, row.token)
            row.token, row.locked_until, row.claimed_by = None, 0, None

    def remove(self, row: WorkRow) -> None:
        """Take a row out for good."""
        self.unlock(row)
        self._journal.remove(self.by_seq, row.seq)
        rows = self._of_instance[row.identity.instance]
        self._journal.remove(rows, row.seq)
        if not rows:
            self._journal.remove(self._of_instance, row.identity.instance)

    def of_instance(self, instance: str) -> list[WorkRow]:
        """The rows of an instance by ascending number."""
        return list(self._of_instance.get(instance, {}).values())

    def remove_activities(self, cancelled: Sequence[ScheduledActivityIdentifier]) -> None:
        """Remove the rows that match; repeated and unknown names do no harm (PV-15)."""
        wanted = set(cancelled)
        for instance in dict.fromkeys(identity.instance for identity in cancelled):
            for row in self.of_instance(instance):
                if row.identity in wanted:
                    self.remove(row)


@dataclass(slots=True)
class Tables:
    """Everything one store holds."""

    journal: Journal = field(default_factory=Journal)
    instances: dict[str, InstanceRecord] = field(default_factory=dict)
    executions: dict[str, dict[int, ExecutionRecord]] = field(default_factory=dict)
    histories: dict[str, dict[int, History]] = field(default_factory=dict)
    messages: MessageTable = field(init=False)
    held_until: dict[str, int] = field(default_factory=dict)
    """Instances abandoned with a delay, and until when they yield nothing (PV-9.2)."""
    locks: dict[str, InstanceLock] = field(default_factory=dict)
    lock_of_token: dict[LockToken, InstanceLock] = field(default_factory=dict)
    work: WorkTable = field(init=False)
    sessions: dict[str, dict[str, SessionRow]] = field(default_factory=dict)
    settled: dict[str, dict[str, KvEntry]] = field(default_factory=dict)
    changes: dict[str, dict[str, KvEntry | None]] = field(default_factory=dict)
    """Key-value changes of the running execution; None is a tombstone (PV-17.1)."""

    ready_messages: ReadyMessages = field(init=False)
    ready_work: ReadyWork[WorkRow] = field(init=False)

    def __post_init__(self) -> None:
        self.messages = MessageTable(self.journal)
        self.work = WorkTable(self.journal)
        self.ready_messages = ReadyMessages(self.messages.of_instance, self.locked_until)
        self.ready_work = ReadyWork(self.work.by_seq, self.session)
        self.messages.touched = self.ready_messages.touched
        self.work.touched = self.ready_work.touched

    def settle(self, now: int) -> None:
        """After a call, done or undone: let a fetch find what the call has changed."""
        ready = self.ready_messages
        if ready.touched or ready.uncovered:
            ready.settle()
        if self.ready_work.touched or self.ready_work.touched_sessions:
            self.ready_work.settle(now)

    def locked_until(self, instance: str) -> int:
        """Until when an instance is locked or held; 0 if it is neither."""
        lock = self.locks.get(instance)
        return max(0 if lock is None else lock.locked_until, self.held_until.get(instance, 0))

    def history(self, instance: str, execution_id: int) -> History:
        """The history of an execution; created if there is none."""
        of_instance = self.of_instance(self.histories, instance)
        if execution_id not in of_instance:
            self.journal.put(of_instance, execution_id, History())
        return of_instance[execution_id]

    def of_instance(self, table: dict[str, dict[_K, _V]], instance: str) -> dict[_K, _V]:
        """What a table holds for an instance; an empty entry is made if there is none."""
        if instance not in table:
            self.journal.put(table, instance, {})
        return table[instance]

    def forget(self, table: dict[str, _V], instance: str) -> None:
        """Remove what a table holds for an instance, if anything."""
        if instance in table:
            self.journal.remove(table, instance)

    def latest_execution(self, instance: str) -> int:
        """The highest recorded execution, 1 if none (PV-5.14)."""
        executions = self.executions.get(instance)
        return max(executions) if executions else 1

    def current_execution(self, instance: str) -> ExecutionRecord | None:
        """The record of the current execution, which is the highest one if there is no instance record."""
        executions = self.executions.get(instance)
        if executions is None:
            return None
        record = self.instances.get(instance)
        return executions.get(max(executions) if record is None else record.current_execution_id)

    def status(self, instance: str) -> str | None:
        """The status of the instance's current execution; None for an instance without records."""
        execution = self.current_execution(instance)
        return None if execution is None else execution.status

    def event_count(self) -> int:
        """Number of stored events, of all instances."""
        return sum(len(history.events) for each in self.histories.values() for history in each.values())

    def session(self, instance: str, session_id: str) -> SessionRow | None:
        """The session row of this key."""
        rows = self.sessions.get(instance)
        return None if rows is None else rows.get(session_id)

    def unlock_instance(self, lock: InstanceLock) -> None:
        """Release an instance; its token is dead from now on."""
        assert self.locks.get(lock.instance) is lock, f"the lock on {lock.instance} is not {lock.token!r}'s"
        self.journal.remove(self.locks, lock.instance)
        self.journal.remove(self.lock_of_token, lock.token)
        self.ready_messages.uncovered.append(lock.instance)
        for row in lock.marked():
            self.journal.keep(row)
            row.token = None
