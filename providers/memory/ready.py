"""What a fetch looks at: the items and messages that may be free, so that it passes over no others.

Every row stands in one place: with those that are free, by holder and tag, or with those that wait for a
time. The places follow the tables: after each call, done or undone, the rows it has touched are put where
they belong, and before each search those whose time has come. An entry that no longer says where its row
stands is dropped when it comes to the front of its heap, or when such entries are the most. Nothing is
decided here: what is found is asked again whether it is eligible.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from heapq import heapify, heappop, heappush
from typing import Final, Generic, Protocol, TypeVar

from holdfast.core.contract.provider import ScheduledActivityIdentifier, TagFilter

FREE = ""
"""The holder of an item whose session nobody holds; of one without a session it is None, else the worker."""

_Place = tuple[str | None, str | None]
"""Holder and tag."""

_WAITS: Final[_Place] = ("waits", "for a time")

_FEW: Final = 64
"""Heaps of no more entries than this, and four times what they are for, are left as they are."""


class _Row(Protocol):
    """What is asked of a worker row."""

    seq: int
    identity: ScheduledActivityIdentifier
    session_id: str | None
    tag: str | None
    visible_from: int
    locked_until: int
    set_aside: bool


class _Owned(Protocol):
    """What is asked of a session row."""

    worker_id: str | None
    locked_until: int | None


_Item = TypeVar("_Item", bound=_Row)


class ReadyWork(Generic[_Item]):
    """The worker queue, by what a fetch asks for. The tables fill `touched` and `touched_sessions`."""

    def __init__(self, by_seq: dict[int, _Item], session: Callable[[str, str], _Owned | None]) -> None:
        self._by_seq = by_seq
        self._session = session
        self.touched: list[_Item] = []
        self.touched_sessions: list[tuple[str, str]] = []
        self._now = 0
        self._clear()

    def _clear(self) -> None:
        self._place: dict[int, _Place] = {}  # by seq: where its row stands
        self._by_tag: dict[_Place, list[int]] = {}
        self._by_holder: dict[str | None, list[int]] = {}
        self._waiting: list[tuple[int, int]] = []  # until when, seq
        self._lapses: list[tuple[int, str, str]] = []
        self._holders: dict[tuple[str, str], str] = {}  # of the sessions that have items
        self._of_session: dict[tuple[str, str], dict[int, None]] = {}
        self._passed: list[tuple[list[int], int]] = []  # by the last search

    # --- keeping up -----------------------------------------------------------------------------------

    def settle(self, now: int) -> None:
        """Put what the last call has touched where it belongs."""
        self._put_back()
        self._now = max(self._now, now)
        for key in self.touched_sessions:
            self._settle_session(key)
        self.touched_sessions.clear()
        for row in self.touched:
            self._settle_row(row)
        self.touched.clear()

    def _settle_row(self, row: _Item) -> None:
        seq, places = row.seq, self._place
        if row.set_aside or self._by_seq.get(seq) is not row:
            if places.pop(seq, None) is not None and row.session_id is not None:
                self._forget(row, row.session_id)
            return
        holder = None
        if row.session_id is not None:
            key = row.identity.instance, row.session_id
            if key not in self._holders:
                self._of_session[key] = {}
                self._settle_session(key)
            self._of_session[key][seq] = None
            holder = self._holders[key]
        until = max(row.visible_from, row.locked_until)
        if until > self._now:
            places[seq] = _WAITS
            if len(self._waiting) > _FEW + 4 * len(places):
                self._waiting = [entry for entry in self._waiting if places.get(entry[1]) is _WAITS]
                heapify(self._waiting)
            heappush(self._waiting, (until, seq))
            return
        place = holder, row.tag
        if places.get(seq) != place:
            places[seq] = place
            for heap in (self._by_tag.setdefault(place, []), self._by_holder.setdefault(holder, [])):
                if len(heap) > _FEW + 4 * len(places):
                    heap[:] = [each for each in set(heap) if places.get(each, _WAITS)[0] == holder]
                    heapify(heap)
                heappush(heap, seq)

    def _forget(self, row: _Item, session_id: str) -> None:
        key = row.identity.instance, session_id
        rows = self._of_session.get(key)
        if rows is not None:
            rows.pop(row.seq, None)
            if not rows:
                del self._of_session[key], self._holders[key]

    def _settle_session(self, key: tuple[str, str]) -> None:
        rows = self._of_session.get(key)
        if rows is None:
            return
        session = self._session(*key)
        holder = FREE
        if session is not None and (session.locked_until or 0) > self._now:
            holder = session.worker_id or FREE
            if len(self._lapses) > _FEW + 4 * len(self._holders):
                self._lapses = [entry for entry in set(self._lapses) if entry[1:] in self._holders]
                heapify(self._lapses)
            heappush(self._lapses, (session.locked_until or 0, *key))
        if self._holders.get(key) != holder:
            self._holders[key] = holder
            for seq in tuple(rows):
                if (row := self._by_seq.get(seq)) is not None:
                    self._settle_row(row)

    def rebuild(self, now: int) -> None:
        """Begin anew: the clock has jumped back, or rows were changed behind our back."""
        self._clear()
        self._now = now
        for row in self._by_seq.values():
            self._settle_row(row)

    def _pass_time(self, now: int) -> None:
        if now < self._now:
            self.rebuild(now)
        self._now = now
        while self._lapses and self._lapses[0][0] <= now:
            _, instance, session_id = heappop(self._lapses)
            self._settle_session((instance, session_id))
        while self._waiting and self._waiting[0][0] <= now:
            _, seq = heappop(self._waiting)
            if self._place.get(seq) is _WAITS:
                self._settle_row(self._by_seq[seq])

    # --- searching ------------------------------------------------------------------------------------

    def search(self, now: int, tags: TagFilter, worker_id: str | None, claim_new: bool) -> Iterator[_Item]:
        """The items that such a fetch may find, by ascending number. The table may change between two."""
        self._put_back()
        self._pass_time(now)
        holders = [None, *([worker_id] if worker_id is not None else []), *([FREE] if claim_new else [])]
        places: list[tuple[list[int] | None, str | None, str | None]]
        if tags.any_tag:
            places = [(self._by_holder.get(holder), holder, None) for holder in holders]
        else:
            wanted = [*([None] if tags.untagged else []), *sorted(tags.tags)]
            places = [(self._by_tag.get((each, tag)), each, tag) for each in holders for tag in wanted]
        while True:
            best: list[int] | None = None
            for heap, holder, tag in places:
                if heap and self._front(heap, holder, tag, tags.any_tag):
                    best = heap if best is None or heap[0] < best[0] else best
            if best is None:
                return
            seq = heappop(best)
            self._passed.append((best, seq))
            yield self._by_seq[seq]

    def _put_back(self) -> None:
        """What a search has passed over, and what it has found: the call may have been undone."""
        for heap, seq in self._passed:
            heappush(heap, seq)
        self._passed.clear()

    def _front(self, heap: list[int], holder: str | None, tag: str | None, any_tag: bool) -> bool:
        """Whether the heap has an entry that still holds; those in front of it that do not are dropped."""
        while heap:
            seq = heap[0]
            place = self._place.get(seq, _WAITS)
            if place is not _WAITS and place[0] == holder and (any_tag or place[1] == tag):
                return True
            while heap and heap[0] == seq:
                heappop(heap)
        return False

    def next_change(self, now: int) -> int | None:
        """The next time at which an item becomes visible, or a lock on one or its session ends."""
        self._pass_time(now)
        while self._waiting and self._place.get(self._waiting[0][1]) is not _WAITS:
            heappop(self._waiting)
        times = [*(each[0] for each in self._waiting[:1]), *(each[0] for each in self._lapses[:1])]
        return min(times, default=None)


class _Visible(Protocol):
    """What is asked of a message row."""

    visible_from: int


class ReadyMessages:
    """The orchestrator queue without the messages of locked instances, by (visible from, seq).

    `touched` and `uncovered` are filled by the tables: new entries, and instances whose lock has changed.
    """

    def __init__(
        self, of_instance: Mapping[str, Mapping[int, _Visible]], locked_until: Callable[[str], int]
    ) -> None:
        self._of_instance = of_instance
        self._locked_until = locked_until
        self.touched: list[tuple[int, int, str]] = []
        self.uncovered: list[str] = []
        self._heap: list[tuple[int, int, str]] = []
        self._behind: dict[str, list[tuple[int, int, str]]] = {}  # by locked instance
        self._ends: list[tuple[int, str]] = []
        self._many = _FEW
        self._passed: list[tuple[int, int, str]] = []  # by the last search

    def settle(self) -> None:
        """Take in new and moved messages, and those of instances that are free again."""
        self._put_back()
        for instance in self.uncovered:
            self._uncover(instance)
        self.uncovered.clear()
        for entry in self.touched:
            heappush(self._heap, entry)
        self.touched.clear()
        if len(self._heap) > self._many:
            self._heap[:] = [entry for entry in self._heap if self._holds(entry)]
            heapify(self._heap)
            self._many = _FEW + 4 * len(self._heap)

    def _holds(self, entry: tuple[int, int, str]) -> bool:
        rows = self._of_instance.get(entry[2])
        row = None if rows is None else rows.get(entry[1])
        return row is not None and row.visible_from == entry[0]

    def _uncover(self, instance: str) -> None:
        """The lock of an instance has gone or may have become shorter."""
        for entry in self._behind.pop(instance, ()):
            heappush(self._heap, entry)

    def search(self, now: int) -> Iterator[str]:
        """Instances with a visible message and no live lock, the earliest message first (PV-7.3), each once.

        The tables may change between two.
        """
        self._put_back()
        self._pass_time(now)
        seen: set[str] = set()
        heap = self._heap
        while heap and heap[0][0] <= now:
            entry = heappop(heap)
            if not self._holds(entry):
                continue
            instance = entry[2]
            if instance in seen:
                self._passed.append(entry)
                continue
            until = self._locked_until(instance)
            if until <= now:
                self._passed.append(entry)
                seen.add(instance)
                yield instance
                continue
            if instance not in self._behind:
                self._behind[instance] = []
                heappush(self._ends, (until, instance))
            self._behind[instance].append(entry)

    def _put_back(self) -> None:
        for entry in self._passed:
            heappush(self._heap, entry)
        self._passed.clear()

    def _pass_time(self, now: int) -> None:
        """Uncover the instances whose lock has run out."""
        while self._ends and self._ends[0][0] <= now:
            _, instance = heappop(self._ends)
            if instance not in self._behind:
                continue
            until = self._locked_until(instance)
            if until > now:
                heappush(self._ends, (until, instance))
            else:
                self._uncover(instance)

    def next_change(self, now: int) -> int | None:
        """The next time at which a lock or hold ends that hides a visible message."""
        self._pass_time(now)
        return self._ends[0][0] if self._ends else None
