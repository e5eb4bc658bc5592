"""Attempt: one delivery of one worker item to one slot, and the token that tells its handler to stop."""

from __future__ import annotations

import asyncio

from holdfast.core.contract.ids import LockToken, Micros
from holdfast.core.contract.observe import (
    HandlerSignalled,
    HandlerStarted,
    HandlerStopped,
    Observer,
    SignalCause,
    StopOutcome,
)
from holdfast.core.contract.provider import FetchedWork, ScheduledSessionIdentifier
from holdfast.core.contract.work_items import ActivityExecute
from holdfast.core.working.lease_records import Lease


class CancellationToken:
    """Fires at most once, for whatever cause; then it stays fired (SS-2.9)."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def is_cancelled(self) -> bool:
        """Whether it has fired. Plain-function activities ask this from their thread."""
        return self._event.is_set()

    async def wait(self) -> None:
        """Return once it has fired."""
        await self._event.wait()

    def fire(self) -> None:
        """Tell the handler to stop."""
        self._event.set()


class Attempt:
    """What a slot, the lease keeper and the item renewal share about one delivery."""

    __slots__ = (
        "_changed",
        "_observer",
        "attempt_count",
        "cancellation",
        "cause",
        "item",
        "lease",
        "over",
        "signalled_at",
        "token",
        "worker_id",
    )

    def __init__(self, fetched: FetchedWork, *, worker_id: str, observer: Observer | None) -> None:
        self.item: ActivityExecute = fetched.item
        self.token: LockToken = fetched.token
        self.attempt_count = fetched.attempt_count
        self.worker_id = worker_id
        self.lease: Lease | None = None
        self.cancellation = CancellationToken()
        self.cause: SignalCause | None = None
        self.signalled_at = Micros(0)
        self.over = False
        """The handler runs no longer, or never did: nothing signals it any more."""
        self._changed = asyncio.Event()
        self._observer = observer

    @property
    def session(self) -> ScheduledSessionIdentifier | None:
        """The session the item is bound to."""
        if self.item.session_id is None:
            return None
        return ScheduledSessionIdentifier(self.item.instance, self.item.session_id)

    @property
    def signalled(self) -> bool:
        """Whether the handler was told to stop; its result is discarded then (SS-7.20)."""
        return self.cause is not None

    def signal(self, cause: SignalCause, now: Micros) -> None:
        """Tell the handler to stop; the first cause counts, later ones do nothing (SS-7.13, INV-24)."""
        if self.cause is not None or self.over:
            return
        self.cause = cause
        self.signalled_at = now
        if self._observer is not None:
            self._observer.notify(HandlerSignalled(self.worker_id, self.token, cause))
        self.cancellation.fire()
        self.wake()

    def named(self) -> dict[str, object]:
        """The fields by which log records name it (RT-23.5)."""
        item = self.item
        return {
            "instance_id": item.instance,
            "execution_id": item.execution_id,
            "activity_name": item.name,
            "activity_id": item.id,
            "activity_tag": item.tag,
            "session_id": item.session_id,
            "worker_id": self.worker_id,
        }

    def wake(self) -> None:
        """Something changed that `change` waits for: a signal, the handler's end, a timer."""
        self._changed.set()

    async def change(self) -> None:
        """Wait for the next `wake`."""
        await self._changed.wait()
        self._changed.clear()

    def started(self) -> None:
        """Tell that the handler begins."""
        if self._observer is not None:
            item = self.item
            self._observer.notify(
                HandlerStarted(
                    worker_id=self.worker_id,
                    token=self.token,
                    instance_id=item.instance,
                    execution_id=item.execution_id,
                    activity_id=item.id,
                    session_id=item.session_id,
                    attempt=self.attempt_count,
                )
            )

    def stopped(self, outcome: StopOutcome) -> None:
        """Tell that the handler runs no longer."""
        if self._observer is not None:
            self._observer.notify(HandlerStopped(self.worker_id, self.token, outcome))
