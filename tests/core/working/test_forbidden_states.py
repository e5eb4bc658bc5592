"""What only our own code can do wrong is stopped where it would happen, and a worker survives it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from holdfast.core.contract.ids import LockToken, Micros
from holdfast.core.contract.observe import HandlerStopped
from holdfast.core.contract.provider import FetchedWork, ScheduledSessionIdentifier
from holdfast.core.contract.work_items import ActivityExecute
from holdfast.core.hosting.log import FAILED_ASSERTION
from holdfast.core.program.registry import Registry
from holdfast.core.working import lease_records
from holdfast.core.working.activity_context import ActivityContext
from holdfast.core.working.attempt import Attempt
from holdfast.core.working.lease_records import TRANSITIONS, ExtendingCalls, Kept, Lease
from holdfast.core.working.lease_table import LeaseTable

SECOND = 1_000_000
S1 = ScheduledSessionIdentifier("i", "s1")
S2 = ScheduledSessionIdentifier("i", "s2")
T1, T2 = LockToken("t1"), LockToken("t2")


@contextmanager
def forbidden(*words: str) -> Iterator[None]:
    """What is done here fails an assertion, whose message holds these words."""
    with pytest.raises(AssertionError) as failed:
        yield
    for word in words:
        assert word in str(failed.value)


def table(*, idle: int | None = None, limit: int = 10) -> LeaseTable:
    return LeaseTable(
        duration=Micros(60 * SECOND), idle=None if idle is None else Micros(idle * SECOND), limit=limit
    )


def at(seconds: float) -> Micros:
    return Micros(round(seconds * SECOND))


def delivered(leases: LeaseTable, key: ScheduledSessionIdentifier, token: LockToken, now: float) -> Lease:
    _, lease = leases.delivered(leases.begin_fetch(at(now)), key, token, at(now))
    assert lease is not None
    return lease


# --- leases ---------------------------------------------------------------------------------------------


def test_the_drawing_of_the_phases_is_their_table() -> None:
    """sessions.md section 25: each arrow of the module's picture is a transition, and each one is drawn."""
    arrows = re.findall(r"(\w+) ──([\w, ]+)──▶ (?=(\w+))", lease_records.__doc__ or "")
    drawn = {(phase, event.strip()): after for phase, events, after in arrows for event in events.split(",")}
    repeated = {("idle", "delivered"): "busy"}
    assert drawn == TRANSITIONS and repeated.items() <= TRANSITIONS.items()


def test_a_transition_that_is_not_in_the_table() -> None:
    """SS-8.6."""
    lease = Lease(S1, ExtendingCalls())
    lease.step("delivered")
    with forbidden("idle_timer", "busy", "s1"):
        lease.step("idle_timer")
    assert lease.phase == "busy"


def test_an_idle_lease_with_something_in_flight() -> None:
    """SS-8.2."""
    lease = Lease(S1, ExtendingCalls(), phase="idle")
    lease.check()
    lease.attempts[T1] = None
    with forbidden("idle", "t1"):
        lease.check()


def test_time_that_goes_back() -> None:
    """SS-24.2."""
    leases = table()
    leases.advance(at(10))
    with forbidden("9000000", "10000000"):
        leases.advance(at(9))


def test_a_session_both_leased_and_kept() -> None:
    """SS-14.15."""
    leases = table()
    delivered(leases, S1, T1, 0)
    leases._kept[S1] = Kept(S1, ExtendingCalls(open=1), "deadline", releasing=False)
    with forbidden("s1", "leased and kept"):
        delivered(leases, S1, T2, 1)
    with forbidden("s1", "leased and kept"):
        leases.advance(at(100))


def test_an_attempt_that_finishes_twice() -> None:
    """SS-14.13."""
    leases = table()
    lease = delivered(leases, S1, T1, 0)
    leases.finished(lease, T1, at(1))
    with forbidden("t1"):
        leases.finished(lease, T1, at(2))


def test_a_fetch_that_ends_twice() -> None:
    """SS-14.5: its unit would return twice."""
    leases = table()
    fetch = leases.begin_fetch(at(0))
    leases.fetch_ended(fetch, at(1))
    with forbidden("not under way"):
        leases.fetch_ended(fetch, at(2))


def test_a_fetch_beside_an_idle_release() -> None:
    """SS-8.7."""
    leases = table(idle=5)
    leases.finished(delivered(leases, S1, T1, 0), T1, at(1))
    (kept,) = leases.advance(at(6)).releases
    with forbidden("idle release"):
        leases.begin_fetch(at(7))
    leases.release_answered(kept, confirmed=False)
    with forbidden("s1", "none is out"):
        leases.release_answered(kept, confirmed=False)


def test_a_second_renewal_beside_the_first() -> None:
    """SS-7.5."""
    leases = table()
    lease = delivered(leases, S1, T1, 0)
    (call,) = leases.advance(at(30)).renewals
    with forbidden("s1", "still out"):
        leases._send(lease, at(31))
    lease.renewal = None
    with forbidden("s1", "out is None"):
        leases.renewal_answered(call, at(32), "extended")


def test_a_call_that_is_answered_twice() -> None:
    """SS-14.15: when a row has surely expired is counted from the calls that are out."""
    leases = table()
    lease = delivered(leases, S1, T1, 0)
    call = leases.item_renewal_sent(lease, T1, at(25))
    leases.item_renewal_answered(call, at(25), "extended", None)
    with forbidden("none is out"):
        leases.item_renewal_answered(call, at(26), "extended", None)


def test_sessions_that_are_released_too_early() -> None:
    """SS-9.8, SS-9.11."""
    leases = table()
    with forbidden("before shutdown"):
        leases.close(frozenset())
    leases.begin_closing()
    leases.begin_fetch(at(0))
    with forbidden("1 fetches out"):
        leases.close(frozenset())


# --- attempts -------------------------------------------------------------------------------------------


def an_attempt(session: str | None = "s1") -> Attempt:
    item = ActivityExecute(instance="i", execution_id=1, id=1, name="act", input="", session_id=session)
    return Attempt(FetchedWork(item, T1, 1), worker_id="w", observer=None)


def test_two_disposals_of_one_item() -> None:
    """RT-6.8: the second would hit the lock of whoever has the item by then."""
    attempt = an_attempt()
    with forbidden("t1", "completed", "may still be signalled"):
        attempt.dispose("completed")
    attempt.over = True
    attempt.dispose("completed")
    with forbidden("t1", "completed", "given back"):
        attempt.dispose("given back")


def test_a_stopped_attempt_that_stops_again() -> None:
    """SS-7.13."""
    attempt = an_attempt()
    with forbidden("t1", "failed", "not started"):
        attempt.stopped("failed")
    attempt.started()
    with forbidden("second handler"):
        attempt.started()
    attempt.stopped("completed")
    with forbidden("t1", "aborted", "completed"):
        attempt.stopped("aborted")


def test_an_attempt_that_changes_its_lease() -> None:
    """SS-14.8."""
    attempt = an_attempt()
    with forbidden("s1", "s2"):
        attempt.bind(Lease(S2, ExtendingCalls()))
    attempt.bind(Lease(S1, ExtendingCalls()))
    with forbidden("t1", "bound before"):
        attempt.bind(Lease(S1, ExtendingCalls()))


def test_a_handler_that_is_told_to_stop_twice() -> None:
    """INV-24, SS-2.9: the signal goes through once, whatever its causes."""
    attempt = an_attempt()
    attempt.signal("shutdown", at(1))
    attempt.signal("deadline", at(2))
    assert (attempt.cause, attempt.signalled_at) == ("shutdown", at(1))
    with forbidden("second time"):
        attempt.cancellation._fire()


# --- a worker meets a failed assertion ------------------------------------------------------------------


class Waiting:
    """A registry whose activity waits until it is let go, and a runtime of it on one slot."""

    def __init__(self) -> None:
        self.registry = Registry()
        self.go = asyncio.Event()
        self.runs = 0
        self.registry.add_activity("act", self.act)

    async def act(self, ctx: ActivityContext, input: str) -> str:
        self.runs += 1
        await self.go.wait()
        return "result"


def survives(world: Any, session: str | None, spoil: Callable[[Any], None]) -> tuple[Any, Waiting]:
    """Let an item run, spoil something of the runtime meanwhile, and let it end, and another after it."""

    async def scenario() -> tuple[Any, Waiting]:
        acts = Waiting()
        host = await world.start(acts.registry, orchestration_concurrency=0, worker_concurrency=1)
        loop = asyncio.get_running_loop()
        heard: list[Any] = []
        loop.set_exception_handler(lambda _, context: heard.append(context["exception"]))
        for id in (1, 2):
            item = ActivityExecute(
                instance="i", execution_id=1, id=id, name="act", input="", session_id=session
            )
            await world.provider.enqueue_for_worker(item)
        await world.until(lambda: acts.runs)
        spoil(host.runtime)
        acts.go.set()
        await world.until(lambda: not world.store.worker_rows())
        assert [type(error) for error in heard] == [AssertionError], "the loop's handler hears of it"
        assert int(world.store.raw_counts()["orchestrator_queue"]) == 2, "both have their completion"
        assert host.runtime._failure is None
        return host, acts

    found: tuple[Any, Waiting] = world.run(scenario())
    return found


@pytest.mark.parametrize("session", [None, "s"])
def test_a_worker_gives_the_item_back_and_goes_on(world: Any, session: str | None) -> None:
    """The record names the item; its next attempt, which is charged, completes it."""

    def spoil(runtime: Any) -> None:
        (handler,) = runtime._runner._running.values()
        handler._outcome = "failed"

    host, acts = survives(world, session, spoil)
    (record,) = host.seen.logged(FAILED_ASSERTION)
    assert (record["activity_id"], record["session_id"]) == (1, session)
    assert "was failed before" in str(record["error"])
    assert acts.runs == 3, "the first item twice, the second once"
    assert len(host.probe.times("abandon_work_item")) == 1
    assert len(host.seen.of(HandlerStopped)) == 3


def test_attempts_of_the_keeper_that_are_apart_from_those_of_the_table(world: Any) -> None:
    """SS-7.13: a lease that ends would signal nobody. The item is disposed of by then, and not given back."""
    host, acts = survives(world, "s", lambda runtime: runtime._keeper._attempts.clear())
    (record,) = host.seen.logged(FAILED_ASSERTION)
    assert record["activity_id"] == 1
    assert "not among the attempts of the keeper" in str(record["error"])
    assert acts.runs == 2
    assert not host.probe.times("abandon_work_item")


def test_an_item_whose_renewal_fails_an_assertion_is_given_back(world: Any) -> None:
    """RT-6.3: nobody renews its lock any more, so that it counts as lost."""

    async def scenario() -> None:
        acts = Waiting()
        host = await world.start(acts.registry, orchestration_concurrency=0, worker_concurrency=1)
        asyncio.get_running_loop().set_exception_handler(lambda _, context: None)
        item = ActivityExecute(instance="i", execution_id=1, id=1, name="act", input="", session_id="s")
        await world.provider.enqueue_for_worker(item)
        await world.until(lambda: acts.runs)
        host.runtime._keeper._table._now = Micros(world.clock.now + 26 * SECOND)  # as if time had gone back
        await world.sleep(25.5)
        records = host.seen.logged(FAILED_ASSERTION)
        assert 1 in [record.get("activity_id") for record in records]
        acts.go.set()
        await world.until(lambda: not world.store.worker_rows())
        assert host.runtime._failure is None

    world.run(scenario())


def test_a_keeper_whose_task_fails_an_assertion_goes_on(world: Any) -> None:
    """SS-7.12: the renewal that went wrong is not repeated, and the lease ends at its deadline."""

    async def scenario() -> None:
        acts = Waiting()
        acts.go.set()
        host = await world.start(acts.registry, orchestration_concurrency=0, worker_concurrency=1)
        asyncio.get_running_loop().set_exception_handler(lambda _, context: None)
        for id, session in ((1, "s"), (2, None)):
            held = host.probe.held["renew_session_lock"] = asyncio.Event()
            item = ActivityExecute(
                instance="i", execution_id=1, id=id, name="act", input="", session_id=session
            )
            await world.provider.enqueue_for_worker(item)
            await world.until(lambda: not world.store.worker_rows())
            if session is not None:
                (lease,) = host.runtime._keeper._table._all()
                lease.calls.open -= 1  # a call is not counted that is to come
                await world.until(lambda: host.seen.logged(FAILED_ASSERTION))
            held.set()
        assert host.runtime.leases()
        await world.until(lambda: not host.runtime.leases())
        assert host.runtime._failure is None

    world.run(scenario())
