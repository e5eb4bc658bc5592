"""What one check runs on: a fresh store, its clock, and the steps that checks are made of.

Steps come in threes: `turn` takes one and fails the check if there is none, `no_turn` fails it if there is
one, `try_turn` returns what comes. The same for `work` (the plain fetch) and `claim` (the session fetch).
`by` names another provider object than the first one opened.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.events import StoredEvent
from holdfast.core.contract.ids import LockToken, Millis
from holdfast.core.contract.management import Management
from holdfast.core.contract.provider import (
    DEFAULT_ONLY,
    DispatcherCapabilityFilter,
    ExecutionMetadata,
    ExecutionStatus,
    FetchedTurn,
    FetchedWork,
    Provider,
    ScheduledActivityIdentifier,
    SemverRange,
    TagFilter,
    Version,
)
from holdfast.core.contract.store import HookMissing, InspectableStore, SessionRecord, WorkerRow, inspectable
from holdfast.core.contract.work_items import ActivityExecute, Message
from holdfast.providers.conformance import expect
from holdfast.providers.conformance.harness import CountingIds, Factory, Skipped, SteppedClock
from holdfast.providers.conformance.messages import FLOW, VERSION, external, session, start, started

NOW = Millis(0)
LEASE = Millis(30_000)
"""How long a session is claimed for: longer than an item lock, so that no check confuses the two."""


class Fixture:
    """A fresh, isolated store for one check (PV-33.1)."""

    def __init__(self, factory: Factory) -> None:
        self.factory = factory
        self.clock = SteppedClock()
        self.ids = CountingIds()
        self.store = factory.create(self.clock, self.ids)
        self.provider = self.store.open()
        self.enqueued_directly: dict[tuple[str, str], bool] = {}
        self.damaged = False
        """Set by a check that corrupts the store; the audit then leaves decoding alone."""

    @property
    def lock_timeout(self) -> Millis:
        """How long instance and item locks are taken for."""
        return self.factory.lock_timeout

    @property
    def rounds(self) -> int:
        """How often each race is run."""
        return self.factory.rounds

    @property
    def management(self) -> Management:
        """The management object, which the contract's providers all have (PV-1.7)."""
        return expect.present(self.provider.as_management(), "as_management()")

    def open(self) -> Provider:
        """A second provider object on the same store, as another process has it."""
        return self.store.open()

    async def close(self) -> None:
        """Close everything the check has opened."""
        try:
            await self.provider.close()
        finally:
            self.store.close()

    # --- putting things in --------------------------------------------------------------------------------

    async def send(self, *messages: Message, delay: int | None = None) -> None:
        """Enqueue messages for orchestrators."""
        for message in messages:
            wait = None if delay is None else Millis(delay)
            await self.provider.enqueue_for_orchestrator(message, delay=wait)

    async def put(self, *items: ActivityExecute) -> None:
        """Enqueue activities outside any turn."""
        for item in items:
            if item.session_id is not None:
                self.enqueued_directly[item.instance, item.session_id] = True
            await self.provider.enqueue_for_worker(item)

    # --- turns --------------------------------------------------------------------------------------------

    async def try_turn(
        self,
        *,
        by: Provider | None = None,
        filter: DispatcherCapabilityFilter | None = None,
        lock: int | None = None,
        poll: int = 0,
    ) -> FetchedTurn | None:
        """Fetch a turn, if there is one."""
        lock_timeout = self.lock_timeout if lock is None else Millis(lock)
        return await (by or self.provider).fetch_orchestration_item(lock_timeout, Millis(poll), filter)

    async def turn(
        self,
        instance: str | None = None,
        *,
        by: Provider | None = None,
        filter: DispatcherCapabilityFilter | None = None,
        lock: int | None = None,
    ) -> FetchedTurn:
        """Fetch a turn; of this instance, if one is named."""
        turn = expect.present(await self.try_turn(by=by, filter=filter, lock=lock), "a turn")
        if instance is not None:
            expect.equal(turn.item.instance, instance, "the instance handed out")
        return turn

    async def no_turn(
        self, *, by: Provider | None = None, filter: DispatcherCapabilityFilter | None = None
    ) -> None:
        """There is no turn to fetch."""
        expect.nothing(await self.try_turn(by=by, filter=filter), "fetch_orchestration_item")

    async def ack(
        self,
        turn: FetchedTurn,
        *events: StoredEvent,
        by: Provider | None = None,
        execution_id: int | None = None,
        work: Sequence[ActivityExecute] = (),
        messages: Sequence[Message] = (),
        cancelled: Sequence[ScheduledActivityIdentifier] = (),
        opened: Sequence[str] = (),
        closed: Sequence[str] = (),
        name: str | None = None,
        version: str | None = None,
        status: ExecutionStatus | None = None,
        output: str | None = None,
        parent: str | None = None,
        pin: Version | None = None,
    ) -> None:
        """Acknowledge a turn. `opened` and `closed` name sessions of the turn's instance."""
        instance = turn.item.instance
        await (by or self.provider).ack_orchestration_item(
            turn.token,
            execution_id=turn.item.execution_id if execution_id is None else execution_id,
            history_delta=list(events),
            worker_items=list(work),
            orchestrator_items=list(messages),
            metadata=ExecutionMetadata(
                status=status,
                output=output,
                orchestration_name=name,
                orchestration_version=version,
                parent_instance_id=parent,
                pinned_duroxide_version=pin,
                opened_sessions=[session(each, instance) for each in opened],
                cancelled_sessions=[session(each, instance) for each in closed],
            ),
            cancelled_activities=list(cancelled),
        )

    async def begin(self, instance: str = "i", *events: StoredEvent, **ack: Any) -> None:
        """The first turn of an instance: its start message, event 1, name and version, and `ack`'s rest."""
        await self.send(start(instance, parent=ack.get("parent")))
        turn = await self.turn(instance)
        await self.ack(turn, started(), *events, **{"name": FLOW, "version": VERSION, **ack})

    async def step(self, instance: str = "i", *events: StoredEvent, **ack: Any) -> None:
        """Another turn of an instance, brought about by an external event."""
        await self.send(external(instance))
        await self.ack(await self.turn(instance), *events, **ack)

    async def messages(self, instance: str = "i") -> list[Message]:
        """The messages waiting for an instance, taken from the queue by an empty turn."""
        turn = await self.turn(instance)
        await self.ack(turn)
        return list(turn.item.messages)

    async def renew_turn(self, turn: FetchedTurn, extend_for: int | None = None) -> None:
        """Extend an instance lock, by the usual time if none is given."""
        longer = self.lock_timeout if extend_for is None else Millis(extend_for)
        await self.provider.renew_orchestration_item_lock(turn.token, extend_for=longer)

    async def abandon_turn(
        self, turn: FetchedTurn, delay: int | None = None, *, ignore_attempt: bool = False
    ) -> None:
        """Give a turn back."""
        wait = None if delay is None else Millis(delay)
        await self.provider.abandon_orchestration_item(turn.token, delay=wait, ignore_attempt=ignore_attempt)

    # --- work without a session ---------------------------------------------------------------------------

    async def try_work(
        self,
        tags: TagFilter = DEFAULT_ONLY,
        *,
        by: Provider | None = None,
        lock: int | None = None,
        poll: int = 0,
    ) -> FetchedWork | None:
        """The plain fetch, whatever it returns."""
        lock_timeout = self.lock_timeout if lock is None else Millis(lock)
        return await (by or self.provider).fetch_work_item(lock_timeout, Millis(poll), tags)

    async def work(
        self, tags: TagFilter = DEFAULT_ONLY, *, by: Provider | None = None, lock: int | None = None
    ) -> FetchedWork:
        """The plain fetch returns an item."""
        return expect.present(await self.try_work(tags, by=by, lock=lock), "a work item")

    async def no_work(self, tags: TagFilter = DEFAULT_ONLY, *, by: Provider | None = None) -> None:
        """The plain fetch returns nothing."""
        expect.nothing(await self.try_work(tags, by=by), "fetch_work_item")

    async def all_work(self, tags: TagFilter = DEFAULT_ONLY) -> list[int]:
        """The activity numbers of all items that the plain fetch hands out, which acknowledges them."""
        numbers = []
        while (work := await self.try_work(tags)) is not None:
            numbers.append(work.item.id)
            await self.provider.ack_work_item(work.token)
        return numbers

    # --- work with sessions -------------------------------------------------------------------------------

    async def try_claim(
        self,
        worker: str = "A",
        *,
        by: Provider | None = None,
        lock: int | None = None,
        lease: int = LEASE,
        poll: int = 0,
        tags: TagFilter = DEFAULT_ONLY,
        claim_new: bool = True,
    ) -> FetchedWork | None:
        """The session fetch, whatever it returns."""
        return await (by or self.provider).fetch_session_work_item(
            self.lock_timeout if lock is None else Millis(lock),
            Millis(poll),
            worker_id=worker,
            session_lock_duration=Millis(lease),
            tag_filter=tags,
            claim_new=claim_new,
        )

    async def claim(self, worker: str = "A", **fetch: Any) -> FetchedWork:
        """The session fetch returns an item."""
        return expect.present(await self.try_claim(worker, **fetch), f"a work item for {worker}")

    async def no_claim(self, worker: str = "A", **fetch: Any) -> None:
        """The session fetch returns nothing."""
        expect.nothing(await self.try_claim(worker, **fetch), f"fetch_session_work_item by {worker}")

    async def renew_work(
        self, work: FetchedWork, extend_for: int | None = None, *, session_for: int | None = None
    ) -> None:
        """Extend an item lock, by the usual time if none is given."""
        await self.provider.renew_work_item_lock(
            work.token,
            extend_for=self.lock_timeout if extend_for is None else Millis(extend_for),
            extend_session_for=None if session_for is None else Millis(session_for),
        )

    async def renew_session(
        self, worker: str = "A", *, instance: str = "i", session_id: str = "s", extend_for: int = LEASE
    ) -> None:
        """Extend a session."""
        await self.provider.renew_session_lock(instance, session_id, worker, extend_for=Millis(extend_for))

    async def release(self, worker: str = "A", *, instance: str = "i", session_id: str = "s") -> None:
        """Release a session."""
        await self.provider.release_session_lock(instance, session_id, worker)

    # --- inspection: a check that needs a missing hook is skipped -----------------------------------------

    def hook(self, name: str) -> InspectableStore:
        """The store, if it has this inspection hook (PV-33.2). Raises Skipped if not."""
        try:
            return inspectable(self.store, name)
        except HookMissing as error:
            raise Skipped(str(error)) from None

    def sessions(self) -> list[SessionRecord]:
        """All session records."""
        return self.hook("session_records").session_records()

    def session(self, session_id: str = "s", instance: str = "i") -> SessionRecord | None:
        """One session record."""
        for record in self.sessions():
            if (record.instance_id, record.session_id) == (instance, session_id):
                return record
        return None

    def rows(self) -> list[WorkerRow]:
        """All rows of the worker queue."""
        return self.hook("worker_rows").worker_rows()

    def attempts(self, instance: str = "i") -> int:
        """The highest attempt count among an instance's messages."""
        return self.hook("max_attempt_count").max_attempt_count(instance)

    def corrupt_history(self, instance: str = "i") -> None:
        """Make an instance's stored events unreadable."""
        store = self.hook("corrupt_instance_history")
        self.damaged = True
        store.corrupt_instance_history(instance)

    def corrupt_message(self, instance: str = "i") -> None:
        """Make an instance's oldest message unreadable."""
        self.hook("corrupt_message").corrupt_message(instance)

    def corrupt_worker_row(self, instance: str = "i") -> None:
        """Make an instance's oldest worker item unreadable."""
        self.hook("corrupt_worker_row").corrupt_worker_row(instance)


def versions(low: tuple[int, int, int], high: tuple[int, int, int]) -> DispatcherCapabilityFilter:
    """A filter of one range, both ends included."""
    return DispatcherCapabilityFilter((SemverRange(Version(*low), Version(*high)),))


def forged(turn: FetchedTurn) -> FetchedTurn:
    """The same turn under a token that nobody ever handed out."""
    return turn._replace(token=LockToken("made-up-token"))


def refused_by(outcome: object) -> bool:
    """Whether an outcome of a race is a refusal."""
    return isinstance(outcome, ProviderError)
