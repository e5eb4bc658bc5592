"""WaitingItems: an item that a worker could have does not wait for longer than the worker's polls may take.

Shared by INV-43, INV-46 and INV-48, which differ in the items they are about. Items are checked every P: one
is overdue if a worker was free for it at two checks in a row, did nothing in between, and the item, its
session and the worker's units stayed the same. P is the worker's long poll and the pause after it. It takes
two checks because no commit shows that a worker could have polled and did not: only a whole P without any
change shows it. A worker that a fault struck in between, or that is stopping, is not blamed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import NamedTuple

from holdfast.core.contract.provider import TagFilter
from holdfast.core.contract.store import SessionRecord
from holdfast.properties.judging.invariants.monitor import NEVER, Monitor, WorkChanged, on, row
from holdfast.properties.judging.ledger.facts import Abandoned, Delivered, Done, Fact, FetchMode, Nothing
from holdfast.properties.judging.ledger.items import Item
from holdfast.properties.judging.ledger.ledger import Ledger
from holdfast.properties.judging.ledger.workers import WorkerBoot
from holdfast.properties.judging.timing import Timings, WorkerTiming


class _Open(NamedTuple):
    """What a check saw of a worker and an item that it is free for; equal if nothing has changed."""

    process: str
    boot: int
    acts: int
    item: str
    attempts: int
    row: SessionRecord | None
    held: int


class WaitingItems(Monitor, ABC):
    """Subclasses say which items they are about."""

    hooks = ("session_records",)

    def __init__(self, ledger: Ledger, timings: Timings) -> None:
        super().__init__(ledger, timings)
        self._asks: dict[tuple[str, int], tuple[FetchMode, TagFilter]] = {}
        self._acts: dict[tuple[str, int], int] = {}
        self._seen: frozenset[_Open] = frozenset()
        self._looked_us = 0

    @abstractmethod
    def concerns(
        self, item: Item, record: SessionRecord | None, worker: WorkerBoot, at_capacity: bool
    ) -> bool:
        """Whether the rule is about this item, waiting for this worker, which may have it."""

    @on(Delivered, Nothing)
    def asked(self, fact: Delivered | Nothing) -> None:
        """The worker polls, and how."""
        who = (fact.worker.process, fact.worker.boot)
        self._asks[who] = (fact.mode, fact.filter)
        if isinstance(fact, Delivered):
            self._acts[who] = self._acts.get(who, 0) + 1

    @on(Done, Abandoned)
    def acted(self, fact: Done | Abandoned) -> None:
        """The worker is at work."""
        who = (fact.worker.process, fact.worker.boot)
        self._acts[who] = self._acts.get(who, 0) + 1

    @on(WorkChanged)
    def work_changed(self, fact: Fact) -> None:
        """Something waits from now on."""
        if self.due_us == NEVER and self.ledger.queue.items:
            self.due_us = self.ledger.time_us

    def overdue(self, time_us: int) -> None:
        """Check again."""
        found = {seen: (item, worker) for seen, item, worker in self._look()}
        late = [seen for seen in found if seen in self._seen]
        for seen in late:
            item, worker = found[seen]
            if not self.ledger.book.struck(worker.process, self._looked_us):
                self.violate(
                    item=item.name(),
                    worker=worker.name(),
                    row=row(seen.row),
                    free_since_us=self._looked_us,
                    seen_us=time_us,
                )
        self._seen = frozenset(found)
        self._looked_us = time_us
        poll_us = self._poll_us()
        self.due_us = time_us + poll_us if self.ledger.queue.items and poll_us else NEVER

    def latest_due_us(self) -> int:
        """While a worker is free for what waits, the run goes on until that has been checked twice."""
        return self.due_us + self._poll_us() if self._waits() else 0  # the next check and the one after it

    def undecided(self) -> str | None:
        return "an item waited for a free worker when the run ended" if self._waits() else None

    def _waits(self) -> bool:
        return self.due_us != NEVER and any(True for _ in self._look())

    def _poll_us(self) -> int:
        """P of the slowest worker that polls; 0 if none does."""
        timings = [self.timings.of(process) for process, _ in self._asks]
        return max((timing.poll_us or 0 for timing in timings if timing is not None), default=0)

    def _look(self) -> Iterator[tuple[_Open, Item, WorkerBoot]]:
        ledger = self.ledger
        for item in ledger.queue:
            record = None if item.key is None else ledger.rows.sessions.get(item.key)
            for worker in ledger.workers:
                asks = self._asks.get((worker.process, worker.boot))
                timing = self.timings.of(worker.process)
                if asks is None or timing is None or worker.shutdown is not None or not worker.runs:
                    continue
                units = worker.units
                held = 0 if units is None else units.leases + units.reserved + units.kept
                if self._free_for(item, record, worker, asks, timing, held) and self.concerns(
                    item, record, worker, held >= timing.sessions_max
                ):
                    acts = self._acts.get((worker.process, worker.boot), 0)
                    seen = _Open(worker.process, worker.boot, acts, item.name(), item.attempts, record, held)
                    yield seen, item, worker

    def _free_for(
        self,
        item: Item,
        record: SessionRecord | None,
        worker: WorkerBoot,
        asks: tuple[FetchMode, TagFilter],
        timing: WorkerTiming,
        held: int,
    ) -> bool:
        now = self.ledger.now
        if not item.may_be_fetched(now, asks[1]) or timing.slots is None:
            return False
        if len(worker.attempts) >= timing.slots:
            return False
        if item.key is None:
            return True
        if timing.sessions_max == 0:
            return False
        if record is not None and record.locked_until is not None and record.locked_until > now:
            return record.worker_id == worker.owner
        return held < timing.sessions_max
