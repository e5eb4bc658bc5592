"""The worker: fetch modes, attempts and their ends, renewal, loss (RT-6, SS-7, SS-8, SS-14)."""

from __future__ import annotations

import asyncio
import itertools
import threading
from datetime import timedelta
from typing import Any

import pytest

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.observe import (
    CapacityChanged,
    HandlerSignalled,
    HandlerStarted,
    HandlerStopped,
    LeaseEnded,
    RenewalAnswered,
    RenewalSent,
)
from holdfast.core.contract.provider import TagFilter
from holdfast.core.contract.work_items import ActivityExecute
from holdfast.core.program.registry import Registry
from holdfast.core.working.activity_context import ActivityContext

SECOND = timedelta(seconds=1)


def item(
    id: int, session: str | None = None, name: str = "act", input: str = "", **more: Any
) -> ActivityExecute:
    return ActivityExecute(
        instance="i", execution_id=1, id=id, name=name, input=input, session_id=session, **more
    )


class Acts:
    """A registry whose activity `act` waits until the test lets it go."""

    def __init__(self, first_of: Any) -> None:
        self.registry = Registry()
        self.first_of = first_of
        self.contexts: list[ActivityContext] = []
        self.go = asyncio.Event()
        self.registry.add_activity("act", self.act)
        self.registry.add_activity("quick", self.quick)

    async def act(self, ctx: ActivityContext, input: str) -> str:
        self.contexts.append(ctx)
        if input:
            await self.first_of(self.go.wait(), ctx.cancelled())
        else:
            await self.go.wait()
        return "result"

    async def quick(self, ctx: ActivityContext, input: str) -> str:
        self.contexts.append(ctx)
        return "result"


async def started(world: Any, **options: Any) -> tuple[Any, Acts]:
    acts = Acts(world.first_of)
    return await world.start(acts.registry, orchestration_concurrency=0, **options), acts


def messages(world: Any) -> int:
    return int(world.store.raw_counts()["orchestrator_queue"])


# --- what an activity sees and how it ends ---------------------------------------------------------------


def test_the_context_names_the_attempt(world: Any) -> None:
    """RT-6.5, RT-6.6, SS-2.7, SS-2.8: the owner part of the worker id is the one in the session row."""

    async def scenario() -> None:
        _, acts = await started(world)
        await world.provider.enqueue_for_worker(item(1, "s"))
        await world.provider.enqueue_for_worker(item(2))
        await world.until(lambda: len(acts.contexts) == 2)
        on_session, plain = acts.contexts
        assert (on_session.instance_id, on_session.execution_id, on_session.activity_id) == ("i", 1, 1)
        assert (on_session.session_id, plain.session_id) == ("s", None)
        prefix, slot, owner = on_session.worker_id.split("-", 2)
        assert (prefix, owner) == ("work", world.row("i", "s").worker_id)
        assert slot in ("0", "1")
        assert await plain.orchestration() == ("unknown", "unknown")

    world.run(scenario())


def test_success_failure_and_an_unencodable_result_are_completions(world: Any) -> None:
    """RT-6.8, RT-6.9, SS-14.11: the lease is untouched by an exception."""

    async def scenario() -> None:
        host, acts = await started(world)

        async def fail(ctx: ActivityContext, input: str) -> str:
            raise ValueError("no luck")

        async def odd(ctx: ActivityContext, input: str) -> object:
            return object()

        acts.registry.add_activity("fail", fail)
        acts.registry.add_activity("odd", odd)
        for id, name in ((1, "quick"), (2, "fail"), (3, "odd")):
            await world.provider.enqueue_for_worker(item(id, "s", name))
        await world.until(lambda: not world.store.worker_rows())
        assert messages(world) == 3
        outcomes = sorted(event.outcome for event in host.seen.of(HandlerStopped))
        assert outcomes == ["completed", "completed", "failed"]
        assert [view.session_id for view in host.runtime.leases()] == ["s"]
        errors = [fields["error"] for fields in host.seen.logged("Activity failed (application error)")]
        assert errors[0] == "ValueError: no luck" and "object" in str(errors[1])

    world.run(scenario())


def test_an_exception_that_cannot_be_shown_fails_its_activity_alone(world: Any) -> None:
    """RT-6.9: it is stored by the name of its class, and the worker goes on."""

    async def scenario() -> None:
        host, acts = await started(world)

        class Mute(Exception):
            def __str__(self) -> str:
                raise RuntimeError("no words")

        async def fail(ctx: ActivityContext, input: str) -> str:
            raise Mute

        acts.registry.add_activity("fail", fail)
        for id, name in ((1, "fail"), (2, "quick")):
            await world.provider.enqueue_for_worker(item(id, "s", name))
        await world.until(lambda: not world.store.worker_rows())
        assert messages(world) == 2
        errors = [fields["error"] for fields in host.seen.logged("Activity failed (application error)")]
        assert errors == ["Mute"]

    world.run(scenario())


def test_a_plain_function_runs_outside_the_loop(world: Any) -> None:
    """SS-23.3: the loop goes on while it blocks."""

    async def scenario() -> None:
        host, acts = await started(world)
        gate = threading.Event()
        seen: list[bool] = []

        def block(ctx: ActivityContext, input: str) -> str:
            seen.append(threading.current_thread() is threading.main_thread())
            gate.wait(5)
            return "done"

        acts.registry.add_activity("block", block)
        await world.provider.enqueue_for_worker(item(1, "s", "block"))
        await world.until(lambda: seen)
        await world.sleep(31)
        assert host.probe.times("renew_work_item_lock")
        gate.set()
        while world.store.worker_rows():
            await world.sleep(0.1)
        assert seen == [False]

    world.run(scenario())


def test_an_unregistered_activity_is_given_back_and_its_lease_stays(world: Any) -> None:
    """RT-13.14, SS-14.9, SS-14.7: attempt kept, backoff, idle rule applies."""

    async def scenario() -> None:
        host, _ = await started(world)
        await world.provider.enqueue_for_worker(item(1, "s", "unknown"))
        await world.until(lambda: host.probe.times("abandon_work_item"))
        (row,) = world.store.worker_rows()
        assert row.attempt_count == 1
        assert row.visible_from - world.clock.now_ms() in range(900, 1001)
        assert [(view.session_id, view.phase) for view in host.runtime.leases()] == [("s", "idle")]

    world.run(scenario())


def test_a_poisoned_item_fails_the_activity_and_not_the_session(world: Any) -> None:
    """RT-6.2, RT-13.8, SS-14.10."""

    async def scenario() -> None:
        host, acts = await started(world, max_attempts=1)
        await world.provider.enqueue_for_worker(item(1, "s", "unknown"))
        await world.until(lambda: not world.store.worker_rows())
        assert messages(world) == 1
        assert len(host.seen.logged("Activity message exceeded max attempts, marking as poison")) == 1
        await world.provider.enqueue_for_worker(item(2, "s", "quick"))
        await world.until(lambda: acts.contexts)
        assert world.row("i", "s").worker_id == host.runtime.owner_identity

    world.run(scenario())


def test_a_refused_acknowledgement_gives_the_item_back(world: Any) -> None:
    """RT-6.12."""

    async def scenario() -> None:
        host, acts = await started(world)
        host.probe.failures["ack_work_item"] = [ProviderError.permanent("ack_work_item", "no")]
        await world.provider.enqueue_for_worker(item(1, None, "quick"))
        await world.until(lambda: not world.store.worker_rows())
        assert len(acts.contexts) == 2
        assert len(host.seen.logged("worker: atomic ack failed, abandoning work item")) == 1
        assert messages(world) == 1

    world.run(scenario())


def test_a_busy_store_does_not_cost_a_second_run(world: Any) -> None:
    """SS-12.19: an acknowledgement that met a retryable error is repeated."""

    async def scenario() -> None:
        host, acts = await started(world)
        host.probe.failures["ack_work_item"] = [ProviderError.transient("ack_work_item", "busy")] * 3
        await world.provider.enqueue_for_worker(item(1, None, "quick"))
        await world.until(lambda: not world.store.worker_rows())
        assert len(acts.contexts) == 1

    world.run(scenario())


def test_a_plain_item_whose_lock_is_refused_is_signalled_and_acknowledged_without_completion(
    world: Any,
) -> None:
    """RT-6.10, RT-6.11: renewal after 25 s, signal, discard."""

    async def scenario() -> None:
        host, acts = await started(world)
        await world.provider.enqueue_for_worker(item(1, None, input="heed"))
        await world.until(lambda: acts.contexts)
        host.probe.failures["renew_work_item_lock"] = [ProviderError.permanent("renew", "gone")]
        await world.until(lambda: host.probe.times("ack_work_item"))
        assert host.probe.times("renew_work_item_lock") == [pytest.approx(25, abs=0.2)]
        assert [event.cause for event in host.seen.of(HandlerSignalled)] == ["item_lost"]
        assert messages(world) == 0

    world.run(scenario())


def test_a_session_item_is_never_acknowledged_without_completion(world: Any) -> None:
    """SS-7.20, SS-7.23: only the refused one of two is signalled; it is given back uncharged."""

    async def scenario() -> None:
        host, acts = await started(world)
        await world.provider.enqueue_for_worker(item(1, "s", input="heed"))
        await world.provider.enqueue_for_worker(item(2, "s", input="heed"))
        await world.until(lambda: len(acts.contexts) == 2)
        host.probe.failures["renew_work_item_lock"] = [ProviderError.permanent("renew", "gone")]
        await world.until(lambda: host.probe.times("abandon_work_item"))
        assert len(host.seen.of(HandlerSignalled)) == 1
        assert not host.probe.times("ack_work_item")
        assert [row.attempt_count for row in world.store.worker_rows()] in ([0, 1], [1, 1], [1, 0])
        assert not host.seen.of(LeaseEnded)

    world.run(scenario())


def test_a_handler_that_ignores_the_signal_is_aborted_after_the_grace_period(world: Any) -> None:
    """SS-7.20: abandon at signal time + G; a retryable error signals nothing."""

    async def scenario() -> None:
        host, acts = await started(world)
        await world.provider.enqueue_for_worker(item(1, "s"))
        await world.until(lambda: acts.contexts)
        host.probe.failures["renew_work_item_lock"] = [
            ProviderError.transient("renew", "busy"),
            ProviderError.permanent("renew", "gone"),
        ]
        await world.until(lambda: host.probe.times("abandon_work_item"))
        (abandoned,) = host.probe.times("abandon_work_item")
        renewals = host.probe.times("renew_work_item_lock")
        assert len(renewals) == 2
        assert abandoned == pytest.approx(renewals[1] + 10)
        assert [event.outcome for event in host.seen.of(HandlerStopped)] == ["aborted"]

    world.run(scenario())


# --- fetch modes and capacity ---------------------------------------------------------------------------


def test_without_session_capacity_only_plain_fetch_is_used(world: Any) -> None:
    """SS-14.1, SS-20.2."""

    async def scenario() -> None:
        host, acts = await started(world, max_sessions_per_worker=0)
        await world.provider.enqueue_for_worker(item(1, "s", "quick"))
        await world.provider.enqueue_for_worker(item(2, None, "quick"))
        await world.sleep(5)
        assert [ctx.activity_id for ctx in acts.contexts] == [2]
        assert not host.probe.times("fetch_session_work_item")

    world.run(scenario())


def test_the_fetch_mode_follows_the_capacity(world: Any) -> None:
    """SS-14.2, SS-14.3, SS-14.6, timeline W9: at the limit owned sessions and plain items are served."""

    async def scenario() -> None:
        host, acts = await started(world, max_sessions_per_worker=1, worker_concurrency=1)
        await world.provider.enqueue_for_worker(item(1, "a", "quick"))
        await world.until(host.runtime.leases)
        host.probe.claims.clear()
        for queued in (item(2, "b", "quick"), item(3, "a", "quick"), item(4, None, "quick")):
            await world.provider.enqueue_for_worker(queued)
        await world.until(lambda: len(acts.contexts) == 3)
        assert [ctx.activity_id for ctx in acts.contexts] == [1, 3, 4]
        assert not any(host.probe.claims)
        await world.provider.release_session_lock("i", "a", host.runtime.owner_identity)
        await world.until(lambda: len(acts.contexts) == 4, limit=35)
        assert host.probe.claims[-1] is False and True in host.probe.claims

    world.run(scenario())


def test_many_slots_never_exceed_the_limit(world: Any) -> None:
    """SS-14.5, INV-27: sixteen slots, limit 3, twenty sessions."""

    async def scenario() -> None:
        host, _ = await started(world, max_sessions_per_worker=3, worker_concurrency=16)
        for n in range(20):
            await world.provider.enqueue_for_worker(item(n + 1, f"s{n}"))
        await world.sleep(10)
        assert len(host.runtime.leases()) == 3
        assert sum(record.worker_id is not None for record in world.store.session_records()) == 3
        for event in host.seen.of(CapacityChanged):
            assert event.leases + event.reserved + event.kept <= 3

    world.run(scenario())


def test_an_item_without_a_free_unit_is_given_back(world: Any) -> None:
    """SS-14.16: the session is released, the attempt uncharged, no handler started."""

    async def scenario() -> None:
        host, _ = await started(world, max_sessions_per_worker=1, worker_concurrency=2)
        await world.provider.enqueue_for_worker(item(1, "a"))
        await world.until(host.runtime.leases)
        await world.provider.enqueue_for_worker(item(2, "b"))
        stolen = await world.store.open().fetch_session_work_item(
            1, 0, worker_id=host.runtime.owner_identity, session_lock_duration=60_000
        )
        assert stolen is not None and stolen.item.session_id == "b"
        await world.until(lambda: host.probe.times("abandon_work_item"))
        assert world.row("i", "b").worker_id is None
        assert [view.session_id for view in host.runtime.leases()] == ["a"]
        assert len(host.seen.of(HandlerStarted)) == 1
        assert [event.cause for event in host.seen.of(LeaseEnded)] == ["given_back"]

    world.run(scenario())


def test_the_tag_filter_reaches_the_provider(world: Any) -> None:
    """RT-15.3."""

    async def scenario() -> None:
        _, acts = await started(world, worker_tag_filter=TagFilter.only("gpu"))
        await world.provider.enqueue_for_worker(item(1, None, "quick"))
        await world.provider.enqueue_for_worker(item(2, None, "quick", tag="gpu"))
        await world.sleep(3)
        assert [(ctx.activity_id, ctx.tag) for ctx in acts.contexts] == [(2, "gpu")]

    world.run(scenario())


# --- renewal, loss, idle release -------------------------------------------------------------------------


def test_idle_sessions_are_renewed_with_all_slots_busy(world: Any) -> None:
    """SS-7.2, SS-7.4, SS-7.18, INV-45: R apart, the row never expires."""

    async def scenario() -> None:
        host, _ = await started(world, worker_concurrency=1)
        await world.provider.enqueue_for_worker(item(1, "s", "quick"))
        await world.until(host.runtime.leases)
        claimed = world.now
        await world.provider.enqueue_for_worker(item(2))
        while world.now < claimed + 300:
            await world.sleep(1)
            assert world.row("i", "s").locked_until > world.clock.now_ms()
        times = host.probe.times("renew_session_lock")
        assert [b - a for a, b in itertools.pairwise(times)] == [30.0] * (len(times) - 1)
        assert len(times) >= 9

    world.run(scenario())


def test_a_long_activity_carries_its_session_along(world: Any) -> None:
    """SS-7.6, SS-7.8, timeline W2: none stand-alone while it runs, the first R after the last extension."""

    async def scenario() -> None:
        host, acts = await started(world)
        await world.provider.enqueue_for_worker(item(1, "s"))
        await world.until(lambda: acts.contexts)
        begun = host.probe.times("fetch_session_work_item")
        await world.sleep(600)
        assert not host.seen.of(RenewalSent)
        acts.go.set()
        last = host.probe.times("renew_work_item_lock")[-1]
        await world.sleep(31)
        assert host.probe.times("renew_session_lock")[0] == pytest.approx(last + 30, abs=0.01)
        assert begun

    world.run(scenario())


def test_losing_the_session_signals_every_activity_once(world: Any) -> None:
    """SS-7.10, SS-7.13, SS-22.6, INV-23: L > D, the row goes to another worker."""

    async def scenario() -> None:
        host, acts = await started(
            world,
            worker_concurrency=3,
            worker_lock_timeout=timedelta(seconds=200),
            session_lock_duration=timedelta(seconds=20),
        )
        for n in (1, 2):
            await world.provider.enqueue_for_worker(item(n, "s", input="heed"))
        await world.until(lambda: len(acts.contexts) == 2)
        world.jump_ms = 21_000
        await world.provider.enqueue_for_worker(item(3, "s"))
        other = await world.store.open().fetch_session_work_item(
            60_000, 0, worker_id="other", session_lock_duration=600_000
        )
        if other is None or other.item.id != 3:
            pytest.fail(f"expected the other worker to get item 3, it got {other}")
        await world.until(lambda: host.seen.of(LeaseEnded), limit=11)
        assert [event.cause for event in host.seen.of(HandlerSignalled)] == ["session_lost"] * 2
        (lost,) = host.seen.logged("session.lost")
        assert lost["in_flight"] == 2
        await world.until(lambda: len(host.probe.times("abandon_work_item")) == 2)
        assert not host.probe.times("ack_work_item")
        assert host.runtime.leases() == ()

    world.run(scenario())


def test_an_unreachable_provider_ends_the_lease_at_the_local_deadline(world: Any) -> None:
    """SS-7.11, SS-7.12, SS-14.15: no signal before it, the signal at it, the unit is kept."""

    async def scenario() -> None:
        host, acts = await started(world, max_sessions_per_worker=1, worker_concurrency=1)
        await world.provider.enqueue_for_worker(item(1, "s", input="heed"))
        await world.until(lambda: acts.contexts)
        (view,) = host.runtime.leases()
        for operation in ("renew_session_lock", "renew_work_item_lock"):
            host.probe.broken[operation] = ProviderError.transient(operation, "unreachable")
        signalled: list[float] = []
        while not signalled:
            await world.sleep(0.05)
            if host.seen.of(HandlerSignalled):
                signalled.append(world.now)
        assert signalled[0] == pytest.approx(view.deadline / 1_000_000, abs=0.06)
        assert host.seen.of(HandlerSignalled)[0].cause == "deadline"
        assert host.seen.of(CapacityChanged)[-1].kept == 1
        retries = [event for event in host.seen.of(RenewalAnswered) if event.error is not None]
        assert len(retries) > 5

    world.run(scenario())


def test_a_result_that_comes_after_the_deadline_is_not_acknowledged(world: Any) -> None:
    """SS-24.10, timeline W5: the process slept past its deadline while the handler finished."""

    async def scenario() -> None:
        host, acts = await started(world, worker_concurrency=1)
        await world.provider.enqueue_for_worker(item(1, "s"))
        await world.until(lambda: acts.contexts)
        acts.go.set()
        world.clock.now += 180_000_000  # nothing ran meanwhile
        await world.settle()
        assert [event.cause for event in host.seen.of(HandlerSignalled)] == ["deadline"]
        disposals = [name for _, name in host.probe.calls if name in ("ack_work_item", "abandon_work_item")]
        assert disposals == ["abandon_work_item", "ack_work_item"], "the second is the next attempt's"

    world.run(scenario())


@pytest.mark.parametrize("slots", [1, 2])
def test_an_idle_session_is_released_when_its_timer_fires(world: Any, slots: int) -> None:
    """SS-8.2 to SS-8.4, timeline W4: T after the last activity's final call, and claimable at once."""

    async def scenario() -> None:
        host, _ = await started(
            world,
            worker_concurrency=slots,
            session_idle_timeout=timedelta(seconds=12),
            dispatcher_long_poll_timeout=timedelta(seconds=30),
        )
        await world.provider.enqueue_for_worker(item(1, "s", "quick"))
        await world.until(lambda: host.probe.times("ack_work_item"))
        (finished,) = host.probe.times("ack_work_item")
        await world.until(lambda: host.probe.times("release_session_lock"))
        (released,) = host.probe.times("release_session_lock")
        assert released == pytest.approx(finished + 12, abs=0.001)
        assert world.row("i", "s").worker_id is None
        assert host.runtime.leases() == ()
        assert host.seen.logged("session.released")[0]["reason"] == "idle"

    world.run(scenario())


def test_an_idle_timeout_of_zero_releases_with_the_last_acknowledgement(world: Any) -> None:
    """SS-8.9: no clock advance between."""

    async def scenario() -> None:
        host, _ = await started(world, session_idle_timeout=timedelta(0))
        await world.provider.enqueue_for_worker(item(1, "s", "quick"))
        await world.until(lambda: host.probe.times("release_session_lock"))
        assert host.probe.times("release_session_lock") == host.probe.times("ack_work_item")

    world.run(scenario())


def test_an_item_that_arrives_while_the_timer_fires_is_not_released_under(world: Any) -> None:
    """SS-8.7, INV-29: the fetch has committed, its answer is still on the way."""

    async def scenario() -> None:
        host, _ = await started(world, worker_concurrency=1, session_idle_timeout=timedelta(seconds=5))
        await world.provider.enqueue_for_worker(item(1, "s", "quick"))
        await world.until(lambda: host.probe.times("ack_work_item"))
        held = host.probe.held["fetch_session_work_item"] = asyncio.Event()
        await world.sleep(3)
        await world.provider.enqueue_for_worker(item(2, "s"))
        await world.sleep(1)
        del host.probe.held["fetch_session_work_item"]
        held.set()
        await world.sleep(10)
        assert not host.probe.times("release_session_lock")
        assert world.row("i", "s").worker_id == host.runtime.owner_identity

    world.run(scenario())


def test_a_failing_idle_release_forgets_the_lease_and_keeps_its_unit(world: Any) -> None:
    """SS-8.10, SS-14.15: no more renewals; the next session is claimed when the row has expired."""

    async def scenario() -> None:
        host, acts = await started(
            world, max_sessions_per_worker=1, session_idle_timeout=timedelta(seconds=5), worker_concurrency=1
        )
        host.probe.broken["release_session_lock"] = ProviderError.transient("release", "busy")
        await world.provider.enqueue_for_worker(item(1, "a", "quick"))
        await world.until(lambda: host.probe.times("release_session_lock"))
        claimed = host.probe.times("ack_work_item")[0]
        await world.provider.enqueue_for_worker(item(2, "b", "quick"))
        await world.until(lambda: len(acts.contexts) == 2)
        assert claimed + 60 <= world.now <= claimed + 61
        assert not host.probe.times("renew_session_lock")

    world.run(scenario())


def test_failing_fetches_do_not_endanger_sessions(world: Any) -> None:
    """SS-14.12, RT-5.2: renewals go on, the pauses grow to three seconds."""

    async def scenario() -> None:
        host, _ = await started(world, worker_concurrency=1)
        await world.provider.enqueue_for_worker(item(1, "s", "quick"))
        await world.until(lambda: host.probe.times("ack_work_item"))
        host.probe.broken["fetch_session_work_item"] = ProviderError.transient("fetch", "busy")
        host.probe.calls.clear()
        await world.sleep(300)
        assert not host.seen.of(LeaseEnded)
        times = host.probe.times("fetch_session_work_item")
        pauses = [round(b - a, 3) for a, b in itertools.pairwise(times)]
        assert pauses[:6] == [0.2, 0.4, 0.8, 1.6, 3.0, 3.0]

    world.run(scenario())


def test_an_empty_store_is_asked_at_the_minimum_interval(world: Any) -> None:
    """RT-5.3, RT-6.1: a fetch that answers at once is not repeated in a hot loop."""

    async def scenario() -> None:
        host, _ = await started(world, worker_concurrency=1)
        await world.sleep(10.05)
        assert len(host.probe.times("fetch_session_work_item")) == 101

    world.run(scenario())
