"""Defects of how a worker loses its leases and items: what it takes for a loss, and what it does about it."""

from __future__ import annotations

from typing import Final

from holdfast.core.contract.clock import IdSource
from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import LockToken, Micros
from holdfast.core.runtime import Runtime
from holdfast.core.working.activity_run import ActivityRunner
from holdfast.core.working.attempt import Attempt
from holdfast.core.working.item_renewal import ItemRenewalTask
from holdfast.core.working.lease_keeper import LeaseKeeper
from holdfast.core.working.lease_records import EndCause, Ended, Kept, Lease, Renewal, RenewalAnswer
from holdfast.core.working.lease_table import LeaseTable
from holdfast.properties.defects.defect import Change, Changes, Original, around, defect

_A_YEAR: Final = Micros(31_536_000_000_000)


@defect(
    "lease manager",
    "21.5 21.11 21.12 34.3",
    "provider_unreachable_until_local_deadline",
    needs="a fault: a worker that is cut off or stalls",
)
class DeadlinesAreNotKept(LeaseTable):
    """A lease lasts until the provider says otherwise, however long nothing was heard from it."""

    def _extend(self, lease: Lease, *, counted: Micros, deadline_from: Micros) -> None:
        super()._extend(lease, counted=counted, deadline_from=Micros(deadline_from + _A_YEAR))


@defect(
    "lease manager",
    "21.9",
    "stale_renewal_failure_is_rechecked",
    caught_by="INV-24",
    needs="a fault: a late answer",
)
class RefusalsAreFinal(LeaseTable):
    """A refused renewal is a loss, even if a fetch has brought an item of the session meanwhile."""

    def renewal_answered(self, call: Renewal, now: Micros, answer: RenewalAnswer) -> Ended | None:
        call.overlapped = False
        return super().renewal_answered(call, now, answer)


@defect("lease manager", "21.10", "late_response_after_lease_end", needs="a fault: a late answer")
class LateAnswersRevive(LeaseTable):
    """The late success of a renewal brings back a lease that was given up."""

    def renewal_answered(self, call: Renewal, now: Micros, answer: RenewalAnswer) -> Ended | None:
        lease = call.lease
        revives = lease.ended and answer != "refused" and lease.key not in self._leases
        ended = super().renewal_answered(call, now, answer)
        if revives:
            lease.phase, lease.renewal = "idle", None
            self._leases[lease.key] = lease
            self._extend(lease, counted=now, deadline_from=now)
        return ended


@defect("lease manager", "21.4", "lost_lease_is_forgotten", needs="two workers and a takeover")
class LossesAreCounted(LeaseTable):
    """A session that was lost takes up its unit of capacity until it would have lapsed."""

    def _end(self, lease: Lease, cause: EndCause) -> Ended:
        ended = super()._end(lease, cause)
        self._kept.setdefault(lease.key, Kept(lease.key, lease.calls, cause, releasing=False))
        return ended


@defect(
    "worker", "21.3 21.12 21.16", "lost_attempt_is_abandoned_not_acked", needs="two workers and a takeover"
)
def discarded_attempts_are_charged() -> Changes:
    """An item whose handler was told to stop is given back with its attempt charged."""

    async def discard(self: ActivityRunner, attempt: Attempt) -> None:
        await self._abandon(attempt)

    yield Change(ActivityRunner, "_discard", discard)


@defect("worker", "21.3 21.16", "lost_attempt_is_abandoned_not_acked", needs="two workers and a takeover")
def discarded_attempts_wait() -> Changes:
    """An item whose handler was told to stop is given back with a delay."""

    async def abandon_later(
        abandon: Original, runner: ActivityRunner, attempt: Attempt, **how: object
    ) -> None:
        if how.get("ignore_attempt"):
            how["delay"] = 5000
        await abandon(runner, attempt, **how)

    yield around(ActivityRunner, "_abandon", abandon_later)


@defect(
    "worker",
    "21.12",
    "slow_handler_is_aborted_after_grace",
    needs="a fault: a worker that is cut off or stalls",
)
def grace_counts_twice() -> Changes:
    """A handler that ignores its signal has two grace periods."""

    def stop_later(stop_by: Original, runner: ActivityRunner, attempt: Attempt) -> Micros | None:
        due: Micros | None = stop_by(runner, attempt)
        return None if due is None else Micros(due + runner._timing.grace)

    yield around(ActivityRunner, "_stop_by", stop_later)


@defect(
    "worker",
    "21.12 21.13 23.16",
    "signal_reaches_activity_token",
    caught_by="21.13",
    needs="a session closed under its handler",
)
def signals_abort() -> Changes:
    """A handler that is told to stop is aborted there and then."""

    def stop_at_once(self: ActivityRunner, attempt: Attempt) -> Micros | None:
        return attempt.signalled_at if attempt.signalled else self._stop_session_by

    yield Change(ActivityRunner, "_stop_by", stop_at_once)


@defect(
    "worker",
    "21.6 21.16",
    "transient_renewal_error_is_retried",
    caught_by="INV-24",
    needs="a fault: a refused call",
)
def transient_item_errors_are_losses() -> Changes:
    """The renewal of an item lock that fails for a moment is taken for its loss."""

    async def renew_or_lose(renew: Original, renewal: ItemRenewalTask) -> bool:
        goes_on: bool = await renew(renewal)
        if goes_on and renewal._failure_count:
            renewal._refused(ProviderError.transient("renew_work_item_lock", "taken for a loss"))
        return goes_on and not renewal._attempt.signalled

    yield around(ItemRenewalTask, "_renew", renew_or_lose)


@defect(
    "worker",
    "21.7 21.16",
    "item_lock_loss_is_local",
    caught_by="INV-24",
    needs="two activities of a session, one of them deselected",
)
def lost_items_take_their_neighbours() -> Changes:
    """The loss of one item is passed on to all activities of its session."""

    def refuse_all(refused: Original, renewal: ItemRenewalTask, error: ProviderError) -> None:
        refused(renewal, error)
        for attempt in tuple(renewal._shared.keeper._attempts.values()):
            if attempt.session == renewal._attempt.session:
                attempt.signal("session_lost", renewal._shared.clock.monotonic_us())

    yield around(ItemRenewalTask, "_refused", refuse_all)


@defect(
    "lease manager",
    "21.1 21.2",
    "session_loss_signals_inflight",
    caught_by="INV-23",
    needs="two workers and a takeover",
)
def signals_come_at_the_deadline() -> Changes:
    """Handlers of a session that is found lost are told only when its lock would have run out."""

    def end_later(lease_ended: Original, keeper: LeaseKeeper, ended: Ended) -> None:
        late = ended.attempts if ended.cause == "lost" else ()
        lease_ended(keeper, ended._replace(attempts=()) if late else ended)
        if late:
            keeper._crew.start(_signal_at(keeper, late, ended.lease.deadline), name="late signals")

    async def _signal_at(self: LeaseKeeper, tokens: tuple[LockToken, ...], at: Micros) -> None:
        await self._clock.sleep_until(at)
        for token in tokens:
            if token in self._attempts:
                self._attempts.pop(token).signal("session_lost", self._clock.monotonic_us())

    yield around(LeaseKeeper, "_lease_ended", end_later)


@defect("lease manager", "30.4", "worker_wall_clock_jump", needs="a fault: a wall clock that jumps")
def leases_by_the_wall_clock() -> Changes:
    """The lease manager reads the wall clock of its machine."""

    def now_on_the_wall(self: LeaseKeeper) -> Micros:
        wall_us = self._clock.now_ms() * 1000
        offset_us = vars(self).setdefault("_offset_us", self._clock.monotonic_us() - wall_us)
        return Micros(wall_us + offset_us)

    async def sleep_by_the_wall(self: LeaseKeeper, due: Micros) -> None:
        left = due - now_on_the_wall(self)
        await self._clock.sleep_until(Micros(self._clock.monotonic_us() + left))
        self._sleeper = None
        self.advance()

    yield Change(LeaseKeeper, "_now", now_on_the_wall)
    yield Change(LeaseKeeper, "_sleep", sleep_by_the_wall)


class _FewBits:
    """A source of ids with names for a small cluster."""

    def __init__(self, ids: IdSource) -> None:
        self._ids = ids

    def __getattr__(self, name: str) -> object:
        return getattr(self._ids, name)

    def bits(self, count: int) -> int:
        return self._ids.bits(min(count, 12))


@defect("worker", "30.9", "identities_are_distinct", needs="many starts")
def short_identities() -> Changes:
    """The identity of a worker is made of twelve random bits."""

    def begin_with_few_bits(
        begin: Original, this: Runtime, *args: object, ids: IdSource, **rest: object
    ) -> None:
        begin(this, *args, ids=_FewBits(ids), **rest)

    yield around(Runtime, "__init__", begin_with_few_bits)
