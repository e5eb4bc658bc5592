"""Defects of a worker's shutdown: its order, what it waits for, and what goes on after it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from holdfast.core import runtime
from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import Micros
from holdfast.core.contract.provider import ScheduledSessionIdentifier
from holdfast.core.hosting.crew import Crew
from holdfast.core.hosting.forwarding import FencedProvider
from holdfast.core.runtime import Runtime
from holdfast.core.working.activity_run import ActivityRunner
from holdfast.core.working.attempt import Attempt
from holdfast.core.working.lease_keeper import LeaseKeeper
from holdfast.core.working.lease_records import Decisions, Kept
from holdfast.core.working.lease_table import LeaseTable
from holdfast.properties.defects.defect import Change, Changes, Original, around, defect


@defect("worker", "29.1 29.8", "shutdown_stops_fetching_first", needs="a fault: a late answer to a fetch")
def fetches_are_cut_off() -> Changes:
    """Shutdown cancels fetches that may have claimed something, without a moment for their answers."""
    yield Change(runtime, "_DRAIN", Micros(0))


@defect("worker", "29.1", "shutdown_stops_fetching_first", needs="a fault: a late answer to a fetch")
def late_items_are_run() -> Changes:
    """An item that a fetch brings during shutdown is run, since there is time left."""

    async def run_or_refuse(refuse: Original, runner: ActivityRunner, attempt: Attempt) -> None:
        if runner._stop_session_by is None:
            await refuse(runner, attempt)
        else:
            await runner.run(attempt)

    yield around(ActivityRunner, "refuse", run_or_refuse)


@defect("worker", "29.1", "shutdown_stops_fetching_first", needs="a fault: a late answer to a fetch")
def refused_items_are_charged() -> Changes:
    """An item given back without a handler having run is charged the attempt."""

    async def refuse(self: ActivityRunner, attempt: Attempt) -> None:
        attempt.over = True
        attempt.stopped("not_started")
        await self._abandon(attempt)

    yield Change(ActivityRunner, "refuse", refuse)


@defect(
    "lease manager", "29.3", "unstoppable_handler_leaves_session_to_expire", needs="a handler that blocks"
)
class HandlersAreForgotten(LeaseTable):
    """Shutdown releases a session once its items are given back, also under a thread that goes on."""

    def close(self, unstopped: frozenset[ScheduledSessionIdentifier]) -> Decisions:
        return super().close(frozenset())


@defect(
    "lease manager",
    "29.2 29.3 29.4 29.7",
    "release_only_after_handlers_stopped",
    needs="two workers, one of them shut down",
)
def released_first() -> Changes:
    """Shutdown begins with the releases, so that others can take over early."""

    async def release(self: LeaseKeeper, key: ScheduledSessionIdentifier) -> None:
        try:
            await self._provider.release_session_lock(key.instance, key.session_id, self._owner)
        except ProviderError:
            return  # it is released again at the end

    def release_and_close(begin_closing: Original, keeper: LeaseKeeper) -> None:
        for lease in keeper._table._all():
            keeper._crew.start(release(keeper, lease.key), name="early release")
        begin_closing(keeper)

    yield around(LeaseKeeper, "begin_closing", release_and_close)


@defect("lease manager", "29.4", "one_failing_release_does_not_stop_others", needs="a fault: a refused call")
def releases_end_with_an_error() -> Changes:
    """Shutdown releases the sessions one by one, and stops at the first error."""

    async def in_turn(self: LeaseKeeper, releases: tuple[Kept, ...]) -> None:
        left = list(releases)
        try:
            while left:
                key = left[0].key
                await self._provider.release_session_lock(key.instance, key.session_id, self._owner)
                self._table.release_answered(left.pop(0), confirmed=True)
        except ProviderError:
            for kept in left:
                self._table.release_answered(kept, confirmed=False)
        self._on_change()

    def release_all(self: LeaseKeeper, unstopped: frozenset[ScheduledSessionIdentifier]) -> None:
        decisions = self._table.close(unstopped)
        self._apply(decisions._replace(releases=()))
        self._crew.start(in_turn(self, decisions.releases), name="releases")

    yield Change(LeaseKeeper, "release_all", release_all)


@defect("worker", "29.5", "immediate_shutdown_is_a_crash", needs="a worker that is shut down at once")
def shut_down_at_once_is_graceful() -> Changes:
    """A shutdown timeout of zero is taken for none, so the default applies."""

    async def shut_down(shutdown: Original, this: Runtime, timeout: timedelta | None = None) -> None:
        await shutdown(this, timeout or None)

    yield around(Runtime, "shutdown", shut_down)


@defect("lease manager", "29.6", "no_calls_after_shutdown", needs="a process that outlives its runtime")
def leases_live_on() -> Changes:
    """The lease manager goes on renewing after the runtime has ended."""

    async def cancel_most(self: Crew) -> None:
        ended = [task for task in self._tasks if not task.get_name().startswith(("leases", "renew "))]
        for task in ended:
            task.cancel()
        if ended:
            await asyncio.wait(ended)

    yield Change(LeaseKeeper, "stop", lambda self: None)
    yield Change(Crew, "cancel", cancel_most)


@defect("worker", "29.6", "no_calls_after_shutdown", needs="a process that outlives its runtime")
def handlers_keep_their_client() -> Changes:
    """A handler that resists its end goes on using the client it was given."""
    yield Change(FencedProvider, "fence", lambda self: None)


@defect(
    "worker",
    "29.3 29.7 29.8",
    "timeline_graceful_shutdown",
    caught_by="29.7",
    needs="two workers, one of them shut down",
)
def items_are_left_locked() -> Changes:
    """Items whose handlers a shutdown has stopped stay locked until their locks lapse."""

    async def discard_others(discard: Original, runner: ActivityRunner, attempt: Attempt) -> None:
        if attempt.cause != "shutdown":
            await discard(runner, attempt)

    yield around(ActivityRunner, "_discard", discard_others)


@defect(
    "worker",
    "29.3",
    "unstoppable_handler_leaves_session_to_expire",
    caught_by="INV-30",
    needs="a handler that blocks",
)
def grace_beyond_the_timeout() -> Changes:
    """Session activities get their whole grace period, even if shutdown is given less."""

    def stop_after_grace(
        stop: Original, runner: ActivityRunner, *, sessions_by: Micros, plain_by: Micros
    ) -> None:
        grace_by = Micros(runner._clock.monotonic_us() + runner._timing.grace)
        stop(runner, sessions_by=grace_by, plain_by=plain_by)

    yield around(ActivityRunner, "stop", stop_after_grace)


@defect(
    "worker",
    "29.2 29.7",
    "timeline_graceful_shutdown",
    caught_by="29.7",
    needs="two workers, one of them shut down",
)
def shutdown_is_not_told() -> Changes:
    """Shutdown waits for session activities and tells them only when it stops waiting."""

    def stop(self: ActivityRunner, *, sessions_by: Micros, plain_by: Micros) -> None:
        self._stop_session_by = sessions_by
        self._stop_plain_by = plain_by
        for attempt in tuple(self._running):
            attempt.wake()

    yield Change(ActivityRunner, "stop", stop)


@defect(
    "worker",
    "29.3",
    "unstoppable_handler_leaves_session_to_expire",
    caught_by="INV-49",
    needs="a handler that blocks",
)
def shutdown_has_no_end() -> Changes:
    """A graceful shutdown waits for its handlers, whatever its timeout is."""

    async def wind_down(self: Runtime, allowance: Micros) -> None:
        await self._release_everything(self._clock.monotonic_us(), Micros(1000 * allowance))

    yield Change(Runtime, "_wind_down", wind_down)
