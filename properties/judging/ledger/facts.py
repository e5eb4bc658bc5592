"""Facts: what a commit means, in the words of the trace model of sessions.md 27a.

A fact is made once per commit, after the ledger has taken the commit in; it holds what rules need of the
state before. Calls that a fault kept from the store (`refused`, `unsent`) make no fact.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from holdfast.core.contract.events import StoredEvent
from holdfast.core.contract.provider import ExecutionMetadata, FetchedTurn, TagFilter
from holdfast.core.contract.store import SessionRecord
from holdfast.core.contract.work_items import ActivityExecute, Message
from holdfast.properties.judging.ledger.instances import Delta, Incarnation, Instance, SessionKey
from holdfast.properties.judging.ledger.items import Item
from holdfast.properties.judging.ledger.workers import AttemptRecord, WorkerBoot

FetchMode = Literal["plain", "owned", "full"]
"""The kind of a fetch: `fetch_work_item`, `claim_new=False`, `claim_new=True` (section 13)."""


class TurnFetched(NamedTuple):
    """A batch was handed out."""

    instance: Instance
    fetched: FetchedTurn
    worker: WorkerBoot


class Acked(NamedTuple):
    """ACK: a turn was committed. `open_before` are the incarnations open before it, in opening order."""

    instance: Instance
    delta: Delta
    events: Sequence[StoredEvent]  # of the delta, as stored
    metadata: ExecutionMetadata
    terminal: bool
    open_before: tuple[Incarnation, ...]
    enqueued: tuple[Item, ...]
    removed: tuple[Item, ...]
    worker_items: tuple[ActivityExecute, ...]
    messages: tuple[Message, ...]  # of the batch
    fenced: bool  # the token was the current one and held
    worker: WorkerBoot


class AckRejected(NamedTuple):
    """ACK_REJ; the instance is None for a token that was never handed out. `metadata` is what was asked."""

    instance: Instance | None
    metadata: ExecutionMetadata
    worker: WorkerBoot


class Deleted(NamedTuple):
    """DELETE, of all instances of a tree; `removed` are the items that went with them."""

    instances: tuple[str, ...]
    removed: tuple[Item, ...]


class Enqueued(NamedTuple):
    """An item came in directly, outside any turn."""

    item: Item


class Delivered(NamedTuple):
    """DELIVER, with what the item was before. `row_before`, `row_after`: the row of the item's session."""

    item: Item
    worker: WorkerBoot
    owner: str  # the worker's identity, or its process name if it has shown none
    mode: FetchMode
    filter: TagFilter
    attempt: AttemptRecord
    number: int  # of the attempt, as answered
    work: ActivityExecute  # the item in the answer
    duration: int  # D as passed, 0 in plain mode
    lock_timeout: int
    was_queued: bool
    was_token: str | None
    was_until: int
    was_visible_from: int
    was_attempts: int
    was_attempt: AttemptRecord | None  # of the worker that held it before, if it is still in flight
    row_before: SessionRecord | None
    row_after: SessionRecord | None


class Nothing(NamedTuple):
    """NOTHING: an empty fetch."""

    worker: WorkerBoot
    owner: str
    mode: FetchMode
    filter: TagFilter


class FetchRefused(NamedTuple):
    """A fetch of a worker item that the provider answered with an error."""

    mode: FetchMode


class Renewed(NamedTuple):
    """RENEW or RENEW_ERR, by `owner` for D = `duration`."""

    key: SessionKey
    worker: WorkerBoot
    owner: str
    duration: int
    ok: bool
    row_before: SessionRecord | None
    row_after: SessionRecord | None


class Released(NamedTuple):
    """RELEASE; `hit` if the row named the caller before."""

    key: SessionKey
    worker: WorkerBoot
    owner: str
    ok: bool
    row_before: SessionRecord | None
    row_after: SessionRecord | None

    @property
    def hit(self) -> bool:
        """Whether it gave something up."""
        return self.row_before is not None and self.row_before.worker_id == self.owner


class ItemRenewed(NamedTuple):
    """IRENEW or IRENEW_ERR; `item` is None for a token that holds nothing."""

    item: Item | None
    attempt: AttemptRecord | None
    worker: WorkerBoot
    ok: bool
    was_until: int
    duration: int  # what the session is to be extended by
    row_before: SessionRecord | None
    row_after: SessionRecord | None


class Done(NamedTuple):
    """DONE: an item was finished; `item` is None for a token that held nothing."""

    item: Item | None
    attempt: AttemptRecord | None
    worker: WorkerBoot
    completion: Message | None
    was_until: int


class DoneRejected(NamedTuple):
    """DONE_REJ."""

    attempt: AttemptRecord | None
    worker: WorkerBoot
    completion: Message | None


class Abandoned(NamedTuple):
    """ABANDON."""

    item: Item | None
    attempt: AttemptRecord | None
    worker: WorkerBoot
    delay: int
    charged: bool


class AbandonRejected(NamedTuple):
    """ABANDON_REJ."""

    attempt: AttemptRecord | None
    worker: WorkerBoot


Fact = (
    TurnFetched
    | Acked
    | AckRejected
    | Deleted
    | Enqueued
    | Delivered
    | Nothing
    | FetchRefused
    | Renewed
    | Released
    | ItemRenewed
    | Done
    | DoneRejected
    | Abandoned
    | AbandonRejected
)
