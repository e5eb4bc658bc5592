"""Items of the worker queue as derived from the commits: what the contract says their state must be.

An item's session is that of the activity in history, or of the item as it was enqueued; never a column.
"""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.core.contract.provider import TagFilter
from holdfast.core.contract.work_items import ActivityExecute
from holdfast.properties.judging.ledger.instances import Incarnation, SessionKey

ItemIdentity = tuple[str, int, int]
"""Instance, execution and activity number of an item (PV-15.2)."""


class Item:
    """One item from its enqueuing on. `number` is its rank; times are milliseconds of the store's clock."""

    __slots__ = (
        "attempts",
        "claimed_by",
        "deliveries",
        "enqueued_at",
        "identity",
        "incarnation",
        "key",
        "number",
        "removed_at",
        "removed_by",
        "seq",
        "set_aside",
        "tag",
        "token",
        "uncharged",
        "until",
        "visible_from",
        "work",
    )

    def __init__(
        self,
        number: int,
        work: ActivityExecute,
        session_id: str | None,
        incarnation: Incarnation | None,
        visible_from: int,
        enqueued_at: int,
    ) -> None:
        self.number = number
        self.enqueued_at = enqueued_at  # position of the commit that brought it
        self.work = work
        self.identity: ItemIdentity = (work.instance, work.execution_id, work.id)
        self.key: SessionKey | None = None if session_id is None else (work.instance, session_id)
        self.incarnation = incarnation
        self.tag = work.tag
        self.visible_from = visible_from
        self.token: str | None = None
        self.until = 0
        self.claimed_by: str | None = None
        self.attempts = 0
        self.deliveries = 0
        self.uncharged = 0
        self.seq: int | None = None  # the store's own number, once it has been seen
        self.set_aside = False  # the store cannot decode it (PV-14.9)
        self.removed_at: int | None = None  # position of the commit that took it out
        self.removed_by: str | None = None  # and its operation

    def name(self) -> str:
        """Its name in witnesses."""
        instance, execution_id, activity_id = self.identity
        session = "" if self.key is None else f" on {self.key[1]}"
        return f"item {self.number}: {instance}/{execution_id}/{activity_id}{session}"

    def is_held(self, now: int) -> bool:
        """Whether an item lock is live."""
        return self.token is not None and self.until > now

    def unlock(self) -> None:
        """Clear token, expiry and holder."""
        self.token = None
        self.until = 0
        self.claimed_by = None

    def may_be_fetched(self, now: int, filter: TagFilter) -> bool:
        """Whether it is visible, not held, decodable and of a matching tag; this ignores sessions (section
        13)."""
        return (
            self.visible_from <= now
            and (self.token is None or self.until <= now)
            and not self.set_aside
            and filter.matches(self.tag)
        )


class WorkQueue:
    """The items in the queue by rank, and those that have left it by identity."""

    def __init__(self) -> None:
        self.items: dict[int, Item] = {}
        self.by_token: dict[str, Item] = {}
        self._by_identity: dict[ItemIdentity, list[Item]] = {}
        self._gone: dict[ItemIdentity, Item] = {}
        self._last_number = 0

    def __iter__(self) -> Iterator[Item]:
        return iter(self.items.values())

    def __len__(self) -> int:
        return len(self.items)

    def put(
        self,
        work: ActivityExecute,
        session_id: str | None,
        incarnation: Incarnation | None,
        *,
        now: int,
        position: int,
    ) -> Item:
        """Append an item, visible now."""
        self._last_number += 1
        item = Item(self._last_number, work, session_id, incarnation, now, position)
        self.items[item.number] = item
        self._by_identity.setdefault(item.identity, []).append(item)
        return item

    def lock(self, item: Item, token: str, until: int, worker: str | None) -> None:
        """A delivery: the token before it is dead."""
        if item.token is not None:
            self.by_token.pop(item.token, None)
        item.token, item.until, item.claimed_by = token, until, worker
        item.attempts += 1
        item.deliveries += 1
        if item.removed_at is None:
            self.by_token[token] = item

    def give_back(self, item: Item, visible_from: int, *, charged: bool) -> None:
        """An abandonment."""
        assert item.removed_at is None, (
            f"{item.name()} is given back after commit {item.removed_at} ({item.removed_by}) took it out"
        )
        if item.token is not None:
            self.by_token.pop(item.token, None)
        item.unlock()
        item.visible_from = visible_from
        if not charged and item.attempts > 0:
            item.attempts -= 1
            item.uncharged += 1

    def remove(self, item: Item, position: int, operation: str) -> None:
        """The item leaves the queue for good."""
        assert item.removed_at is None, (
            f"{item.name()} was taken out by commit {item.removed_at} ({item.removed_by}), "
            f"and again by commit {position} ({operation})"
        )
        del self.items[item.number]
        if item.token is not None:
            self.by_token.pop(item.token, None)
        same = self._by_identity[item.identity]
        same.remove(item)
        if not same:
            del self._by_identity[item.identity]
        item.removed_at = position
        item.removed_by = operation
        self._gone[item.identity] = item

    def of_identity(self, identity: ItemIdentity) -> list[Item]:
        """Those in the queue with this identity, by rank."""
        return self._by_identity.get(identity, [])

    def delivered(self, work: ActivityExecute, now: int) -> Item | None:
        """Which item a fetch has handed out: of several alike the first free one; it may have left the
        queue."""
        identity = (work.instance, work.execution_id, work.id)
        alike = self._by_identity.get(identity)
        if alike is None:
            return self._gone.get(identity)
        if len(alike) > 1:
            for item in alike:
                if item.visible_from <= now and not item.is_held(now):
                    return item
        return alike[0]
