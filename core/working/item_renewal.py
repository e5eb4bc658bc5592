"""ItemRenewals: keep the item lock of a running activity, and its session's with it (RT-6.3, SS-7.6)."""

from __future__ import annotations

import asyncio

from holdfast.core.contract.clock import Clock
from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import Micros
from holdfast.core.contract.provider import Provider
from holdfast.core.hosting.backoff import renewal_pause
from holdfast.core.hosting.crew import Crew
from holdfast.core.hosting.log import Log
from holdfast.core.hosting.options import Timing
from holdfast.core.working.attempt import Attempt
from holdfast.core.working.lease_keeper import LeaseKeeper
from holdfast.core.working.lease_records import RenewalAnswer


class ItemRenewals:
    """Starts the renewal of item locks; shared by the slots of a worker."""

    def __init__(
        self, provider: Provider, clock: Clock, crew: Crew, keeper: LeaseKeeper, log: Log, *, timing: Timing
    ) -> None:
        self.provider = provider
        self.clock = clock
        self.keeper = keeper
        self.log = log
        self.timing = timing
        self._crew = crew

    def start(self, attempt: Attempt) -> ItemRenewalTask:
        """Renew this attempt's lock every I from now on, until it is stopped, signalled or refused."""
        assert not attempt.over, f"the lock of {attempt.token} is to be renewed, and it is over"
        renewal = ItemRenewalTask(self, attempt)
        renewal.task = self._crew.start(renewal.run(), name=f"renew {attempt.token}")
        return renewal


class ItemRenewalTask:
    """The renewal of one item lock. One call at a time: the next is planned when the last was answered.

    A call on its way is never cancelled; it is only the last. Cancelling would not undo it: it may have
    committed, or may yet, and the lease must know of every call that may extend its session.
    """

    def __init__(self, shared: ItemRenewals, attempt: Attempt) -> None:
        self._shared = shared
        self._attempt = attempt
        self._calling = False
        self._stopped = False
        self._failure_count = 0
        self._due = Micros(shared.clock.monotonic_us() + shared.timing.item_renewal)
        self.task: asyncio.Task[None] | None = None
        shared.keeper.plan_item_renewal(attempt, self._due)

    def stop(self) -> None:
        """Send no further renewal."""
        if self._stopped:
            return
        self._stopped = True
        if not self._calling:
            self._shared.keeper.plan_item_renewal(self._attempt, None)
            if self.task is not None:
                self.task.cancel()

    async def run(self) -> None:
        """Sleep, renew, sleep, ... A permanent error is a loss of this item alone (SS-7.23)."""
        shared = self._shared
        try:
            while True:
                await shared.clock.sleep_until(self._due)
                shared.keeper.advance()  # after a pause the lease may be past its deadline (SS-24.10)
                if self._stopped or self._attempt.signalled or not await self._renew():
                    return
        except AssertionError as error:
            # Nobody renews this lock any more: it is as good as lost, so the item is given back.
            shared.log.failed_assertion(error, **self._attempt.named())
            self._attempt.signal("item_lost", shared.clock.monotonic_us())

    async def _renew(self) -> bool:
        """Send one renewal and plan the next; returns whether there is to be one."""
        attempt, shared = self._attempt, self._shared
        assert not self._calling, f"two renewals of the lock of {attempt.token} are out"
        sent = shared.clock.monotonic_us()
        call = shared.keeper.item_renewal_sent(attempt)
        error: ProviderError | None = None
        self._calling = True
        try:
            await shared.provider.renew_work_item_lock(
                attempt.token,
                extend_for=shared.timing.item_lock,
                extend_session_for=None if attempt.session is None else shared.timing.session_lock,
            )
        except ProviderError as failure:
            error = failure
        self._calling = False
        over = self._stopped or attempt.signalled
        if error is not None and not error.retryable:
            if not over:
                self._refused(error)
            shared.keeper.item_renewal_answered(call, "refused", None)
            return False
        if error is not None and not self._failure_count:  # the first of a streak
            shared.log.warning("Lock renewal failed, trying again", **attempt.named(), error=str(error))
        answer: RenewalAnswer = "extended" if error is None else "unknown"
        self._due = self._next(sent, failed=error is not None)
        shared.keeper.item_renewal_answered(call, answer, None if over else self._due)
        return not over

    def _next(self, sent: Micros, *, failed: bool) -> Micros:
        shared = self._shared
        interval = shared.timing.item_renewal
        if not failed:
            self._failure_count = 0
            return Micros(sent + interval)
        self._failure_count += 1
        return Micros(shared.clock.monotonic_us() + renewal_pause(self._failure_count, interval))

    def _refused(self, error: ProviderError) -> None:
        if self._shared.log.hears("info"):
            self._shared.log.info(
                "Lock renewal failed, signaling activity cancellation (lock was stolen or expired)",
                **self._attempt.named(),
                error=str(error),
            )
        self._attempt.signal("item_lost", self._shared.clock.monotonic_us())
