"""Whole runtimes on one memory store: conversations, hand-over, the order of shutdown (RT-21, SS-9)."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from datetime import timedelta
from typing import Any

import pytest

from holdfast.core.client import Completed
from holdfast.core.contract.errors import ConfigurationError, ProviderError
from holdfast.core.contract.observe import (
    HandlerSignalled,
    HandlerStarted,
    HandlerStopped,
    LeaseEnded,
    LeaseTaken,
    ShutdownReturned,
    TurnEnded,
)
from holdfast.core.program.registry import Registry
from holdfast.core.runtime import Runtime
from holdfast.core.working.activity_context import ActivityContext

MINUTE = timedelta(minutes=1)


def conversation() -> Registry:
    """Opens a session, says one word per turn on it, and answers who said what."""
    registry = Registry()

    @registry.orchestration()
    async def talk(ctx: Any, input: str) -> str:
        session = ctx.open_session()
        said = []
        while (word := await ctx.dequeue_event("words")) != "bye":
            said.append(await ctx.schedule_activity_on_session("say", word, session))
        ctx.close_session(session)
        return " ".join(said)

    @registry.activity()
    async def say(ctx: ActivityContext, word: str) -> str:
        assert ctx.session_id is not None
        return f"{word}@{ctx.worker_id.split('-', 2)[2]}"

    return registry


def stubborn(world: Any, stop: asyncio.Event, *, plain: bool = False) -> Registry:
    """One activity on a session that runs until it is told to stop, or until `stop` is set."""
    registry = Registry()

    @registry.orchestration()
    async def work(ctx: Any, input: str) -> str:
        if plain:
            return str(await ctx.schedule_activity("toil", input))
        return str(await ctx.schedule_activity_on_session("toil", input, ctx.open_session_with_id("s")))

    @registry.activity()
    async def toil(ctx: ActivityContext, input: str) -> str:
        if input == "deaf":
            await stop.wait()
            return "late"
        await world.first_of(ctx.cancelled(), stop.wait())
        return "stopped" if ctx.is_cancelled() else "done"

    return registry


def test_a_conversation_stays_on_one_worker_and_the_session_ends_with_it(world: Any) -> None:
    """SS-2.8, SS-4.2, SS-6.3, SS-18.7, SS-1.1: two workers, every word on the same one."""

    async def scenario() -> None:
        hosts = [await world.start(conversation()) for _ in range(2)]
        await world.client.start_orchestration("i", "talk")
        for word in ("one", "two", "three"):
            await world.client.enqueue_event("i", "words", word)
            await world.sleep(5)
        await world.client.enqueue_event("i", "words", "bye")
        status = await world.client.wait_for_orchestration("i", MINUTE)
        assert isinstance(status, Completed)
        owners = {said.split("@")[1] for said in status.output.split()}
        assert [said.split("@")[0] for said in status.output.split()] == ["one", "two", "three"]
        assert len(owners) == 1
        assert world.store.session_records() == []
        await world.sleep(31)
        assert [host.runtime.leases() for host in hosts] == [(), ()]
        assert [len(host.seen.of(LeaseTaken)) for host in hosts] in ([1, 0], [0, 1])
        assert any(host.seen.logged("session.opened") for host in hosts)

    world.run(scenario())


def test_graceful_shutdown_hands_the_session_to_the_other_worker_at_once(world: Any) -> None:
    """SS-9.11, SS-1.6, INV-30, INV-48: no waiting for the lock to expire, no reopen call."""

    async def scenario() -> None:
        first = await world.start(conversation())
        await world.client.start_orchestration("i", "talk")
        await world.client.enqueue_event("i", "words", "one")
        await world.until(first.runtime.leases)
        second = await world.start(conversation())
        await world.sleep(1)
        began = world.now
        await first.runtime.shutdown()
        assert world.now - began < 0.5
        (record,) = world.store.session_records()
        assert (record.worker_id, record.locked_until) == (None, None)
        calls = len(first.probe.calls)
        await world.client.enqueue_event("i", "words", "two")
        await world.client.enqueue_event("i", "words", "bye")
        status = await world.client.wait_for_orchestration("i", MINUTE)
        assert status.output == f"one@{first.runtime.owner_identity} two@{second.runtime.owner_identity}"
        await world.sleep(700)
        assert len(first.probe.calls) == calls, "SS-9.15"
        assert first.seen.logged("session.released")[0]["reason"] == "shutdown"
        assert isinstance(first.seen.events[-1], ShutdownReturned)

    world.run(scenario())


def test_shutdown_signals_the_running_activity_and_gives_its_item_back_uncharged(world: Any) -> None:
    """SS-9.9, SS-9.10, SS-7.20, timeline W8: the other worker runs it as attempt 1 again."""

    async def scenario() -> None:
        stop = asyncio.Event()
        first = await world.start(stubborn(world, asyncio.Event()))
        await world.client.start_orchestration("i", "work")
        await world.until(lambda: first.seen.of(HandlerStarted))
        second = await world.start(stubborn(world, stop))
        await first.runtime.shutdown(timedelta(seconds=5))
        assert [event.cause for event in first.seen.of(HandlerSignalled)] == ["shutdown"]
        assert [event.outcome for event in first.seen.of(HandlerStopped)] == ["discarded"]
        await world.until(lambda: second.seen.of(HandlerStarted))
        assert second.seen.of(HandlerStarted)[0].attempt == 1
        stop.set()
        assert (await world.client.wait_for_orchestration("i", MINUTE)).output == "done"

    world.run(scenario())


def test_a_handler_that_ignores_the_signal_is_aborted_in_time(world: Any) -> None:
    """SS-9.9, INV-49: shutdown returns after its timeout, the session is released."""

    async def scenario() -> None:
        host = await world.start(stubborn(world, asyncio.Event()))
        await world.client.start_orchestration("i", "work", "deaf")
        await world.until(lambda: host.seen.of(HandlerStarted))
        began = world.now
        await host.runtime.shutdown(timedelta(seconds=3))
        assert world.now - began == 3
        assert [event.outcome for event in host.seen.of(HandlerStopped)] == ["aborted"]
        assert world.row("i", "s").worker_id is None

    world.run(scenario())


def test_a_session_with_a_handler_that_cannot_be_stopped_is_left_to_expire(world: Any) -> None:
    """SS-9.12, INV-30: the row still names the worker."""
    registry = stubborn(world, asyncio.Event())

    @registry.activity("resist")
    async def resist(ctx: ActivityContext, input: str) -> str:
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                if released:
                    raise

    released: list[bool] = []

    @registry.orchestration()
    async def hang(ctx: Any, input: str) -> str:
        return str(await ctx.schedule_activity_on_session("resist", "", ctx.open_session_with_id("s")))

    async def scenario() -> None:
        host = await world.start(registry)
        await world.client.start_orchestration("i", "hang")
        await world.until(lambda: host.seen.of(HandlerStarted))
        began = world.now
        await host.runtime.shutdown(timedelta(seconds=3))
        assert world.now - began == 3
        assert world.row("i", "s").worker_id == host.runtime.owner_identity
        assert not host.seen.of(HandlerStopped)
        released.append(True)
        for task in asyncio.all_tasks():
            if task.get_name() == "activity resist":
                task.cancel()
        await world.settle()

    world.run(scenario())


def test_one_failing_release_does_not_stop_the_others(world: Any) -> None:
    """SS-9.13."""
    registry = Registry()

    @registry.orchestration()
    async def three(ctx: Any, input: str) -> str:
        for name in ("a", "b", "c"):
            await ctx.schedule_activity_on_session("touch", "", ctx.open_session_with_id(name))
        await ctx.schedule_wait("never")
        return ""

    @registry.activity()
    async def touch(ctx: ActivityContext, input: str) -> str:
        return ""

    async def scenario() -> None:
        host = await world.start(registry)
        await world.client.start_orchestration("i", "three")
        await world.until(lambda: len(host.runtime.leases()) == 3)
        error = ProviderError.transient("release_session_lock", "busy")
        forwarded = host.probe.release_session_lock
        seen = []

        async def second_fails(instance_id: str, session_id: str, worker_id: str) -> None:
            seen.append(session_id)
            if session_id == "b":
                raise error
            await forwarded(instance_id, session_id, worker_id)

        host.probe.release_session_lock = second_fails
        await world.sleep(1)
        await host.runtime.shutdown()
        assert seen == ["a", "b", "c"]
        owners = [record.worker_id for record in world.store.session_records()]
        assert owners == [None, host.runtime.owner_identity, None]

    world.run(scenario())


def test_immediate_shutdown_is_like_a_crash(world: Any) -> None:
    """SS-9.14, RT-21.6, RT-21.7: nothing is released or abandoned, and no task is left."""

    async def scenario() -> None:
        host = await world.start(stubborn(world, asyncio.Event()))
        await world.client.start_orchestration("i", "work")
        await world.until(lambda: host.seen.of(HandlerStarted))
        before = world.row("i", "s")
        await host.runtime.shutdown(timedelta(0))
        assert world.row("i", "s") == before
        assert not host.probe.times("release_session_lock")
        assert not host.probe.times("abandon_work_item")

    world.run(scenario())


def test_plain_work_may_finish_within_the_shutdown_timeout(world: Any) -> None:
    """RT-21.6: only session activities are signalled."""

    async def scenario() -> None:
        stop = asyncio.Event()
        host = await world.start(stubborn(world, stop, plain=True))
        await world.client.start_orchestration("i", "work")
        await world.until(lambda: host.seen.of(HandlerStarted))
        shutdown = asyncio.ensure_future(host.runtime.shutdown(timedelta(seconds=20)))
        await world.sleep(7)
        stop.set()
        began = world.now
        await shutdown
        assert world.now - began < 0.2
        assert not host.seen.of(HandlerSignalled)
        assert [event.outcome for event in host.seen.of(HandlerStopped)] == ["completed"]
        other = await world.start(stubborn(world, stop, plain=True))
        assert (await world.client.wait_for_orchestration("i", MINUTE)).output == "done"
        assert not other.seen.of(HandlerStarted)

    world.run(scenario())


def test_an_item_that_arrives_during_shutdown_is_given_back_and_its_session_released(world: Any) -> None:
    """SS-9.8: no handler starts, the attempt is not charged."""

    async def scenario() -> None:
        stop = asyncio.Event()
        host = await world.start(stubborn(world, stop), worker_concurrency=2)
        await world.client.start_orchestration("i", "work")
        await world.until(lambda: host.seen.of(HandlerStarted))
        host.probe.held["fetch_session_work_item"] = asyncio.Event()
        await world.sleep(0.5)
        await world.client.start_orchestration("j", "work")
        await world.until(lambda: world.row("j", "s") is not None and world.row("j", "s").worker_id)
        shutdown = asyncio.ensure_future(host.runtime.shutdown(timedelta(seconds=5)))
        host.probe.held["fetch_session_work_item"].set()
        await shutdown
        assert len(host.seen.of(HandlerStarted)) == 1
        assert {record.worker_id for record in world.store.session_records()} == {None}
        assert [row.attempt_count for row in world.store.worker_rows()] == [0, 0]
        assert [row.token for row in world.store.worker_rows()] == [None, None]

    world.run(scenario())


def test_a_runtime_starts_once_and_refuses_a_wrong_registry(world: Any) -> None:
    """RT-14.2, RT-21.4."""
    wrong = conversation()
    wrong.add_activity("say", lambda ctx, input: "")

    async def scenario() -> None:
        with pytest.raises(ConfigurationError, match="duplicate activity registration: say"):
            await world.start(wrong)
        host = await world.start(conversation())
        with pytest.raises(ConfigurationError, match="started once"):
            await host.runtime.start()

    world.run(scenario())


def test_run_goes_on_until_it_is_cancelled_and_then_shuts_down(world: Any) -> None:
    """RT-21.6: cancelling `run` is a graceful shutdown."""

    async def scenario() -> None:
        host = await world.start(conversation())
        await host.runtime.shutdown()
        runtime = Runtime(world.store.open(), conversation(), clock=world.clock, ids=world.ids)
        task = asyncio.ensure_future(runtime.run())
        await world.sleep(1)
        await world.client.start_orchestration("i", "talk")
        await world.client.enqueue_event("i", "words", "one")
        await world.until(runtime.leases)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert runtime.leases() == ()
        assert world.store.session_records()[0].worker_id is None

    world.run(scenario())


def test_a_task_that_fails_during_a_graceful_shutdown_ends_run_after_it(world: Any) -> None:
    """RT-21.6: `run` waits for the shutdown without asking again and again, and raises what broke."""
    resumed = 0

    async def counted(inner: Coroutine[Any, Any, None]) -> None:
        await _Resumptions(inner)

    class _Resumptions:
        def __init__(self, inner: Coroutine[Any, Any, None]) -> None:
            self._inner = inner

        def __await__(self) -> Generator[Any, Any, None]:
            nonlocal resumed
            while True:
                resumed += 1
                try:
                    waited = self._inner.send(None)
                except StopIteration:
                    return
                yield waited

    async def scenario() -> None:
        stop = asyncio.Event()
        provider = world.store.open()
        runtime = Runtime(provider, stubborn(world, stop, plain=True), clock=world.clock, ids=world.ids)
        running = asyncio.ensure_future(counted(runtime.run()))
        await world.client.start_orchestration("i", "work")
        await world.until(lambda: any(row.token for row in world.store.worker_rows()))

        async def broken(*arguments: Any, **named: Any) -> None:
            raise RuntimeError("the renewal broke")

        provider.renew_work_item_lock = broken
        shutdown = asyncio.ensure_future(runtime.shutdown(timedelta(seconds=60)))
        await world.sleep(40)
        assert not shutdown.done() and not running.done()
        stop.set()
        await shutdown
        with pytest.raises(RuntimeError, match="the renewal broke"):
            await running
        assert resumed < 10, f"run was resumed {resumed} times"

    world.run(scenario())


def test_owner_identities_are_fresh_and_shared_by_all_slots(world: Any) -> None:
    """SS-3.10, SS-3.11, RT-1.20."""

    async def scenario() -> None:
        hosts = [await world.start(conversation()) for _ in range(3)]
        assert len({host.runtime.owner_identity for host in hosts}) == 3
        named = await world.start(conversation(), worker_node_id="node")
        assert named.runtime.owner_identity == "node"

    world.run(scenario())


def test_a_turn_tells_what_it_started_from(world: Any) -> None:
    """INV-33: the open sessions at the start of each turn, and how it ended."""

    async def scenario() -> None:
        host = await world.start(conversation())
        await world.client.start_orchestration("i", "talk")
        await world.client.enqueue_event("i", "words", "one")
        await world.client.enqueue_event("i", "words", "bye")
        await world.client.wait_for_orchestration("i", MINUTE)
        turns = host.seen.of(TurnEnded)
        assert turns[0].open_sessions == ()
        assert all(len(turn.open_sessions) == 1 for turn in turns[1:])
        assert [turn.outcome for turn in turns][-1] == "Completed"

    world.run(scenario())


def test_leases_end_when_their_session_does(world: Any) -> None:
    """SS-18.7, INV-47, timeline W1: one failing renewal, then none."""

    async def scenario() -> None:
        host = await world.start(conversation())
        await world.client.start_orchestration("i", "talk")
        await world.client.enqueue_event("i", "words", "one")
        await world.client.enqueue_event("i", "words", "bye")
        await world.client.wait_for_orchestration("i", MINUTE)
        await world.sleep(200)
        assert len(host.probe.times("renew_session_lock")) == 1
        assert [event.cause for event in host.seen.of(LeaseEnded)] == ["lost"]
        assert len(host.seen.logged("session.renewal_failed")) == 1

    world.run(scenario())
