"""The store behind a provider: what a factory returns, and the hooks that inspect it (PV-33).

Monitors, the reference model and the conformance suite read through the hooks; the runtime never does.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol, cast

from holdfast.core.contract.errors import ConfigurationError
from holdfast.core.contract.ids import LockToken
from holdfast.core.contract.observe import Observer
from holdfast.core.contract.provider import Provider
from holdfast.core.contract.work_items import ActivityExecute


class SessionRecord(NamedTuple):
    """A session row as the inspection hook shows it (PV-24.3)."""

    instance_id: str
    session_id: str
    worker_id: str | None
    locked_until: int | None


class WorkerRow(NamedTuple):
    """A worker-queue row as the inspection hook shows it (PV-2.5)."""

    seq: int
    item: ActivityExecute | None  # None: set aside as undecodable (PV-14.9)
    session_id: str | None  # the column, not the item's member
    token: LockToken | None
    locked_until: int | None
    visible_from: int
    attempt_count: int
    claimed_by: str | None


class TableShape(NamedTuple):
    """How a store keeps one kind of record: a relational table, or what stands for it.

    `lookups` are the columns that records are found by besides the key; None from a store that keeps no
    indexes to speak of.
    """

    columns: dict[str, Literal["text", "integer", "other"]]
    nullable: frozenset[str]
    key: tuple[str, ...]
    lookups: tuple[tuple[str, ...], ...] | None


class Store(Protocol):
    """What a provider factory returns: one isolated store, opened by any number of processes (PV-33.1).

    The inspection hooks are optional for providers of others: a rule whose hook is missing reports unknown.
    """

    def open(self, observer: Observer | None = None) -> Provider:
        """A provider as a newly started process has it."""
        ...

    def close(self) -> None:
        """Free everything; opened providers are dead afterwards."""
        ...


class InspectableStore(Store, Protocol):
    """A store with the inspection hooks that monitors and the conformance suite read (PV-33.2)."""

    def session_records(self) -> list[SessionRecord]:
        """All session rows, ordered by (instance, session id)."""
        ...

    def worker_rows(self) -> list[WorkerRow]:
        """All worker-queue rows, ordered by seq."""
        ...

    def max_attempt_count(self, instance_id: str) -> int:
        """The highest attempt count among the instance's orchestrator messages; 0 if none."""
        ...

    def raw_counts(self) -> dict[str, int]:
        """Number of records per table, by the table names of `provider.md` section 30."""
        ...

    def table_shapes(self) -> dict[str, TableShape]:
        """The shapes of `sessions` and `worker_queue` as they are, not as they should be (SS-10)."""
        ...

    def event_types(self, instance_id: str) -> list[str]:
        """The type names under which the events of the instance are stored, by execution and number."""
        ...

    def age(self) -> None:
        """Take out what came with sessions, as a store from before has it, and open that again (SS-10.7).

        Requires: no session is open, and no call is under way.
        """
        ...

    def corrupt_instance_history(self, instance_id: str) -> None:
        """Replace the stored events of the instance by undecodable text."""
        ...

    def corrupt_message(self, instance_id: str) -> None:
        """Replace the oldest orchestrator message of the instance by undecodable text."""
        ...

    def corrupt_worker_row(self, instance_id: str) -> None:
        """Replace the oldest worker item of the instance by undecodable text."""
        ...

    def break_calls(self, operation: str, *, change: int = 1, times: int = 1, retryable: bool = True) -> None:
        """Let the next calls of an operation fail in their middle, as a store with an error would.

        Each is about to make its `change`-th change, counted from 1, when it fails with a ProviderError; one
        that makes fewer succeeds. What a change is the store decides: a statement, a written record.
        """
        ...


class HookMissing(ConfigurationError):
    """A store of others lacks an inspection hook: of what needs it nothing can be said."""


def inspectable(store: Store, *hooks: str) -> InspectableStore:
    """The store, if it has these inspection hooks (PV-33.2). Raises HookMissing for the first it lacks."""
    for hook in hooks:
        if not hasattr(store, hook):
            raise HookMissing(no_hook(hook))
    return cast(InspectableStore, store)


def no_hook(hook: str) -> str:
    """How people read that a store lacks an inspection hook."""
    return f"this provider's store has no inspection hook {hook!r} (PV-33.2)"
