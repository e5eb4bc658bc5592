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

    `lookups` are the groups of columns, besides the key, that records are found by; None for a store without
    indexes.
    """

    columns: dict[str, Literal["text", "integer", "other"]]
    nullable: frozenset[str]
    key: tuple[str, ...]
    lookups: tuple[tuple[str, ...], ...] | None


class Store(Protocol):
    """What a provider factory returns: one isolated store, opened by any number of processes (PV-33.1).

    Third-party stores may lack the inspection hooks: a rule whose hook is missing reports unknown.
    """

    def open(self, observer: Observer | None = None) -> Provider:
        """A new provider object, as a newly started process gets it."""
        ...

    def close(self) -> None:
        """Free everything; providers opened from it fail from then on."""
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
        """The actual shapes of `sessions` and `worker_queue`, not the prescribed ones (SS-10)."""
        ...

    def event_types(self, instance_id: str) -> list[str]:
        """The type names under which the events of the instance are stored, by execution and number."""
        ...

    def age(self) -> None:
        """Turn this into a store from before sessions existed, and open that again (SS-10.7).

        Requires: no session is open, and no call is under way.
        """
        ...

    def corrupt_instance_history(self, instance_id: str) -> None:
        """Replace the stored events of the instance with undecodable text."""
        ...

    def corrupt_message(self, instance_id: str) -> None:
        """Replace the oldest orchestrator message of the instance with undecodable text."""
        ...

    def corrupt_worker_row(self, instance_id: str) -> None:
        """Replace the oldest worker item of the instance with undecodable text."""
        ...

    def break_calls(self, operation: str, *, change: int = 1, times: int = 1, retryable: bool = True) -> None:
        """Make the next calls of an operation fail midway, as they would in a failing store.

        Each fails with a ProviderError just before its `change`-th change, counted from 1; one that makes
        fewer changes succeeds. The store decides what counts as a change: a statement, a written record.
        """
        ...


class HookMissing(ConfigurationError):
    """A third-party store lacks an inspection hook; whatever needs it cannot be judged."""


def inspectable(store: Store, *hooks: str) -> InspectableStore:
    """The store, if it has these inspection hooks (PV-33.2). Raises HookMissing for the first it lacks."""
    for hook in hooks:
        if not hasattr(store, hook):
            raise HookMissing(no_hook(hook))
    return cast(InspectableStore, store)


def no_hook(hook: str) -> str:
    """The message for a store that lacks an inspection hook."""
    return f"this provider's store has no inspection hook {hook!r} (PV-33.2)"
