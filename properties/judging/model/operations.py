"""What is asked of a provider, and the answer as its caller saw it."""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol

from holdfast.properties.judging.model.state import RowKey, Work

Mode = Literal["plain", "owned", "full"]
"""The kind of a fetch: `fetch_work_item`, `claim_new=False`, `claim_new=True` (section 13)."""

Identity = tuple[str, int, int]
"""Instance, execution and activity number (PV-15.2)."""


class Filter(Protocol):
    """A tag filter (PV-12)."""

    def matches(self, tag: str | None) -> bool: ...


class Fetch(NamedTuple):
    """`worker` and `duration` mean nothing to a plain fetch."""

    mode: Mode
    filter: Filter
    lock_timeout: int
    worker: str
    duration: int


class Enqueue(NamedTuple):
    """An item comes in directly, outside any turn."""

    work: Work


class Finish(NamedTuple):
    """`ack_work_item`."""

    token: str


class GiveBack(NamedTuple):
    """`abandon_work_item`."""

    token: str
    delay: int
    charged: bool


class RenewItem(NamedTuple):
    """`renew_work_item_lock`, with what the session is to be extended by (SS-12.9)."""

    token: str
    extend_for: int
    extend_session_for: int


class RenewSession(NamedTuple):
    """`renew_session_lock`."""

    key: RowKey
    worker: str
    extend_for: int


class Release(NamedTuple):
    """`release_session_lock`."""

    key: RowKey
    worker: str


class FetchTurn(NamedTuple):
    """`fetch_orchestration_item`."""

    lock_timeout: int


class RenewTurn(NamedTuple):
    """`renew_orchestration_item_lock`."""

    token: str
    extend_for: int


class GiveBackTurn(NamedTuple):
    """`abandon_orchestration_item`."""

    token: str


class Acknowledge(NamedTuple):
    """`ack_orchestration_item`, without what the model does not keep: messages, history, status texts.

    `excuse`: it brings something else that a provider may have to refuse, such as events already stored.
    """

    token: str
    status: str | None
    parent: str | None
    opened: tuple[RowKey, ...]
    closed: tuple[RowKey, ...]
    enqueued: tuple[Work, ...]
    cancelled: tuple[Identity, ...]
    excuse: bool


class Delete(NamedTuple):
    """A deletion of these instances, and with `tree` of their descendants."""

    instances: tuple[str, ...]
    tree: bool


class DeleteFinished(NamedTuple):
    """`delete_instance_bulk`: its answer does not say which instances went."""


class Other(NamedTuple):
    """Anything else: it touches nothing that the model knows."""


ProviderOperation = (
    Fetch
    | Enqueue
    | Finish
    | GiveBack
    | RenewItem
    | RenewSession
    | Release
    | FetchTurn
    | RenewTurn
    | GiveBackTurn
    | Acknowledge
    | Delete
    | DeleteFinished
    | Other
)


class ItemDelivered(NamedTuple):
    """What a fetch handed out."""

    work: Work
    token: str
    attempt_count: int


class TurnDelivered(NamedTuple):
    """What a fetch of a turn handed out."""

    instance: str
    token: str


class Succeeded(NamedTuple):
    """It was done; `found` is what a fetch handed out, None for nothing."""

    found: ItemDelivered | TurnDelivered | None = None


class PermanentlyRefused(NamedTuple):
    """A permanent error: nothing was done."""

    message: str


class TransientlyFailed(NamedTuple):
    """A transient error that the store itself answered: nothing was done (PV-4.7)."""


class Unheard(NamedTuple):
    """No answer arrived: it was done, or it was not (SS-24.6)."""


ProviderAnswer = Succeeded | PermanentlyRefused | TransientlyFailed | Unheard


class Call(NamedTuple):
    """An operation, its answer, and the store's clock when it was committed."""

    operation: ProviderOperation
    answer: ProviderAnswer
    now: int
    malformed: bool = False  # an argument no provider may accept
