"""Attempt: one delivery of one worker item to one slot, and the token that tells its handler to stop.

    delivered ──▶ bound to a lease, if it has a session ──▶ started ──▶ (signalled) ──▶ over ──▶ disposed of
              └─────────────────────── no handler for it ─────────────────────────────▶ over ──▶ disposed of

Whoever runs it reports when its handler has stopped: before it is over, or long after it was disposed of, for
a thread that nobody can stop. Each of these happens once.
"""

from __future__ import annotations

import asyncio
from typing import Literal

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

Disposal = Literal["completed", "acknowledged without completion", "given back"]


class CancellationToken:
    """Fires at most once, for whatever cause; then it stays fired (SS-2.9).

    It may be asked and awaited in any thread, and on any loop.
    """

    __slots__ = ("_fired", "_waiting")

    def __init__(self) -> None:
        self._fired = False
        self._waiting: dict[asyncio.Future[None], asyncio.AbstractEventLoop] = {}

    def is_cancelled(self) -> bool:
        """Whether it has fired. Plain-function activities ask this from their thread."""
        return self._fired

    async def wait(self) -> None:
        """Return once it has fired."""
        if self._fired:
            return
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._waiting[future] = loop
        try:
            if not self._fired:  # in another thread, since it was asked
                await future
        finally:
            del self._waiting[future]

    def _fire(self) -> None:
        """For the attempt alone: user code holds this object too."""
        assert not self._fired, "a handler is told to stop for the second time"
        self._fired = True  # first: who comes to wait from now on does not
        here = asyncio._get_running_loop()
        for future, loop in tuple(self._waiting.items()):
            if loop is here:
                _release(future)
                continue
            try:
                loop.call_soon_threadsafe(_release, future)
            except RuntimeError:
                continue  # that loop is closed: nobody waits there any more


def _release(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class Attempt:
    """What a slot, the lease keeper and the item renewal share about one delivery."""

    __slots__ = (
        "_changed",
        "_observer",
        "attempt_count",
        "cancellation",
        "cause",
        "disposal",
        "item",
        "lease",
        "over",
        "running",
        "signalled_at",
        "stop_outcome",
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
        """The handler has stopped or never ran: nothing signals it any more."""
        self.running = False
        self.stop_outcome: StopOutcome | None = None
        self.disposal: Disposal | None = None
        """How the item was disposed of; set when the call is made or, for a completion, accepted."""
        self._changed = asyncio.Event()
        self._observer = observer

    @property
    def session(self) -> ScheduledSessionIdentifier | None:
        if self.item.session_id is None:
            return None
        return ScheduledSessionIdentifier(self.item.instance, self.item.session_id)

    @property
    def signalled(self) -> bool:
        """Whether the handler was told to stop; its result is discarded then (SS-7.20)."""
        return self.cause is not None

    def bind(self, lease: Lease) -> None:
        """It is covered by this lease, to its end."""
        assert self.lease is None, f"{self.token} is bound to a lease on {lease.key}, and was bound before"
        assert lease.key == self.session, (
            f"{self.token}, of {self.session}, is bound to a lease on {lease.key}"
        )
        self.lease = lease

    def dispose(self, disposal: Disposal) -> None:
        """Record how the item is disposed of. Once: a second call would hit the next delivery's lock."""
        assert self.disposal is None, f"{self.token} was {self.disposal}, and is {disposal} now"
        assert self.over, f"{self.token} is {disposal} while its handler may still be signalled"
        self.disposal = disposal

    def signal(self, cause: SignalCause, now: Micros) -> None:
        """Tell the handler to stop; the first cause counts, later ones do nothing (SS-7.13, INV-24)."""
        if self.cause is not None or self.over:
            return
        self.cause = cause
        self.signalled_at = now
        if self._observer is not None:
            self._observer.notify(HandlerSignalled(self.worker_id, self.token, cause))
        self.cancellation._fire()
        self.wake()

    def named(self) -> dict[str, object]:
        """The fields that identify it in log records (RT-23.5)."""
        item = self.item
        return {
            "instance_id": item.instance,
            "execution_id": item.execution_id,
            "activity_name": item.name,
            "activity_id": item.id,
            "activity_tag": item.tag,
            "session_id": item.session_id,
            "worker_id": self.worker_id,
            "attempt_count": self.attempt_count,
        }

    def wake(self) -> None:
        """Something changed that `change` waits for: a signal, the handler's end, a timer."""
        self._changed.set()

    async def change(self) -> None:
        """Wait for the next `wake`."""
        await self._changed.wait()
        self._changed.clear()

    def started(self) -> None:
        assert not self.over, f"a handler is started for {self.token}, which is over"
        assert not self.running, f"a second handler is started for {self.token}"
        self.running = True
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
        """Report that the handler has stopped, or that none was started."""
        assert self.stop_outcome is None, f"{self.token} stopped: {outcome}, and before: {self.stop_outcome}"
        assert self.running is (outcome != "not_started"), (
            f"{self.token} stopped: {outcome}, and its handler was {'' if self.running else 'not '}started"
        )
        self.running = False
        self.stop_outcome = outcome
        if self._observer is not None:
            self._observer.notify(HandlerStopped(self.worker_id, self.token, outcome))
