"""The lease table: capacity, single flight, deadlines, idle timers (sessions.md sections 7, 8 and 14)."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from holdfast.core.contract.ids import LockToken, Micros
from holdfast.core.contract.provider import ScheduledSessionIdentifier
from holdfast.core.working.lease_records import (
    TRANSITIONS,
    Decisions,
    Ended,
    FetchUnderWay,
    ItemRenewal,
    Kept,
    Lease,
    Renewal,
    RenewalAnswer,
)
from holdfast.core.working.lease_table import LeaseTable

S1 = ScheduledSessionIdentifier("i", "s1")
S2 = ScheduledSessionIdentifier("i", "s2")
SECOND = 1_000_000


def seconds(count: float) -> Micros:
    return Micros(round(count * SECOND))


class Worker:
    """A lease table driven by hand: D = 60 s, R = 30 s, one clock reading per call."""

    def __init__(self, *, duration: float = 60, idle: float | None = None, limit: int = 10) -> None:
        self.table = LeaseTable(
            duration=seconds(duration), idle=None if idle is None else seconds(idle), limit=limit
        )
        self._tokens = 0

    def fetched(self, key: ScheduledSessionIdentifier, at: float, sent: float | None = None) -> Lease:
        fetch = self.table.begin_fetch(seconds(at if sent is None else sent))
        _, lease = self.table.delivered(fetch, key, self.token(), seconds(at))
        assert lease is not None
        return lease

    def token(self) -> LockToken:
        self._tokens += 1
        return LockToken(f"t{self._tokens}")

    def finish(self, lease: Lease, at: float) -> None:
        for token in tuple(lease.attempts):
            self.table.finished(lease, token, seconds(at))

    def due(self) -> float | None:
        due = self.table.next_due()
        return None if due is None else due / SECOND

    def renewal(self, at: float) -> Renewal:
        (call,) = self.table.advance(seconds(at)).renewals
        return call


def test_the_first_item_starts_the_lease_and_further_ones_join_it() -> None:
    """SS-14.8, SS-7.1, SS-14.4: one lease, one unit, however many activities."""
    worker = Worker()
    first = worker.fetched(S1, 0)
    assert worker.fetched(S1, 1) is first
    assert worker.table.units == (1, 0, 0)
    assert [view.in_flight for view in worker.table.views()] == [2]


def test_a_renewal_is_due_half_the_duration_after_the_latest_extension() -> None:
    """SS-7.2, SS-7.4, timeline W1."""
    worker = Worker()
    lease = worker.fetched(S1, 0.1)
    worker.finish(lease, 8)
    assert worker.due() == 30.1
    worker.table.renewal_answered(worker.renewal(30.1), seconds(30.1), "extended")
    assert worker.due() == 60.1
    worker.finish(worker.fetched(S1, 40.2), 44)
    assert worker.due() == 70.2
    ended = worker.table.renewal_answered(worker.renewal(70.2), seconds(70.2), "refused")
    assert ended is not None and ended.cause == "lost" and ended.attempts == ()
    assert worker.due() is None


@pytest.mark.parametrize("milliseconds", [1, 2, 3, 200, 60_000])
def test_the_interval_is_exactly_half_for_every_duration(milliseconds: int) -> None:
    """SS-7.19: no floor, no rounding."""
    worker = Worker(duration=milliseconds / 1000)
    worker.fetched(S1, 0)
    assert worker.table.next_due() == milliseconds * 500


def test_item_renewals_within_the_interval_leave_nothing_to_renew() -> None:
    """SS-7.6, SS-7.8, timeline W2: I = 25, R = 30; the first stand-alone renewal is at 80."""
    worker = Worker()
    lease = worker.fetched(S1, 0)
    (token,) = lease.attempts
    worker.table.plan_item_renewal(lease, token, seconds(25))
    for at in (25, 50):
        assert not worker.table.advance(seconds(at)).renewals
        call = worker.table.item_renewal_sent(lease, token, seconds(at))
        worker.table.item_renewal_answered(call, seconds(at), "extended", seconds(at + 25))
    worker.finish(lease, 70)
    assert worker.due() == 80


def test_an_item_renewal_exactly_when_the_session_is_due_covers_it() -> None:
    """SS-7.8 at its edge, I = R, also while the call is under way."""
    worker = Worker()
    lease = worker.fetched(S1, 0)
    (token,) = lease.attempts
    worker.table.plan_item_renewal(lease, token, seconds(30))
    assert not worker.table.advance(seconds(30)).renewals
    worker.table.item_renewal_sent(lease, token, seconds(30))
    assert not worker.table.advance(seconds(30.5)).renewals


def test_a_late_item_renewal_makes_nothing_overdue() -> None:
    """SS-7.8, SS-24.10: after a pause the call goes out beyond R; it covers what it was planned to cover."""
    worker = Worker()
    lease = worker.fetched(S1, 0)
    (token,) = lease.attempts
    worker.table.plan_item_renewal(lease, token, seconds(25))
    assert not worker.table.advance(seconds(40)).renewals
    worker.table.item_renewal_sent(lease, token, seconds(40))
    assert worker.due() == 55
    assert worker.renewal(55), "it is not answered: the gap is filled"


def test_stand_alone_renewals_fill_the_gaps_between_rare_item_renewals() -> None:
    """SS-7.9: (D, I) = (10, 25), extensions at most 5 apart."""
    worker = Worker(duration=10)
    lease = worker.fetched(S1, 0)
    (token,) = lease.attempts
    worker.table.plan_item_renewal(lease, token, seconds(25))
    for at in (5, 10, 15, 20):
        worker.table.renewal_answered(worker.renewal(at), seconds(at), "extended")
    assert not worker.table.advance(seconds(25)).renewals
    call = worker.table.item_renewal_sent(lease, token, seconds(25))
    worker.table.item_renewal_answered(call, seconds(25), "extended", seconds(50))
    assert worker.due() == 30


def test_a_failed_item_renewal_leaves_the_gap_to_a_stand_alone_one() -> None:
    """SS-7.9, SS-7.11."""
    worker = Worker()
    lease = worker.fetched(S1, 0)
    (token,) = lease.attempts
    worker.table.plan_item_renewal(lease, token, seconds(25))
    call = worker.table.item_renewal_sent(lease, token, seconds(25))
    worker.table.item_renewal_answered(call, seconds(26), "unknown", seconds(31))
    assert worker.due() == 30


def test_a_refused_item_renewal_is_no_loss_of_the_lease() -> None:
    """SS-7.23."""
    worker = Worker()
    lease = worker.fetched(S1, 0)
    (token,) = lease.attempts
    call = worker.table.item_renewal_sent(lease, token, seconds(25))
    worker.table.item_renewal_answered(call, seconds(25), "refused", None)
    assert not lease.ended
    assert worker.due() == 30


def test_a_second_renewal_waits_for_the_answer_to_the_first() -> None:
    """SS-7.5."""
    worker = Worker()
    worker.fetched(S1, 0)
    call = worker.renewal(30)
    assert not worker.table.advance(seconds(59)).renewals
    worker.table.renewal_answered(call, seconds(59), "unknown")
    assert worker.due() == 59.1


def test_a_retryable_error_is_retried_until_the_deadline_then_the_lease_is_lost() -> None:
    """SS-7.11, SS-7.12: D after the last success was sent; the attempts are named for their signal."""
    worker = Worker()
    lease = worker.fetched(S1, 0)
    (token,) = lease.attempts
    worker.table.renewal_answered(worker.renewal(30), seconds(31), "extended")
    at = 60.0
    retries = 0
    while at < 90:
        decisions = worker.table.advance(seconds(at))
        assert not decisions.ended
        for call in decisions.renewals:
            worker.table.renewal_answered(call, seconds(at), "unknown")
            retries += 1
        at = worker.due() or 0
    assert at == 90
    assert retries > 5
    (ended,) = worker.table.advance(seconds(90)).ended
    assert (ended.cause, ended.attempts) == ("deadline", (token,))
    assert worker.table.views() == ()


def test_a_lease_past_its_deadline_is_lost_before_anything_else() -> None:
    """SS-24.10: on resumption a renewal is not sent any more, the loss comes first."""
    worker = Worker()
    worker.fetched(S1, 0)
    decisions = worker.table.advance(seconds(180))
    assert [ended.cause for ended in decisions.ended] == ["deadline"]
    assert not decisions.renewals


def test_a_late_answer_changes_nothing() -> None:
    """SS-24.7, SS-7.16."""
    worker = Worker()
    worker.fetched(S1, 0)
    call = worker.renewal(30)
    worker.table.advance(seconds(60))
    fresh = worker.fetched(S1, 61)
    assert worker.table.renewal_answered(call, seconds(62), "refused") is None
    assert not fresh.ended and fresh.deadline == seconds(121)


def test_a_renewal_extends_from_when_it_was_sent_in_whole_milliseconds() -> None:
    """SS-7.12, INV-25: never later than the expiry that the renewal stored."""
    worker = Worker()
    lease = worker.fetched(S1, 0)
    call = worker.renewal(30.0005)
    worker.table.renewal_answered(call, seconds(50), "extended")
    assert lease.deadline == seconds(90)


def test_a_slow_fetch_is_confirmed_at_once_and_a_quick_one_is_not() -> None:
    """SS-7.24: the deadline counts from the arrival; longer than R means one renewal at once."""
    worker = Worker()
    lease = worker.fetched(S1, 100, sent=0)
    assert lease.deadline == seconds(160)
    worker.table.renewal_answered(worker.renewal(100), seconds(100), "extended")
    assert worker.due() == 130
    worker.fetched(S2, 130, sent=100)
    assert worker.due() == 130  # only the first session's renewal
    assert [call.lease.key for call in worker.table.advance(seconds(130)).renewals] == [S1]


@pytest.mark.parametrize("answer", ["extended", "refused"])
def test_a_refusal_that_crosses_a_fetch_of_the_session_is_rechecked(answer: RenewalAnswer) -> None:
    """SS-7.22: one immediate renewal, and its answer decides."""
    worker = Worker()
    lease = worker.fetched(S1, 0)
    fetch = worker.table.begin_fetch(seconds(29))
    call = worker.renewal(30)
    assert worker.table.delivered(fetch, S1, worker.token(), seconds(31)) == ("joined", lease)
    assert worker.table.renewal_answered(call, seconds(32), "refused") is None
    worker.table.renewal_answered(worker.renewal(32), seconds(32), answer)
    assert lease.ended is (answer == "refused")


def test_a_refusal_before_the_fetch_arrives_ends_the_old_lease_and_the_item_starts_a_new_one() -> None:
    """SS-7.22, SS-7.15 in the other order: the new item is not among those to signal."""
    worker = Worker()
    lease = worker.fetched(S1, 0)
    (old,) = lease.attempts
    call = worker.renewal(30)
    fetch = worker.table.begin_fetch(seconds(30))
    ended = worker.table.renewal_answered(call, seconds(31), "refused")
    assert ended is not None and ended.attempts == (old,)
    delivery, fresh = worker.table.delivered(fetch, S1, worker.token(), seconds(32))
    assert delivery == "taken" and fresh is not lease


def test_the_idle_timer_starts_at_the_last_finish_and_a_new_item_cancels_it() -> None:
    """SS-8.2, SS-8.3, SS-8.6, timeline W4."""
    worker = Worker(idle=12)
    lease = worker.fetched(S1, 0)
    assert worker.due() == 30
    worker.finish(lease, 10)
    assert worker.due() == 22
    worker.finish(worker.fetched(S1, 15), 18)
    decisions = worker.table.advance(seconds(29.9))
    assert not decisions.releases
    (kept,) = worker.table.advance(seconds(30)).releases
    assert kept.key == S1
    assert worker.table.units == (0, 0, 1)
    worker.table.release_answered(kept, confirmed=True)
    assert worker.table.units == (0, 0, 0)


def test_a_lease_is_not_idle_while_an_attempt_of_its_predecessor_is_in_flight() -> None:
    """INV-29, SS-8.2: the signalled attempt of a lost lease counts until its final call."""
    worker = Worker(idle=12)
    old = worker.fetched(S1, 0)
    (signalled,) = old.attempts
    worker.table.advance(seconds(60))
    worker.finish(worker.fetched(S1, 61), 62)
    assert not worker.table.advance(seconds(80)).releases
    worker.table.finished(old, signalled, seconds(81))
    assert not worker.table.advance(seconds(92)).releases
    assert len(worker.table.advance(seconds(93)).releases) == 1


def test_an_idle_timeout_of_zero_releases_at_the_last_finish() -> None:
    """SS-8.9."""
    worker = Worker(idle=0)
    worker.finish(worker.fetched(S1, 0), 5)
    assert len(worker.table.advance(seconds(5)).releases) == 1


def test_without_idle_timeout_nothing_is_released() -> None:
    """SS-8.5."""
    worker = Worker()
    worker.finish(worker.fetched(S1, 0), 5)
    assert not worker.table.advance(seconds(20)).releases
    assert worker.due() == 30


def test_an_idle_release_waits_for_the_fetch_under_way_and_holds_back_the_next() -> None:
    """SS-8.7: no release while a fetch could bring an item, no fetch while a release is due or sent."""
    worker = Worker(idle=10)
    worker.finish(worker.fetched(S1, 0), 5)
    fetch = worker.table.begin_fetch(seconds(14))
    assert not worker.table.advance(seconds(15)).releases
    assert not worker.table.may_fetch(seconds(15))
    worker.table.fetch_ended(fetch, seconds(16))
    (kept,) = worker.table.advance(seconds(16)).releases
    assert not worker.table.may_fetch(seconds(16))
    worker.table.release_answered(kept, confirmed=True)
    assert worker.table.may_fetch(seconds(16))


def test_an_item_of_the_session_that_arrives_after_the_timer_keeps_the_lease() -> None:
    """SS-8.7, SS-8.3."""
    worker = Worker(idle=10)
    lease = worker.fetched(S1, 0)
    worker.finish(lease, 5)
    fetch = worker.table.begin_fetch(seconds(14))
    worker.table.advance(seconds(15))
    worker.table.delivered(fetch, S1, worker.token(), seconds(16))
    assert not worker.table.advance(seconds(16)).releases
    assert worker.table.may_fetch(seconds(16))
    assert lease.phase == "busy"


def test_no_fetch_waits_longer_than_an_idle_timer() -> None:
    """SS-8.4, SS-8.7: neither one that runs nor one that another slot may start."""
    worker = Worker(idle=12)
    worker.finish(worker.fetched(S1, 0), 10)
    fetch = worker.table.begin_fetch(seconds(15))
    wait = worker.table.longest_wait(fetch, slot_count=1, min_poll=seconds(0.1))
    assert wait == seconds(7)
    calm = Worker(idle=12)
    first = calm.table.begin_fetch(seconds(0))
    assert calm.table.longest_wait(first, slot_count=1, min_poll=seconds(0.1)) is None
    assert calm.table.longest_wait(first, slot_count=2, min_poll=seconds(0.1)) == seconds(12)


def test_a_claiming_fetch_reserves_a_unit_and_returns_it() -> None:
    """SS-14.2, SS-14.3, SS-14.5, SS-14.14: sixteen fetches at once stay within the limit."""
    worker = Worker(limit=3)
    fetches = [worker.table.begin_fetch(seconds(0)) for _ in range(16)]
    assert [fetch.claim_new for fetch in fetches] == [True] * 3 + [False] * 13
    worker.table.fetch_ended(fetches[0], seconds(1))
    assert worker.table.begin_fetch(seconds(1)).claim_new
    assert not worker.table.begin_fetch(seconds(1)).claim_new


def test_an_item_of_an_owned_session_returns_the_reservation() -> None:
    """SS-14.5."""
    worker = Worker(limit=2)
    worker.fetched(S1, 0)
    worker.fetched(S1, 1)
    assert worker.table.units == (1, 0, 0)


@pytest.mark.parametrize("cause", ["idle", "deadline"])
def test_a_session_given_up_without_confirmation_keeps_its_unit(cause: str) -> None:
    """SS-14.15: until D after the last call that may have extended it was answered."""
    worker = Worker(idle=5, limit=1) if cause == "idle" else Worker(limit=1)
    lease = worker.fetched(S1, 0)
    if cause == "idle":
        worker.finish(lease, 10)
        (kept,) = worker.table.advance(seconds(15)).releases
        worker.table.release_answered(kept, confirmed=False)
        free_at = 60.0  # the fetch was the last extension
    else:
        worker.table.renewal_answered(worker.renewal(30), seconds(40), "unknown")
        (ended,) = worker.table.advance(seconds(60)).ended
        assert ended.cause == "deadline"
        free_at = 100.0  # the renewal whose answer was lost may have extended it
    assert worker.table.units == (0, 0, 1)
    fetch = worker.table.begin_fetch(seconds(free_at - 1))
    assert not fetch.claim_new
    worker.table.fetch_ended(fetch, seconds(free_at - 1))
    assert worker.due() == free_at
    worker.table.advance(seconds(free_at))
    assert worker.table.begin_fetch(seconds(free_at)).claim_new


def test_a_call_still_outstanding_keeps_the_unit() -> None:
    """SS-14.15."""
    worker = Worker(limit=1)
    worker.fetched(S1, 0)
    call = worker.renewal(30)
    worker.table.advance(seconds(60))
    worker.table.advance(seconds(500))
    assert worker.table.units == (0, 0, 1)
    worker.table.renewal_answered(call, seconds(500), "unknown")
    assert worker.due() == 560


def test_a_fetch_whose_answer_was_lost_may_have_extended_what_was_given_up() -> None:
    """SS-14.15."""
    worker = Worker(idle=5, limit=1)
    worker.finish(worker.fetched(S1, 0), 10)
    (kept,) = worker.table.advance(seconds(15)).releases
    worker.table.release_answered(kept, confirmed=False)
    worker.table.fetch_ended(worker.table.begin_fetch(seconds(50)), seconds(50), answer_lost=True)
    assert worker.due() == 110


def test_a_fetch_under_way_may_have_extended_what_was_given_up() -> None:
    """SS-14.15, SS-24.10: after a pause the answers of the time before it are still to come."""
    worker = Worker(limit=1)
    worker.fetched(S1, 0)
    fetch = worker.table.begin_fetch(seconds(5))
    worker.table.advance(seconds(61))
    assert worker.table.units == (0, 0, 1)
    worker.table.fetch_ended(fetch, seconds(61))
    worker.table.advance(seconds(61))
    assert worker.table.units == (0, 0, 0)


def test_an_item_of_a_kept_session_takes_its_unit_over() -> None:
    """SS-14.15."""
    worker = Worker(limit=1)
    worker.fetched(S1, 0)
    worker.table.advance(seconds(60))
    fetch = worker.table.begin_fetch(seconds(61))
    assert not fetch.claim_new
    assert worker.table.delivered(fetch, S1, worker.token(), seconds(61))[0] == "taken"
    assert worker.table.units == (1, 0, 0)


def test_an_item_without_lease_or_unit_is_not_taken() -> None:
    """SS-14.16."""
    worker = Worker(limit=1)
    worker.fetched(S2, 0)
    fetch = worker.table.begin_fetch(seconds(1))
    assert worker.table.delivered(fetch, S1, worker.token(), seconds(1)) == ("no_unit", None)
    assert worker.table.units == (1, 0, 0)


def test_an_item_that_overtakes_the_answer_of_its_claim_uses_the_reservation() -> None:
    """SS-14.16: the claim's answer is on its way, so the session is not given back under its item."""
    worker = Worker(limit=1)
    claiming = worker.table.begin_fetch(seconds(0))
    owned_only = worker.table.begin_fetch(seconds(0))
    delivery, lease = worker.table.delivered(owned_only, S1, worker.token(), seconds(1))
    assert (delivery, worker.table.units) == ("taken", (1, 0, 0))
    assert worker.table.delivered(claiming, S1, worker.token(), seconds(2)) == ("joined", lease)
    assert worker.table.units == (1, 0, 0)


def test_a_claim_that_lost_its_reservation_and_brings_another_session_has_no_unit() -> None:
    """SS-14.16, INV-27."""
    worker = Worker(limit=1)
    claiming = worker.table.begin_fetch(seconds(0))
    owned_only = worker.table.begin_fetch(seconds(0))
    worker.table.delivered(owned_only, S1, worker.token(), seconds(1))
    assert worker.table.delivered(claiming, S2, worker.token(), seconds(2))[0] == "no_unit"


def test_a_unit_that_comes_back_goes_first_to_a_claim_under_way_that_lost_its_own() -> None:
    """SS-14.5, INV-27: otherwise a third session could be claimed where there is room for two."""
    worker = Worker(limit=2)
    claiming, other = worker.table.begin_fetch(seconds(0)), worker.table.begin_fetch(seconds(0))
    owned_only = worker.table.begin_fetch(seconds(0))
    worker.table.delivered(owned_only, S1, worker.token(), seconds(1))
    robbed = claiming if not claiming.reserved else other
    claimer = other if robbed is claiming else claiming
    assert worker.table.delivered(claimer, S1, worker.token(), seconds(2))[0] == "joined"
    assert robbed.reserved
    assert not worker.table.begin_fetch(seconds(3)).claim_new


def test_a_loss_told_by_the_provider_frees_the_unit_at_once() -> None:
    """SS-7.15, SS-14.6."""
    worker = Worker(limit=1)
    worker.fetched(S1, 0)
    worker.table.renewal_answered(worker.renewal(30), seconds(30), "refused")
    assert worker.table.begin_fetch(seconds(30)).claim_new


def test_an_owned_only_fetch_does_not_outlast_a_call_that_may_free_a_unit() -> None:
    """SS-14.6: one begun while a renewal is out would otherwise wait for the next thing due."""
    worker = Worker(limit=1)
    lease = worker.fetched(S1, 0)
    worker.finish(lease, 1)
    call = worker.renewal(30)
    fetch = worker.table.begin_fetch(seconds(30))
    assert worker.table.longest_wait(fetch, slot_count=1, min_poll=seconds(0.1)) == seconds(0.1)
    worker.table.renewal_answered(call, seconds(30), "refused")
    worker.table.fetch_ended(fetch, seconds(30.1))
    assert worker.table.begin_fetch(seconds(30.1)).claim_new

    kept = Worker(limit=1)
    kept.finish(kept.fetched(S1, 0), 1)
    late = kept.renewal(30)
    kept.table.advance(seconds(60))  # the deadline; the renewal is still out
    fetch = kept.table.begin_fetch(seconds(61))
    assert kept.table.longest_wait(fetch, slot_count=1, min_poll=seconds(0.1)) == seconds(0.1)
    kept.table.renewal_answered(late, seconds(61), "refused")
    kept.table.fetch_ended(fetch, seconds(61.1))
    kept.table.advance(seconds(61.1))
    assert kept.table.begin_fetch(seconds(61.1)).claim_new


def test_an_owned_only_fetch_ends_soon_after_a_unit_may_come_free() -> None:
    """SS-14.6: the next fetch may claim again."""
    worker = Worker(limit=1)
    worker.fetched(S1, 0)
    fetch = worker.table.begin_fetch(seconds(10))
    assert worker.table.longest_wait(fetch, slot_count=1, min_poll=seconds(0.1)) == seconds(20.1)
    crowded = Worker(limit=1)
    crowded.table.begin_fetch(seconds(0))
    fetch = crowded.table.begin_fetch(seconds(0))
    assert crowded.table.longest_wait(fetch, slot_count=2, min_poll=seconds(0.1)) == seconds(1)


def test_closing_releases_what_is_not_in_use() -> None:
    """SS-9.11, SS-9.12: a session with a handler that could not be stopped is left to expire."""
    worker = Worker(idle=1)
    worker.finish(worker.fetched(S1, 0), 0.5)
    stuck = worker.fetched(S2, 0.6)
    worker.table.begin_closing()
    assert not worker.table.advance(seconds(20)).releases
    worker.finish(stuck, 21)
    decisions = worker.table.close(frozenset({S2}))
    assert [kept.key for kept in decisions.releases] == [S1]
    assert [(ended.lease.key, ended.cause) for ended in decisions.ended] == [
        (S1, "shutdown"),
        (S2, "shutdown"),
    ]


def test_no_transition_leads_out_of_the_end_but_a_delivery_to_a_new_lease() -> None:
    """sessions.md section 25, last paragraph: busy ends only through idle, loss, shutdown."""
    assert [key for key in TRANSITIONS if key[0] == "none"] == [("none", "delivered")]
    assert ("busy", "idle_timer") not in TRANSITIONS


class AnyWorker(RuleBasedStateMachine):
    """Whatever order fetches, answers, finishes and time come in, the rules of the table hold."""

    LIMIT = 2
    DURATION = 20 * SECOND
    KEYS = tuple(ScheduledSessionIdentifier("i", f"s{n}") for n in range(4))

    def __init__(self) -> None:
        super().__init__()
        self.now = Micros(0)
        self.table = LeaseTable(duration=Micros(self.DURATION), idle=seconds(6), limit=self.LIMIT)
        self.fetches: list[FetchUnderWay] = []
        self.attempts: list[tuple[Lease, LockToken]] = []
        self.renewals: list[Renewal] = []
        self.items: list[ItemRenewal] = []
        self.releases: list[Kept] = []
        self.signalled: set[LockToken] = set()
        self.tokens = 0

    def apply(self, decisions: Decisions) -> None:
        for ended in decisions.ended:
            self.ended(ended)
        for call in decisions.renewals:
            assert not call.lease.ended, "SS-7.16"
            assert all(other.lease is not call.lease for other in self.renewals), "SS-7.5"
            self.renewals.append(call)
        for kept in decisions.releases:
            assert not self.fetches, "SS-8.7"
            assert all(lease.key != kept.key for lease, _ in self.attempts), "INV-29"
            self.releases.append(kept)

    def ended(self, ended: Ended) -> None:
        assert not self.signalled & set(ended.attempts), "one signal each (INV-24)"
        self.signalled.update(ended.attempts)
        live = {token for lease, token in self.attempts if lease is ended.lease}
        assert set(ended.attempts) == live, "all in flight are signalled (SS-7.13)"

    @rule(step=st.sampled_from([0.001, 0.5, 3, 6, 10, 25]))
    def time_passes(self, step: float) -> None:
        self.now = Micros(self.now + seconds(step))
        self.apply(self.table.advance(self.now))

    @precondition(lambda self: len(self.fetches) < 4 and self.table.may_fetch(self.now))
    @rule()
    def fetch(self) -> None:
        self.fetches.append(self.table.begin_fetch(self.now))

    @precondition(lambda self: self.fetches)
    @rule(data=st.data(), lost=st.booleans())
    def fetch_brings_nothing(self, data: st.DataObject, lost: bool) -> None:
        fetch = self.fetches.pop(data.draw(st.integers(0, len(self.fetches) - 1)))
        self.apply(self.table.advance(self.now))
        self.table.fetch_ended(fetch, self.now, answer_lost=lost)
        self.apply(self.table.advance(self.now))

    @precondition(lambda self: self.fetches)
    @rule(data=st.data(), key=st.sampled_from(KEYS))
    def fetch_brings_an_item(self, data: st.DataObject, key: ScheduledSessionIdentifier) -> None:
        fetch = self.fetches.pop(data.draw(st.integers(0, len(self.fetches) - 1)))
        self.apply(self.table.advance(self.now))
        self.tokens += 1
        token = LockToken(f"t{self.tokens}")
        delivery, lease = self.table.delivered(fetch, key, token, self.now)
        assert (delivery == "no_unit") is (lease is None)
        if lease is not None:
            assert not lease.ended and token not in self.signalled, "SS-7.15"
            self.attempts.append((lease, token))
        self.apply(self.table.advance(self.now))

    @precondition(lambda self: self.attempts)
    @rule(data=st.data())
    def attempt_finishes(self, data: st.DataObject) -> None:
        lease, token = self.attempts.pop(data.draw(st.integers(0, len(self.attempts) - 1)))
        self.table.finished(lease, token, self.now)
        self.apply(self.table.advance(self.now))

    @precondition(lambda self: self.attempts)
    @rule(data=st.data())
    def item_renewal_goes_out(self, data: st.DataObject) -> None:
        lease, token = data.draw(st.sampled_from(self.attempts))
        if not any(call.token == token for call in self.items):
            self.items.append(self.table.item_renewal_sent(lease, token, self.now))

    @precondition(lambda self: self.items)
    @rule(answer=st.sampled_from(["extended", "refused", "unknown"]))
    def item_renewal_is_answered(self, answer: RenewalAnswer) -> None:
        call = self.items.pop(0)
        self.apply(self.table.advance(self.now))
        next_at = None if answer == "refused" else Micros(self.now + 5 * SECOND)
        self.table.item_renewal_answered(call, self.now, answer, next_at)
        self.apply(self.table.advance(self.now))

    @precondition(lambda self: self.renewals)
    @rule(answer=st.sampled_from(["extended", "refused", "unknown"]))
    def renewal_is_answered(self, answer: RenewalAnswer) -> None:
        call = self.renewals.pop(0)
        self.apply(self.table.advance(self.now))
        ended = self.table.renewal_answered(call, self.now, answer)
        if ended is not None:
            self.ended(ended)
        self.apply(self.table.advance(self.now))

    @precondition(lambda self: self.releases)
    @rule(confirmed=st.booleans())
    def release_is_answered(self, confirmed: bool) -> None:
        self.table.release_answered(self.releases.pop(0), confirmed=confirmed)
        self.apply(self.table.advance(self.now))

    @invariant()
    def capacity_is_never_exceeded(self) -> None:
        assert sum(self.table.units) <= self.LIMIT, "INV-27"
        assert self.table.units.reserved == sum(fetch.reserved for fetch in self.fetches)

    @invariant()
    def leases_are_within_their_deadline_and_cover_their_attempts(self) -> None:
        for view in self.table.views():
            assert self.now < view.deadline, "SS-7.12"
            assert view.phase == ("busy" if view.in_flight else "idle")
        for lease, token in self.attempts:
            assert lease.ended or token in lease.attempts, "INV-28"
            assert not lease.ended or token in self.signalled, "SS-7.13"

    @invariant()
    def something_is_due_while_a_lease_is_held(self) -> None:
        due = self.table.next_due()
        if self.table.views():
            assert due is not None and due > self.now
            assert due <= self.now + self.DURATION


TestAnyWorker = AnyWorker.TestCase
TestAnyWorker.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
