"""ActivityRunner: what happens to one delivered activity, from delivery to its final provider call (RT-6).

Every path ends in exactly one disposal of the item: acknowledged with a completion, given back, or, for an
item without session that was cancelled, acknowledged without one (RT-6.11). A session item is never
acknowledged without a completion: its orchestration would wait for ever (SS-7.20).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from holdfast.core.contract.clock import Clock
from holdfast.core.contract.codec import encode_work_item
from holdfast.core.contract.errors import CodecError, ProviderError
from holdfast.core.contract.failures import (
    FailureDetails,
    Poison,
    PoisonActivity,
    PoisonedMessage,
    application,
)
from holdfast.core.contract.ids import Micros, Millis
from holdfast.core.contract.observe import Logged, LogLevel, StopOutcome
from holdfast.core.contract.provider import Provider
from holdfast.core.contract.user_texts import error_text
from holdfast.core.contract.work_items import ActivityCompletedMessage, ActivityFailedMessage, Message
from holdfast.core.hosting.backoff import ABANDON_AFTER_ITEM_ACK, unregistered_delay
from holdfast.core.hosting.crew import Crew
from holdfast.core.hosting.final_call import final_call
from holdfast.core.hosting.log import Log
from holdfast.core.hosting.options import Timing
from holdfast.core.program import payload
from holdfast.core.program.registry import ActivityHandler
from holdfast.core.working.attempt import Attempt
from holdfast.core.working.handler import Handler, Handlers, NoThread
from holdfast.core.working.item_renewal import ItemRenewals
from holdfast.core.working.lease_keeper import LeaseKeeper


class ActivityRunner:
    """Runs attempts; shared by the slots of a worker."""

    def __init__(
        self,
        provider: Provider,
        clock: Clock,
        crew: Crew,
        keeper: LeaseKeeper,
        renewals: ItemRenewals,
        handlers: Handlers,
        lookup: Callable[[str], ActivityHandler | None],
        log: Log,
        *,
        timing: Timing,
        max_attempts: int,
    ) -> None:
        self._provider = provider
        self._clock = clock
        self._crew = crew
        self._keeper = keeper
        self._renewals = renewals
        self._handlers = handlers
        self._lookup = lookup
        self._log = log
        self._timing = timing
        self._max_attempts = max_attempts
        self._running: dict[Attempt, Handler] = {}
        self._stop_session_by: Micros | None = None
        self._stop_plain_by: Micros | None = None

    # --- shutdown -------------------------------------------------------------------------------------

    def stop(self, *, sessions_by: Micros, plain_by: Micros) -> None:
        """Signal session activities now; abort them at `sessions_by`, others at `plain_by` (SS-9.9)."""
        assert self._stop_plain_by is None, (
            f"activities are to stop by {plain_by}, and by {self._stop_plain_by}"
        )
        self._stop_session_by = sessions_by
        self._stop_plain_by = plain_by
        now = self._clock.monotonic_us()
        for attempt in tuple(self._running):
            if attempt.session is not None:
                attempt.signal("shutdown", now)
            attempt.wake()

    # --- an attempt -----------------------------------------------------------------------------------

    @property
    def has_room(self) -> bool:
        """Whether another activity may be fetched: there are not too many that do not stop."""
        return self._handlers.has_room

    async def room(self) -> None:
        """Return once another activity may be fetched."""
        await self._handlers.room()

    async def refuse(self, attempt: Attempt) -> None:
        """Give back an item whose handler was not started; the attempt does not count (SS-9.8, SS-14.16)."""
        assert attempt not in self._running, f"{attempt.token} is refused, and its handler runs"
        attempt.over = True
        attempt.stopped("not_started")
        await self._abandon(attempt, ignore_attempt=True)

    async def rescue(self, attempt: Attempt, error: AssertionError) -> None:
        """An assertion of our own code failed: log it and give the item back unless it is disposed of.

        The attempt counts, or an item that always fails like this would never end as poison.
        """
        self._log.failed_assertion(error, **attempt.named())
        if attempt.disposal is None:
            attempt.over = True
            if not attempt.running and attempt.stop_outcome is None:
                attempt.stopped("not_started")
            await self._abandon(attempt, delay=ABANDON_AFTER_ITEM_ACK)

    async def run(self, attempt: Attempt) -> None:
        """Everything between the delivery of an item and its disposal."""
        assert attempt not in self._running, f"{attempt.token} is run twice"
        if attempt.attempt_count > self._max_attempts:
            await self._poison(attempt)
            return
        function = self._lookup(attempt.item.name)
        if function is None:
            await self._unregistered(attempt)
            return
        renewal = self._renewals.start(attempt)
        try:
            handler = self._handlers.start(attempt, function)
        except NoThread as error:
            renewal.stop()
            await self._without_thread(attempt, error)
            return
        self._running[attempt] = handler
        began = self._clock.monotonic_us()
        self._tell("debug", "Activity started", attempt)
        try:
            await self._until_stopped(attempt, handler)
            self._keeper.advance()  # what the deadline has taken must not be acknowledged (SS-24.10)
            outcome = await handler.end(attempt.signalled)
            if not handler.done:
                self._handlers.give_up(handler)
            attempt.over = True
            renewal.stop()
            await self._dispose(attempt, handler, outcome, Micros(self._clock.monotonic_us() - began))
        finally:
            attempt.over = True
            renewal.stop()
            handler.abort()
            del self._running[attempt]

    async def _until_stopped(self, attempt: Attempt, handler: Handler) -> None:
        """Wait until the handler has ended, or its time after a signal is over (RT-6.11, SS-7.20)."""
        alarm = _Alarm(self._clock, self._crew, attempt)
        try:
            while not handler.done:
                due = self._stop_by(attempt)
                if due is not None:
                    if due <= self._clock.monotonic_us():
                        attempt.signal("shutdown", self._clock.monotonic_us())  # no news if it was signalled
                        return
                    alarm.set(due)
                await attempt.change()
        finally:
            alarm.cancel()

    def _stop_by(self, attempt: Attempt) -> Micros | None:
        limits = []
        if attempt.signalled:
            limits.append(Micros(attempt.signalled_at + self._timing.grace))
        shutdown = self._stop_plain_by if attempt.session is None else self._stop_session_by
        if shutdown is not None:
            limits.append(shutdown)
        return min(limits, default=None)

    async def _dispose(
        self, attempt: Attempt, handler: Handler, outcome: StopOutcome, duration: Micros
    ) -> None:
        duration_ms = duration // 1000
        if outcome in ("discarded", "aborted"):
            assert attempt.signalled, f"{attempt.token} is {outcome}, and nothing has signalled it"
            await self._discard(attempt)
            self._tell(
                "info",
                "Activity cancelled",
                attempt,
                outcome="cancelled",
                cause=attempt.cause,
                duration_ms=duration_ms,
            )
            return
        assert handler.done, f"{attempt.token} is {outcome} while its handler runs"
        assert not attempt.signalled, f"{attempt.token} is {outcome} after it was signalled: {attempt.cause}"
        item = attempt.item
        completion: Message
        error = handler.error
        if error is None:
            try:
                result = payload.encode(handler.result, "the result of activity", item.name)
            except CodecError as unencodable:
                error = unencodable
        if error is None:
            completion = ActivityCompletedMessage(
                instance=item.instance, execution_id=item.execution_id, id=item.id, result=result
            )
        else:
            completion = _failed(attempt, application(error_text(error), kind="ActivityFailed"))
        if not await self._complete(attempt, completion):
            return
        if error is None:
            self._tell(
                "debug",
                "Activity completed",
                attempt,
                outcome="success",
                result_size=len(result),
                duration_ms=duration_ms,
            )
        else:
            self._log.failure(
                "Activity failed (application error)",
                error,
                "warning",
                **attempt.named(),
                outcome="app_error",
                duration_ms=duration_ms,
            )

    # --- disposals ------------------------------------------------------------------------------------

    async def _poison(self, attempt: Attempt) -> None:
        """Too many attempts: fail the activity; the session, if any, is untouched (RT-6.2, SS-14.10)."""
        assert attempt.attempt_count > self._max_attempts, (
            f"{attempt.token} is poison after {attempt.attempt_count} of {self._max_attempts} attempts"
        )
        attempt.over = True
        item = attempt.item
        poison = Poison(
            attempt_count=attempt.attempt_count,
            max_attempts=self._max_attempts,
            message_type=PoisonedMessage(
                activity=PoisonActivity(
                    instance=item.instance,
                    execution_id=item.execution_id,
                    activity_name=item.name,
                    activity_id=item.id,
                )
            ),
            message=encode_work_item(item).decode(),
        )
        attempt.stopped("not_started")
        if await self._complete(attempt, _failed(attempt, FailureDetails(poison=poison))):
            # Logged only now, so that it is counted once per poisoned item (RT-13.17).
            self._tell("warning", "Activity message exceeded max attempts, marking as poison", attempt)

    async def _unregistered(self, attempt: Attempt) -> None:
        """Not registered here, but another node may know it: come back later (RT-13.14, SS-14.9)."""
        attempt.over = True
        delay = unregistered_delay(
            attempt.attempt_count, base=self._timing.unregistered_base, most=self._timing.unregistered_most
        )
        left = max(self._max_attempts - attempt.attempt_count + 1, 0)
        self._tell(
            "warning",
            f"Activity not registered, abandoning with {delay / 1000:g}s backoff "
            f"(will poison in {left} more attempts)",
            attempt,
        )
        attempt.stopped("not_started")
        await self._abandon(attempt, delay=delay)

    async def _without_thread(self, attempt: Attempt, error: NoThread) -> None:
        """Not the function's fault, and another worker may have a thread: come back later."""
        assert attempt not in self._running, f"{attempt.token} has no thread, and its handler runs"
        attempt.over = True
        attempt.stopped("aborted")
        self._tell("warning", "No thread for the activity, abandoning", attempt, error=str(error))
        await self._abandon(attempt, delay=ABANDON_AFTER_ITEM_ACK)

    async def _discard(self, attempt: Attempt) -> None:
        """The handler was told to stop; its result does not count (RT-6.11, SS-7.20, SS-9.10)."""
        if attempt.session is not None or attempt.cause == "shutdown":
            await self._abandon(attempt, ignore_attempt=True)
            return
        attempt.dispose("acknowledged without completion")
        try:
            await self._provider.ack_work_item(attempt.token, None)
        except ProviderError as error:  # expected: the row is what the signal was about
            self._tell("debug", "cancelled item is gone", attempt, error=str(error))

    async def _complete(self, attempt: Attempt, completion: Message) -> bool:
        """Acknowledge with a completion; whether it was accepted (RT-6.8, RT-6.12)."""
        assert attempt.disposal is None, f"{attempt.token} was {attempt.disposal}, and is completed now"
        error = await final_call(self._clock, lambda: self._provider.ack_work_item(attempt.token, completion))
        if error is None:
            attempt.dispose("completed")
            return True
        self._tell(
            "warning",
            "worker: atomic ack failed, abandoning work item",
            attempt,
            outcome="infra_error",
            error=str(error),
        )
        await self._abandon(attempt, delay=ABANDON_AFTER_ITEM_ACK)
        return False

    async def _abandon(
        self, attempt: Attempt, *, delay: Millis | None = None, ignore_attempt: bool = False
    ) -> None:
        """Give the item back; it does not matter if it is gone already (SS-7.21)."""
        attempt.dispose("given back")
        error = await final_call(
            self._clock,
            lambda: self._provider.abandon_work_item(
                attempt.token, delay=delay, ignore_attempt=ignore_attempt
            ),
        )
        if error is not None:
            self._tell("debug", "abandoned item is gone", attempt, error=str(error))

    def _tell(self, level: LogLevel, event: str, attempt: Attempt, **fields: object) -> None:
        if self._log.hears(level):
            self._log.write(Logged(event, level, {**attempt.named(), **fields}))


class _Alarm:
    """Wakes an attempt at a given time; a later setting replaces an earlier one."""

    def __init__(self, clock: Clock, crew: Crew, attempt: Attempt) -> None:
        self._clock = clock
        self._crew = crew
        self._attempt = attempt
        self._due: Micros | None = None
        self._task: asyncio.Task[None] | None = None

    def set(self, due: Micros) -> None:
        if due == self._due:
            return
        now = self._clock.monotonic_us()
        assert due > now, f"an alarm for {due} is set at {now}: it would ring again and again"
        self.cancel()
        self._due = due
        self._task = self._crew.start(self._ring(due), name="grace period")

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def _ring(self, due: Micros) -> None:
        await self._clock.sleep_until(due)
        self._attempt.wake()


def lookup_in(
    system: Mapping[str, ActivityHandler], registered: Callable[[str], ActivityHandler | None]
) -> Callable[[str], ActivityHandler | None]:
    """Activities by name: the system's first, their names are reserved (RT-18.1)."""
    return lambda name: system.get(name) or registered(name)


def _failed(attempt: Attempt, details: FailureDetails) -> ActivityFailedMessage:
    item = attempt.item
    return ActivityFailedMessage(
        instance=item.instance, execution_id=item.execution_id, id=item.id, details=details
    )
