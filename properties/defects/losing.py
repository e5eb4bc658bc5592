"""Defects of how a worker loses its leases and items: what it takes for a loss, and what it does about it."""

from __future__ import annotations

from typing import Any, Final

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
from holdfast.properties.defects.defect import Change, Defect, Planting, original, replaced
from holdfast.properties.defects.replacements import lease_table

_A_YEAR: Final = Micros(31_536_000_000_000)


class _NoDeadline(LeaseTable):
    """A lease lasts until the provider says otherwise."""

    def _extend(self, lease: Lease, *, counted: Micros, deadline_from: Micros) -> None:
        super()._extend(lease, counted=counted, deadline_from=Micros(deadline_from + _A_YEAR))


class _RefusalsAreFinal(LeaseTable):
    """A refusal is a loss, whatever a fetch has brought meanwhile."""

    def renewal_answered(self, call: Renewal, now: Micros, answer: RenewalAnswer) -> Ended | None:
        call.overlapped = False
        return super().renewal_answered(call, now, answer)


class _LateAnswersRevive(LeaseTable):
    """A renewal that succeeded shows that the session is held, also if its lease had been given up."""

    def renewal_answered(self, call: Renewal, now: Micros, answer: RenewalAnswer) -> Ended | None:
        lease = call.lease
        revives = lease.ended and answer != "refused" and lease.key not in self._leases
        ended = super().renewal_answered(call, now, answer)
        if revives:
            lease.phase, lease.renewal = "idle", None
            self._leases[lease.key] = lease
            self._extend(lease, counted=now, deadline_from=now)
        return ended


class _LossesAreCounted(LeaseTable):
    """A session that was lost takes up its unit until it would have lapsed."""

    def _end(self, lease: Lease, cause: EndCause) -> Ended:
        ended = super()._end(lease, cause)
        self._kept.setdefault(lease.key, Kept(lease.key, lease.calls, cause, releasing=False))
        return ended


def _discarded_attempts_are_charged() -> Planting:
    """What was told to stop is given back like any other attempt that came to nothing."""

    async def discard(self: ActivityRunner, attempt: Attempt) -> None:
        await self._abandon(attempt)

    return replaced(Change(ActivityRunner, "_discard", discard))


def _discarded_attempts_wait() -> Planting:
    """What was told to stop is given back with the delay of an acknowledgement that failed."""
    abandon = original(ActivityRunner, "_abandon")

    async def abandon_later(self: ActivityRunner, attempt: Attempt, **how: Any) -> None:
        if how.get("ignore_attempt"):
            how["delay"] = 5000
        await abandon(self, attempt, **how)

    return replaced(Change(ActivityRunner, "_abandon", abandon_later))


def _grace_counts_twice() -> Planting:
    """The grace period begins when the handler has had time to hear of the signal, a grace period later."""
    stop_by = original(ActivityRunner, "_stop_by")

    def stop_later(self: ActivityRunner, attempt: Attempt) -> Micros | None:
        due: Micros | None = stop_by(self, attempt)
        return None if due is None else Micros(due + self._timing.grace)

    return replaced(Change(ActivityRunner, "_stop_by", stop_later))


def _signals_abort() -> Planting:
    """A handler that is signalled is aborted there and then."""

    def stop_at_once(self: ActivityRunner, attempt: Attempt) -> Micros | None:
        return attempt.signalled_at if attempt.signalled else self._stop_session_by

    return replaced(Change(ActivityRunner, "_stop_by", stop_at_once))


def _transient_item_errors_are_losses() -> Planting:
    """Any error of an item's renewal signals its handler, also one that will pass."""
    renew = original(ItemRenewalTask, "_renew")

    async def renew_or_lose(self: ItemRenewalTask) -> bool:
        goes_on: bool = await renew(self)
        if goes_on and self._failure_count:
            self._refused(ProviderError.transient("renew_work_item_lock", "taken for a loss"))
        return goes_on and not self._attempt.signalled

    return replaced(Change(ItemRenewalTask, "_renew", renew_or_lose))


def _lost_items_take_their_neighbours() -> Planting:
    """The loss of an item is passed on to all attempts of its session."""
    refused = original(ItemRenewalTask, "_refused")

    def refuse_all(self: ItemRenewalTask, error: ProviderError) -> None:
        refused(self, error)
        for attempt in tuple(self._shared.keeper._attempts.values()):
            if attempt.session == self._attempt.session:
                attempt.signal("session_lost", self._shared.clock.monotonic_us())

    return replaced(Change(ItemRenewalTask, "_refused", refuse_all))


def _signals_come_at_the_deadline() -> Planting:
    """Handlers of a lost session hear of it when the lock would have run out."""
    lease_ended = original(LeaseKeeper, "_lease_ended")

    def end_later(self: LeaseKeeper, ended: Ended) -> None:
        late = ended.attempts if ended.cause == "lost" else ()
        lease_ended(self, ended._replace(attempts=()) if late else ended)
        if late:
            self._crew.start(_signal_at(self, late, ended.lease.deadline), name="late signals")

    async def _signal_at(self: LeaseKeeper, tokens: tuple[LockToken, ...], at: Micros) -> None:
        await self._clock.sleep_until(at)
        for token in tokens:
            if token in self._attempts:
                self._attempts.pop(token).signal("session_lost", self._clock.monotonic_us())

    return replaced(Change(LeaseKeeper, "_lease_ended", end_later))


def _leases_by_the_wall_clock() -> Planting:
    """Leases are kept by the wall clock, with what it was off at the start taken into account."""

    def now_on_the_wall(self: LeaseKeeper) -> Micros:
        wall_us = self._clock.now_ms() * 1000
        offset_us = vars(self).setdefault("_offset_us", self._clock.monotonic_us() - wall_us)
        return Micros(wall_us + offset_us)

    async def sleep_by_the_wall(self: LeaseKeeper, due: Micros) -> None:
        left = due - now_on_the_wall(self)
        await self._clock.sleep_until(Micros(self._clock.monotonic_us() + left))
        self._sleeper = None
        self.advance()

    return replaced(
        Change(LeaseKeeper, "_now", now_on_the_wall), Change(LeaseKeeper, "_sleep", sleep_by_the_wall)
    )


class _FewBits:
    """A source of ids with names for a small cluster."""

    def __init__(self, ids: IdSource) -> None:
        self._ids = ids

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ids, name)

    def bits(self, count: int) -> int:
        return self._ids.bits(min(count, 12))


def _short_identities() -> Planting:
    """Owner identities are made of twelve random bits: nobody has four thousand workers."""
    begin = original(Runtime, "__init__")

    def begin_with_few_bits(self: Runtime, *args: Any, ids: IdSource, **rest: Any) -> None:
        begin(self, *args, ids=_FewBits(ids), **rest)

    return replaced(Change(Runtime, "__init__", begin_with_few_bits))


DEFECTS: Final = (
    Defect(
        name="deadlines_are_not_kept",
        title="A lease lasts until the provider says otherwise, however long nothing was heard from it",
        where="lease manager",
        caught_by="21.5",
        rows=("21.5", "21.11", "21.12", "34.3"),
        scenario="provider_unreachable_until_local_deadline",
        needs="a fault: a worker that is cut off or stalls",
        planted=lambda: lease_table(_NoDeadline),
    ),
    Defect(
        name="refusals_are_final",
        title="A refused renewal is a loss, also if a fetch has brought an item of the session meanwhile",
        where="lease manager",
        caught_by="INV-24",
        rows=("21.9",),
        scenario="stale_renewal_failure_is_rechecked",
        needs="a fault: a late answer",
        planted=lambda: lease_table(_RefusalsAreFinal),
    ),
    Defect(
        name="late_answers_revive",
        title="The late success of a renewal brings back a lease that was given up",
        where="lease manager",
        caught_by="21.10",
        rows=("21.10",),
        scenario="late_response_after_lease_end",
        needs="a fault: a late answer",
        planted=lambda: lease_table(_LateAnswersRevive),
    ),
    Defect(
        name="losses_are_counted",
        title="A session that was lost takes up its unit of capacity until it would have lapsed",
        where="lease manager",
        caught_by="21.4",
        rows=("21.4",),
        scenario="lost_lease_is_forgotten",
        needs="two workers and a takeover",
        planted=lambda: lease_table(_LossesAreCounted),
    ),
    Defect(
        name="signals_come_at_the_deadline",
        title="Handlers of a session that is found lost are told when its lock would have run out",
        where="lease manager",
        caught_by="INV-23",
        rows=("21.1", "21.2"),
        scenario="session_loss_signals_inflight",
        needs="two workers and a takeover",
        planted=_signals_come_at_the_deadline,
    ),
    Defect(
        name="leases_by_the_wall_clock",
        title="The lease manager reads the wall clock of its machine",
        where="lease manager",
        caught_by="30.4",
        rows=("30.4",),
        scenario="worker_wall_clock_jump",
        needs="a fault: a wall clock that jumps",
        planted=_leases_by_the_wall_clock,
    ),
    Defect(
        name="discarded_attempts_are_charged",
        title="An item whose handler was told to stop is given back with its attempt charged",
        where="worker",
        caught_by="21.3",
        rows=("21.3", "21.12", "21.16"),
        scenario="lost_attempt_is_abandoned_not_acked",
        needs="two workers and a takeover",
        planted=_discarded_attempts_are_charged,
    ),
    Defect(
        name="discarded_attempts_wait",
        title="An item whose handler was told to stop is given back with a delay",
        where="worker",
        caught_by="21.3",
        rows=("21.3", "21.16"),
        scenario="lost_attempt_is_abandoned_not_acked",
        needs="two workers and a takeover",
        planted=_discarded_attempts_wait,
    ),
    Defect(
        name="grace_counts_twice",
        title="A handler that ignores its signal has two grace periods",
        where="worker",
        caught_by="21.12",
        rows=("21.12",),
        scenario="slow_handler_is_aborted_after_grace",
        needs="a fault: a worker that is cut off or stalls",
        planted=_grace_counts_twice,
    ),
    Defect(
        name="signals_abort",
        title="A handler that is told to stop is aborted there and then",
        where="worker",
        caught_by="21.13",
        rows=("21.12", "21.13", "23.16"),
        scenario="signal_reaches_activity_token",
        needs="a session closed under its handler",
        planted=_signals_abort,
    ),
    Defect(
        name="transient_item_errors_are_losses",
        title="The renewal of an item lock that fails for a moment is taken for its loss",
        where="worker",
        caught_by="INV-24",
        rows=("21.6", "21.16"),
        scenario="transient_renewal_error_is_retried",
        needs="a fault: a refused call",
        planted=_transient_item_errors_are_losses,
    ),
    Defect(
        name="lost_items_take_their_neighbours",
        title="The loss of one item is passed on to all activities of its session",
        where="worker",
        caught_by="INV-24",
        rows=("21.7", "21.16"),
        scenario="item_lock_loss_is_local",
        needs="two activities of a session, one of them deselected",
        planted=_lost_items_take_their_neighbours,
    ),
    Defect(
        name="short_identities",
        title="The identity of a worker is made of twelve random bits",
        where="worker",
        caught_by="30.9",
        rows=("30.9",),
        scenario="identities_are_distinct",
        needs="many starts",
        planted=_short_identities,
    ),
)
