"""The contract between the runtime and its storage, `provider.md` as one Protocol.

A provider stores what it is given and hands it out; it decides nothing (PV-1.3). Every method is atomic: all
of its effects or none (PV-28.1). Every method fails only by raising `ProviderError` (PV-4.1). Durations are
whole milliseconds, `Millis`; a lock is held while now < expiry and free from then on (PV-3.5).

Each docstring has the same parts: Atomic, Requires, Raises, Must not, Clauses. Management is a second,
optional object (`core.management`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from holdfast.core.contract.arguments import OF_OPTIONS, text
from holdfast.core.contract.errors import ConfigurationError, ProviderError
from holdfast.core.contract.events import StoredEvent
from holdfast.core.contract.ids import LockToken, Millis
from holdfast.core.contract.management import Management
from holdfast.core.contract.work_items import ActivityExecute, Message

ExecutionStatus = Literal["Running", "Completed", "Failed", "ContinuedAsNew"]
TERMINAL_STATUSES: frozenset[str] = frozenset({"Completed", "Failed"})
"""Statuses that end the instance, not only the execution (PV-25.6)."""

TAGS_MAX = 5


class KvEntry(NamedTuple):
    """A settled key-value entry and when it was last set."""

    value: str
    last_updated_at_ms: int


class Version(NamedTuple):
    """A version as compared by capability filters: three unbounded numbers (PV-13.4)."""

    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


class SemverRange(NamedTuple):
    """Versions from `min` to `max`, both ends included."""

    min: Version
    max: Version


@dataclass(frozen=True, slots=True)
class DispatcherCapabilityFilter:
    """Which pinned versions a dispatcher can replay; only the first range counts (PV-13.2, PV-13.3)."""

    supported_duroxide_versions: tuple[SemverRange, ...]

    def admits(self, pinned: Version | None) -> bool:
        """Whether an execution pinned at this version (or not pinned) is compatible (PV-13.1 to PV-13.3)."""
        if not self.supported_duroxide_versions:
            return False
        if pinned is None:
            return True
        first = self.supported_duroxide_versions[0]
        return first.min <= pinned <= first.max


@dataclass(frozen=True, slots=True)
class TagFilter:
    """Which worker rows a fetch considers, by tag (PV-12). Build one with the class methods."""

    untagged: bool
    any_tag: bool = False
    tags: frozenset[str] = frozenset()

    @classmethod
    def default_only(cls) -> TagFilter:
        """Untagged rows only; the default."""
        return cls(untagged=True)

    @classmethod
    def only(cls, *tags: str) -> TagFilter:
        """`Tags(S)`: rows whose tag is one of these. Raises ConfigurationError for none or too many."""
        return cls(untagged=False, tags=_checked_tags(tags))

    @classmethod
    def default_and(cls, *tags: str) -> TagFilter:
        """`DefaultAnd(S)`: untagged rows and rows whose tag is one of these."""
        return cls(untagged=True, tags=_checked_tags(tags))

    @classmethod
    def any(cls) -> TagFilter:
        """Every row."""
        return cls(untagged=True, any_tag=True)

    @classmethod
    def none(cls) -> TagFilter:
        """No row at all (PV-12.5)."""
        return cls(untagged=False)

    @property
    def matches_nothing(self) -> bool:
        """Whether a fetch with this filter returns None at once."""
        return not (self.untagged or self.any_tag or self.tags)

    def matches(self, tag: str | None) -> bool:
        """Exact comparison; the empty string is a tag (PV-12.4)."""
        if tag is None:
            return self.untagged
        return self.any_tag or tag in self.tags


def _checked_tags(tags: tuple[str, ...]) -> frozenset[str]:
    chosen = frozenset(text("a tag", tag, OF_OPTIONS) for tag in tags)
    if not chosen:
        raise ConfigurationError("a tag filter requires at least one tag, none was given")
    if len(chosen) > TAGS_MAX:
        raise ConfigurationError(f"a tag filter takes at most {TAGS_MAX} tags, {len(chosen)} were given")
    return chosen


DEFAULT_ONLY = TagFilter.default_only()


class ScheduledActivityIdentifier(NamedTuple):
    """Names an activity of an execution, for cancellation (RT-1.21, PV-15.2)."""

    instance: str
    execution_id: int
    activity_id: int


class ScheduledSessionIdentifier(NamedTuple):
    """Names a session of an instance (SS-3.1)."""

    instance: str
    session_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionMetadata:
    """The conclusions of a turn; None leaves the stored value as it is (PV-1.5, RT-5.29)."""

    status: ExecutionStatus | None = None
    output: str | None = None
    orchestration_name: str | None = None
    orchestration_version: str | None = None
    parent_instance_id: str | None = None
    pinned_duroxide_version: Version | None = None
    opened_sessions: Sequence[ScheduledSessionIdentifier] = ()
    cancelled_sessions: Sequence[ScheduledSessionIdentifier] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OrchestrationItem:
    """One batch: everything a turn of one instance needs (PV-7)."""

    instance: str
    orchestration_name: str
    execution_id: int
    version: str
    history: Sequence[StoredEvent]
    messages: Sequence[Message]
    history_error: str | None = None
    kv_snapshot: Mapping[str, KvEntry] = field(default_factory=dict)


class FetchedTurn(NamedTuple):
    """A batch, the token of its instance lock, and the highest attempt count in it."""

    item: OrchestrationItem
    token: LockToken
    attempt_count: int


class FetchedWork(NamedTuple):
    """A worker item, the token of its item lock, and its attempt count."""

    item: ActivityExecute
    token: LockToken
    attempt_count: int


class CustomStatus(NamedTuple):
    """The custom status text and its version."""

    text: str | None
    version: int


class Provider(Protocol):
    """The storage of the durable runtime. Subclass it to inherit the defaults for missing session support."""

    def name(self) -> str:
        """For diagnosis only (PV-1.6)."""
        return "unknown"

    def version(self) -> str:
        """For diagnosis only (PV-1.6)."""
        return "0.0.0"

    def supports_sessions(self) -> bool:
        """Constant for a provider object; False unless overridden (SS-12.1, PV-24.1)."""
        return False

    def as_management(self) -> Management | None:
        """The management object, or None unless all of it is implemented (PV-1.7)."""
        return None

    async def close(self) -> None:
        """Wait for running calls, free connections; later calls raise permanent errors (PV-28.12)."""
        ...

    # --- the orchestrator queue -----------------------------------------------------------------------

    async def enqueue_for_orchestrator(self, item: Message, *, delay: Millis | None = None) -> None:
        """Put one message in the orchestrator queue, visible from now + delay.

        Atomic: one row, unlocked, attempt count 0.
        Requires: nothing; the instance need not exist.
        Raises: ProviderError, permanent, for an `ActivityExecute` or a negative delay.
        Must not: create an instance; interpret `fire_at_ms`; drop duplicates.
        Clauses: PV-6.
        """
        ...

    async def fetch_orchestration_item(
        self, lock_timeout: Millis, poll_timeout: Millis, filter: DispatcherCapabilityFilter | None = None
    ) -> FetchedTurn | None:
        """Take the next instance with visible messages, its lock, and all it needs for a turn.

        Atomic: (1) the instance is locked until now + lock_timeout, (2) its visible messages are marked and
            their attempts counted, (3) context, history and settled key-values are read. 1 without 2 runs a
            turn over messages that another turn deletes; 2 without 1 runs two turns at once.
        Requires: `poll_timeout` is the longest time it may wait; 0 answers at once.
        Raises: ProviderError; never leaves a lock behind when it raises.
        Must not: return None while there is a candidate; decode what the filter excludes.
        Clauses: PV-7, PV-13, PV-14, PV-23.
        """
        ...

    async def ack_orchestration_item(
        self,
        token: LockToken,
        *,
        execution_id: int,
        history_delta: Sequence[StoredEvent],
        worker_items: Sequence[ActivityExecute],
        orchestrator_items: Sequence[Message],
        metadata: ExecutionMetadata,
        cancelled_activities: Sequence[ScheduledActivityIdentifier],
    ) -> None:
        """Commit one turn and release its instance.

        Atomic: (1) the batch is deleted, (2) records, status and history are written, (3) closed sessions are
            deleted with their rows, opened ones are created unattached, (4) work is enqueued, (5) cancelled
            rows are deleted, (6) the instance lock is released. All or none: 2 without 4 loses an activity,
            4 without 2 runs it twice, 4 without 3 shows an item whose session does not exist.
        Requires: `token` holds the instance lock now; the caller has assigned the event ids.
        Raises: ProviderError, permanent, for a stale or expired token, a duplicate event, a wrong variant, a
            session of another instance. Nothing has changed then, and the lock is still held.
        Must not: assign numbers; look inside events, except as PV-1.4 allows.
        Clauses: PV-8, PV-5, PV-15, PV-16, PV-17, PV-25, SS-12.10.
        """
        ...

    async def abandon_orchestration_item(
        self, token: LockToken, *, delay: Millis | None = None, ignore_attempt: bool = False
    ) -> None:
        """Give a batch back unprocessed.

        Atomic: (1) the lock is released, (2) the batch is unmarked, (3) with a delay, the instance is hidden
            until now + delay, (4) with ignore_attempt, the batch's attempt counts go down by one.
        Requires: `token` is current, held or expired.
        Raises: ProviderError, permanent, if it is unknown or superseded.
        Must not: make a future message visible earlier; change the counts of messages outside the batch.
        Clauses: PV-9.1 to PV-9.6, PV-9.9.
        """
        ...

    async def renew_orchestration_item_lock(self, token: LockToken, *, extend_for: Millis) -> None:
        """Extend an instance lock that is still held to now + extend_for.

        Atomic: one expiry.
        Requires: `token` is current and held.
        Raises: ProviderError, permanent, if unknown, superseded or expired.
        Must not: revive an expired lock.
        Clauses: PV-9.7, PV-9.8, PV-9.9.
        """
        ...

    # --- the worker queue -----------------------------------------------------------------------------

    async def enqueue_for_worker(self, item: ActivityExecute) -> None:
        """Put one activity in the worker queue, visible now.

        Atomic: one row with all its look-up copies, including the session id.
        Requires: nothing; the instance need not exist.
        Raises: ProviderError, permanent, for anything but an `ActivityExecute`.
        Must not: leave the session id only inside the encoded item.
        Clauses: PV-10.1, PV-24.22, SS-10.4.
        """
        ...

    async def fetch_work_item(
        self, lock_timeout: Millis, poll_timeout: Millis, tag_filter: TagFilter = DEFAULT_ONLY
    ) -> FetchedWork | None:
        """Take the oldest eligible item that is bound to no session.

        Atomic: (1) the item is locked until now + lock_timeout, (2) its attempt is counted.
        Requires: `poll_timeout` is the longest time it may wait.
        Raises: ProviderError; never leaves a lock behind when it raises.
        Must not: return a session-bound item, whatever its session's state; let an ineligible item hide an
            eligible one.
        Clauses: PV-10, PV-12, SS-12.2, SS-13.
        """
        ...

    async def fetch_session_work_item(
        self,
        lock_timeout: Millis,
        poll_timeout: Millis,
        *,
        worker_id: str,
        session_lock_duration: Millis,
        tag_filter: TagFilter = DEFAULT_ONLY,
        claim_new: bool = True,
    ) -> FetchedWork | None:
        """Take the oldest eligible item, session-bound or not, and with it the session.

        Atomic: (1) the item is locked, its attempt counted, its worker recorded, (2) its session becomes
            or stays attached to the worker, until max(its own expiry, now + session_lock_duration). 1 without
            2 runs a session on two workers; 2 without 1 pins a session to a worker that does nothing for it.
        Requires: `worker_id` is not empty. With `claim_new`, sessions that are absent, unattached or lapsed
            are considered as well as those attached to the worker; without it, only the latter.
        Raises: ProviderError, permanent, without session support or for an empty worker name.
        Must not: change anything for items it passes over; change an owner when `claim_new` is False.
        Clauses: PV-24, SS-12.3 to SS-12.6, SS-13, SS-25.3 to SS-25.7.
        """
        raise _no_sessions("fetch_session_work_item")

    async def ack_work_item(
        self,
        token: LockToken,
        completion: Message | None = None,
    ) -> None:
        """Finish an item: delete it and enqueue its completion, if any.

        Atomic: (1) the row is deleted, (2) the completion is enqueued. 1 without 2 lets the orchestration
            wait forever; 2 without 1 completes it twice.
        Requires: `token` is current and held.
        Raises: ProviderError, permanent, if the row is gone, the token superseded or expired, or the
            completion is neither `ActivityCompleted` nor `ActivityFailed`.
        Must not: touch the session row.
        Clauses: PV-11.1 to PV-11.6, SS-12.13, SS-12.15.
        """
        ...

    async def renew_work_item_lock(
        self, token: LockToken, *, extend_for: Millis, extend_session_for: Millis | None = None
    ) -> None:
        """Extend an item lock and, if the item is session-bound, its session: both or neither.

        Atomic: (1) item expiry = now + extend_for, (2) session expiry = max(old, now + extend_session_for).
        Requires: `token` is current and held, and for a session-bound item the session names the worker that
            fetched the item, live or expired. `extend_session_for` defaults to `extend_for`.
        Raises: ProviderError, permanent, otherwise; with the text of PV-4.12 if the session is the reason.
        Must not: extend one of the two alone; look at the orchestration's state.
        Clauses: PV-11.7, PV-11.8, PV-11.12, PV-26.6, SS-7.6, SS-7.7, SS-12.9.
        """
        ...

    async def abandon_work_item(
        self, token: LockToken, *, delay: Millis | None = None, ignore_attempt: bool = False
    ) -> None:
        """Give an item back at its old rank, visible from now + delay.

        Atomic: (1) lock and recorded worker are cleared, (2) with ignore_attempt, the count goes down by one.
        Requires: `token` is current, held or expired.
        Raises: ProviderError, permanent, if the row is gone or the token superseded.
        Must not: touch the session row; renumber the item.
        Clauses: PV-11.9 to PV-11.11, SS-12.14.
        """
        ...

    # --- sessions -------------------------------------------------------------------------------------

    async def renew_session_lock(
        self, instance_id: str, session_id: str, worker_id: str, *, extend_for: Millis
    ) -> None:
        """Extend a session that still names this worker, live or expired.

        Atomic: expiry = max(old, now + extend_for), decided and written in one step.
        Requires: the record exists and its worker_id is `worker_id`.
        Raises: ProviderError, permanent, with the text of PV-4.12 otherwise.
        Must not: create a record; steal back a session another worker has claimed.
        Clauses: PV-26.1 to PV-26.4, SS-12.7, SS-25.8 to SS-25.10.
        """
        raise _no_sessions("renew_session_lock")

    async def release_session_lock(self, instance_id: str, session_id: str, worker_id: str) -> None:
        """Release a session if it is this worker's; the record stays, unattached.

        Atomic: worker and expiry are cleared together.
        Requires: nothing.
        Raises: ProviderError, permanent, only without session support.
        Must not: do anything if the record is missing or names another worker; look at items.
        Clauses: PV-26.5, SS-12.8, SS-25.13, SS-25.14.
        """
        raise _no_sessions("release_session_lock")

    # --- reads ----------------------------------------------------------------------------------------

    async def read(self, instance_id: str) -> list[StoredEvent]:
        """The history of the highest recorded execution, by ascending event number; empty if unknown.

        Raises: ProviderError, permanent, if any event cannot be decoded.
        Clauses: PV-5.14, PV-5.15.
        """
        ...

    async def read_with_execution(self, instance_id: str, execution_id: int) -> list[StoredEvent]:
        """The history of one execution, by ascending event number; empty if there is none.

        Raises: ProviderError, permanent, if any event cannot be decoded.
        Clauses: PV-5.13, PV-5.15.
        """
        ...

    async def append_with_execution(
        self, instance_id: str, execution_id: int, events: Sequence[StoredEvent]
    ) -> None:
        """Store events without a lock and without creating records; for tests and repair tools only.

        Atomic: all events or none.
        Raises: ProviderError, permanent, for a duplicate or zero event number.
        Clauses: PV-5.16.
        """
        ...

    async def get_custom_status(self, instance_id: str, last_seen_version: int) -> CustomStatus | None:
        """The custom status if its version is higher than the one seen, else None.

        Clauses: PV-16.5, PV-16.6.
        """
        ...

    async def get_kv_value(self, instance_id: str, key: str) -> str | None:
        """One value as clients see it: the running execution's changes over the settled ones.

        Clauses: PV-17.10 to PV-17.14.
        """
        ...

    async def get_kv_all_values(self, instance_id: str) -> dict[str, str]:
        """All values as clients see them.

        Clauses: PV-17.10, PV-17.11, PV-17.14.
        """
        ...


def reported_version(stored: str | None) -> str:
    """An orchestration version as turns and management report it; an empty one is one (PV-2.15, PV-7.11)."""
    return "unknown" if stored is None else stored


def _no_sessions(operation: str) -> ProviderError:
    return ProviderError.permanent(operation, "this provider does not support sessions")


def session_not_owned(operation: str, instance_id: str, session_id: str, worker_id: str) -> ProviderError:
    """The error for a refused session renewal, with the text of PV-4.12 (SS-12.7)."""
    return ProviderError.permanent(operation, f"session {instance_id}/{session_id} not owned by {worker_id}")
