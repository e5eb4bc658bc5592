"""Defects of a worker's shutdown: its order, what it waits for, and what goes on after it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

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
from holdfast.properties.defects.defect import Change, Defect, Planting, original, replaced
from holdfast.properties.defects.replacements import lease_table


def _fetches_are_cut_off() -> Planting:
    """Shutdown cancels fetches at once: whoever waits for work has none."""
    return replaced(Change(runtime, "_DRAIN", Micros(0)))


def _late_items_are_run() -> Planting:
    """What a fetch brings during shutdown is run like anything else; there is time left."""
    refuse = original(ActivityRunner, "refuse")

    async def run_or_refuse(self: ActivityRunner, attempt: Attempt) -> None:
        if self._stop_session_by is None:
            await refuse(self, attempt)
        else:
            await self.run(attempt)

    return replaced(Change(ActivityRunner, "refuse", run_or_refuse))


def _refused_items_are_charged() -> Planting:
    """An item given back without a handler is given back like any other."""

    async def refuse(self: ActivityRunner, attempt: Attempt) -> None:
        attempt.over = True
        attempt.stopped("not_started")
        await self._abandon(attempt)

    return replaced(Change(ActivityRunner, "refuse", refuse))


class _HandlersAreForgotten(LeaseTable):
    """A session whose items have been given back is released, whatever still runs for it."""

    def close(self, unstopped: frozenset[ScheduledSessionIdentifier]) -> Decisions:
        return super().close(frozenset())


def _released_first() -> Planting:
    """Shutdown begins with the releases, so that others can take over early."""
    begin_closing = original(LeaseKeeper, "begin_closing")

    async def release(self: LeaseKeeper, key: ScheduledSessionIdentifier) -> None:
        try:
            await self._provider.release_session_lock(key.instance, key.session_id, self._owner)
        except ProviderError:
            return  # it is released again at the end

    def release_and_close(self: LeaseKeeper) -> None:
        for lease in self._table._all():
            self._crew.start(release(self, lease.key), name="early release")
        begin_closing(self)

    return replaced(Change(LeaseKeeper, "begin_closing", release_and_close))


def _releases_end_with_an_error() -> Planting:
    """The sessions are released in turn, and an error ends that."""

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

    return replaced(Change(LeaseKeeper, "release_all", release_all))


def _shut_down_at_once_is_graceful() -> Planting:
    """A timeout of zero is falsy, and so the usual one applies."""
    shutdown = original(Runtime, "shutdown")

    async def shut_down(self: Runtime, timeout: timedelta | None = None) -> None:
        await shutdown(self, timeout or None)

    return replaced(Change(Runtime, "shutdown", shut_down))


def _leases_live_on() -> Planting:
    """The end of the runtime stops what it has started, and the lease manager looks after itself."""

    async def cancel_most(self: Crew) -> None:
        ended = [task for task in self._tasks if not task.get_name().startswith(("leases", "renew "))]
        for task in ended:
            task.cancel()
        if ended:
            await asyncio.wait(ended)

    return replaced(Change(LeaseKeeper, "stop", lambda self: None), Change(Crew, "cancel", cancel_most))


def _handlers_keep_their_client() -> Planting:
    """The clients of handlers are not cut off: the handlers have been."""
    return replaced(Change(FencedProvider, "fence", lambda self: None))


def _items_are_left_locked() -> Planting:
    """What shutdown has stopped is left to the lapse of its item lock."""
    discard = original(ActivityRunner, "_discard")

    async def discard_others(self: ActivityRunner, attempt: Attempt) -> None:
        if attempt.cause != "shutdown":
            await discard(self, attempt)

    return replaced(Change(ActivityRunner, "_discard", discard_others))


def _grace_beyond_the_timeout() -> Planting:
    """Session activities have their grace period, also if shutdown is given less."""
    stop = original(ActivityRunner, "stop")

    def stop_after_grace(self: ActivityRunner, *, sessions_by: Micros, plain_by: Micros) -> None:
        grace_by = Micros(self._clock.monotonic_us() + self._timing.grace)
        stop(self, sessions_by=grace_by, plain_by=plain_by)

    return replaced(Change(ActivityRunner, "stop", stop_after_grace))


def _shutdown_is_not_told() -> Planting:
    """Shutdown waits for session activities, and tells them at the end of that."""

    def stop(self: ActivityRunner, *, sessions_by: Micros, plain_by: Micros) -> None:
        self._stop_session_by = sessions_by
        self._stop_plain_by = plain_by
        for attempt in tuple(self._running):
            attempt.wake()

    return replaced(Change(ActivityRunner, "stop", stop))


def _has_no_end() -> Planting:
    """A graceful shutdown goes on until its handlers have ended, however long they take."""

    async def wind_down(self: Runtime, allowance: Micros) -> None:
        await self._release_everything(self._clock.monotonic_us(), Micros(1000 * allowance))

    return replaced(Change(Runtime, "_wind_down", wind_down))


DEFECTS: Final = (
    Defect(
        name="shutdown_has_no_end",
        title="A graceful shutdown waits for its handlers, whatever its timeout is",
        where="worker",
        caught_by="INV-49",
        rows=("29.3",),
        scenario="unstoppable_handler_leaves_session_to_expire",
        needs="a handler that blocks",
        planted=_has_no_end,
    ),
    Defect(
        name="fetches_are_cut_off",
        title="Shutdown cancels fetches that may have claimed something, without a moment for their answers",
        where="worker",
        caught_by="29.1",
        rows=("29.1", "29.8"),
        scenario="shutdown_stops_fetching_first",
        needs="a fault: a late answer to a fetch",
        planted=_fetches_are_cut_off,
    ),
    Defect(
        name="late_items_are_run",
        title="An item that a fetch brings during shutdown is run, since there is time left",
        where="worker",
        caught_by="29.1",
        rows=("29.1",),
        scenario="shutdown_stops_fetching_first",
        needs="a fault: a late answer to a fetch",
        planted=_late_items_are_run,
    ),
    Defect(
        name="refused_items_are_charged",
        title="An item given back without a handler having run is charged the attempt",
        where="worker",
        caught_by="29.1",
        rows=("29.1",),
        scenario="shutdown_stops_fetching_first",
        needs="a fault: a late answer to a fetch",
        planted=_refused_items_are_charged,
    ),
    Defect(
        name="handlers_are_forgotten",
        title="Shutdown releases a session once its items are given back, also under a thread that goes on",
        where="lease manager",
        caught_by="29.3",
        rows=("29.3",),
        scenario="unstoppable_handler_leaves_session_to_expire",
        needs="a handler that blocks",
        planted=lambda: lease_table(_HandlersAreForgotten),
    ),
    Defect(
        name="released_first",
        title="Shutdown begins with the releases, so that others can take over early",
        where="lease manager",
        caught_by="29.2",
        rows=("29.2", "29.3", "29.4", "29.7"),
        scenario="release_only_after_handlers_stopped",
        needs="two workers, one of them shut down",
        planted=_released_first,
    ),
    Defect(
        name="releases_end_with_an_error",
        title="Shutdown releases the sessions in turn, and an error ends that",
        where="lease manager",
        caught_by="29.4",
        rows=("29.4",),
        scenario="one_failing_release_does_not_stop_others",
        needs="a fault: a refused call",
        planted=_releases_end_with_an_error,
    ),
    Defect(
        name="shut_down_at_once_is_graceful",
        title="A shutdown timeout of zero is taken for none, and so for the usual one",
        where="worker",
        caught_by="29.5",
        rows=("29.5",),
        scenario="immediate_shutdown_is_a_crash",
        needs="a worker that is shut down at once",
        planted=_shut_down_at_once_is_graceful,
    ),
    Defect(
        name="leases_live_on",
        title="The lease manager renews on after the runtime has ended",
        where="lease manager",
        caught_by="29.6",
        rows=("29.6",),
        scenario="no_calls_after_shutdown",
        needs="a process that outlives its runtime",
        planted=_leases_live_on,
    ),
    Defect(
        name="handlers_keep_their_client",
        title="A handler that resists its end goes on using the client it was given",
        where="worker",
        caught_by="29.6",
        rows=("29.6",),
        scenario="no_calls_after_shutdown",
        needs="a process that outlives its runtime",
        planted=_handlers_keep_their_client,
    ),
    Defect(
        name="items_are_left_locked",
        title="Items whose handlers a shutdown has stopped are left to the lapse of their locks",
        where="worker",
        caught_by="29.7",
        rows=("29.3", "29.7", "29.8"),
        scenario="timeline_graceful_shutdown",
        needs="two workers, one of them shut down",
        planted=_items_are_left_locked,
    ),
    Defect(
        name="grace_beyond_the_timeout",
        title="Session activities have their whole grace period, also if shutdown is given less",
        where="worker",
        caught_by="INV-30",
        rows=("29.3",),
        scenario="unstoppable_handler_leaves_session_to_expire",
        needs="a handler that blocks",
        planted=_grace_beyond_the_timeout,
    ),
    Defect(
        name="shutdown_is_not_told",
        title="Shutdown waits for session activities and tells them only when it waits no longer",
        where="worker",
        caught_by="29.7",
        rows=("29.2", "29.7"),
        scenario="timeline_graceful_shutdown",
        needs="two workers, one of them shut down",
        planted=_shutdown_is_not_told,
    ),
)
