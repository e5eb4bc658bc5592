"""LedgerState: everything the ledger knows of a run so far.

Items are kept by what the contract says happens to them, rows as the store shows them: rules compare the two.
Everything is updated in place; nothing is copied or written out before a rule is broken.
"""

from __future__ import annotations

from holdfast.core.contract.ids import INT63_MAX
from holdfast.core.contract.store import WorkerRow
from holdfast.core.contract.work_items import ActivityExecute, Message
from holdfast.properties.judging.ledger.instances import Instance
from holdfast.properties.judging.ledger.items import Item, ItemIdentity, WorkQueue
from holdfast.properties.judging.ledger.rows import Rows
from holdfast.properties.judging.ledger.workers import AttemptRecord, Book, WorkerBoot


class FetchedBatch:
    """A batch that was handed out, and what was open then by the stored history."""

    __slots__ = ("instance", "messages", "open")

    def __init__(self, instance: Instance, messages: tuple[Message, ...]) -> None:
        self.instance = instance
        self.messages = messages
        self.open = tuple(instance.open)


class LedgerState:
    """`now` is the store's clock at the latest commit, in milliseconds; `time_us` virtual time."""

    def __init__(self, store: object) -> None:
        self.rows = Rows(store)
        self.queue = WorkQueue()
        self.instances: dict[str, Instance] = {}
        self.attempts: dict[str, AttemptRecord] = {}  # every delivery, by token
        self.batches: dict[str, FetchedBatch] = {}  # by token
        self.batches_out: dict[tuple[str, int, str], list[FetchedBatch]] = {}  # by process, boot and instance
        self.book = Book()
        self.by_owner: dict[str, WorkerBoot] = {}
        self.position = -1
        self.time_us = 0
        self.now = 0
        self.unsure: str | None = None
        """Why the derived state can no longer be relied on; None while it can."""
        self.unnumbered: list[Item] = []  # enqueued, their number in the store not yet seen
        self.missing: list[Item] = []  # in the queue by the commits, not in the store
        self.strays: list[WorkerRow] = []  # in the store, not in the queue by the commits
        self.renumbered: list[tuple[Item, WorkerRow]] = []  # in both, under another number than before
        self._workers: dict[tuple[str, int], WorkerBoot] = {}
        self._last_seq = 0

    # --- who ------------------------------------------------------------------------------------------

    def worker(self, process: str, boot: int) -> WorkerBoot:
        """The record of one boot of a process."""
        key = (process, boot)
        worker = self._workers.get(key)
        if worker is None:
            worker = self._workers[key] = WorkerBoot(process, boot)
        return worker

    @property
    def workers(self) -> list[WorkerBoot]:
        """All boots seen, in order of appearance."""
        return list(self._workers.values())

    def named(self, owner: str | None) -> WorkerBoot | None:
        """The worker that a session row names, if it is one of the run's."""
        return None if owner is None else self.by_owner.get(owner)

    def identify(self, worker: WorkerBoot, owner: str) -> None:
        """A call or an event has shown a worker's identity."""
        worker.owner = owner
        self.by_owner[owner] = worker

    def open_at_fetch(self, process: str, boot: int, instance: str) -> list[tuple[str, ...]]:
        """What was open by stored history when this process fetched the turns it still has."""
        return [batch.open for batch in self.batches_out.get((process, boot, instance), ())]

    # --- instances and items --------------------------------------------------------------------------

    def instance(self, id: str) -> Instance:
        """The record of an instance, made when it is first heard of."""
        instance = self.instances.get(id)
        if instance is None:
            instance = self.instances[id] = Instance(id)
        return instance

    def put(self, work: ActivityExecute, instance: Instance) -> Item:
        """An item enters the queue. Its session is the activity's, by history, or else the item's own."""
        activity = instance.activities.get((work.execution_id, work.id))
        session_id = work.session_id
        incarnation = None
        if activity is not None and activity.session_id is not None:
            session_id = activity.session_id
            incarnation = activity.incarnation
        item = self.queue.put(work, session_id, incarnation, now=self.now, position=self.position)
        self.unnumbered.append(item)
        return item

    def remove(self, item: Item, operation: str) -> None:
        """An item is taken out of the queue, and from whoever holds it."""
        attempt = None if item.token is None else self.attempts.get(item.token)
        if attempt is not None and attempt.item_gone_at is None:
            attempt.item_gone_at = self.position
        self.queue.remove(item, self.position, operation)

    def number_items(self) -> None:
        """Match the store's numbers with the items enqueued, in order; learn what cannot be decoded."""
        last = self._last_seq
        for row in self.rows.work:
            work = row.item
            if work is None:
                self._set_aside(row.seq)
            elif row.seq > last:
                self._last_seq = row.seq
                identity = (work.instance, work.execution_id, work.id)
                for item in self.unnumbered:
                    if item.seq is None and item.identity == identity:
                        item.seq = row.seq
                        break
        self.unnumbered.clear()

    def compare_queue(self) -> None:
        """Compare the store's rows with the queue derived from the commits; usually a quick look is
        enough."""
        rows = self.rows.work
        if self.missing or self.strays or self.renumbered:
            self.missing, self.strays, self.renumbered = [], [], []
        items = self.queue.items
        if len(rows) == len(items):
            for item, row in zip(items.values(), rows, strict=True):
                if item.seq != row[0]:
                    break
            else:
                return
        by_seq = {row.seq: row for row in rows}
        missing = [item for item in self.queue if item.seq is None or by_seq.pop(item.seq, None) is None]
        strays = [row for row in by_seq.values() if row.item is not None]
        for item in missing:
            found = next((row for row in strays if _identity(row) == item.identity), None)
            if found is None:
                self.missing.append(item)
            else:
                strays.remove(found)
                self.renumbered.append((item, found))
        self.strays = strays

    def row_of(self, item: Item) -> WorkerRow | None:
        """The store's row of an item."""
        for row in self.rows.work:
            if row.seq == item.seq:
                return row
        return None

    def note_lost_sessions(self) -> None:
        """Rows have changed: a worker that a row no longer names has lost the session for all its
        attempts."""
        rows = self.rows
        for key in rows.changed:
            before = rows.before.get(key)
            if before is None or before.worker_id is None:
                continue
            after = rows.sessions.get(key)
            if after is not None and after.worker_id == before.worker_id:
                continue
            loser = self.by_owner.get(before.worker_id)
            if loser is not None:
                for attempt in loser.attempts.values():
                    if attempt.key == key:
                        attempt.session_gone_at = self.position

    def _set_aside(self, seq: int) -> None:
        for item in self.queue:
            if item.seq == seq:
                item.set_aside = True


def _identity(row: WorkerRow) -> ItemIdentity | None:
    work = row.item
    return None if work is None else (work.instance, work.execution_id, work.id)


def deadline(now: int, duration: int) -> int:
    """A sum beyond the largest number is clamped (PV-3.7)."""
    return min(now + duration, INT63_MAX)
