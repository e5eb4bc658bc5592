"""The orchestration dispatcher: renewal, acknowledgement and its failures (RT-5)."""

from __future__ import annotations

import asyncio
import itertools
from datetime import timedelta
from typing import Any

import pytest

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.events import OrchestrationFailed
from holdfast.core.contract.observe import TurnEnded
from holdfast.core.dispatching import dispatcher
from holdfast.core.hosting.log import FAILED_ASSERTION
from holdfast.core.program.registry import Registry

MINUTE = timedelta(minutes=1)


def registry() -> Registry:
    registry = Registry()

    @registry.orchestration()
    async def echo(ctx: Any, input: str) -> str:
        return input

    @registry.orchestration()
    async def pinned(ctx: Any, input: str) -> str:
        session = ctx.open_session()
        await ctx.schedule_activity_on_session("nothing", "", session)
        return session

    @registry.activity()
    async def nothing(ctx: Any, input: str) -> str:
        return ""

    return registry


def test_rt_5_33_a_busy_store_is_asked_again(world: Any) -> None:
    """RT-5.33: up to five retries after 10, 20, 40, 80, 160 ms; the turn is computed once."""

    async def scenario() -> None:
        host = await world.start(registry())
        host.probe.failures["ack_orchestration_item"] = [ProviderError.transient("ack", "busy")] * 5
        await world.client.start_orchestration("i", "echo", "x")
        assert (await world.client.wait_for_orchestration("i", MINUTE)).output == "x"
        assert len(host.seen.of(TurnEnded)) == 1
        times = host.probe.times("ack_orchestration_item")
        pauses = [round(b - a, 3) for a, b in itertools.pairwise(times)]
        assert pauses == [0.01, 0.02, 0.04, 0.08, 0.16]

    world.run(scenario())


def test_rt_5_33_when_retries_are_exhausted_the_batch_comes_back(world: Any) -> None:
    """RT-5.33: abandoned with 50 ms, attempt kept, computed again."""

    async def scenario() -> None:
        host = await world.start(registry())
        host.probe.failures["ack_orchestration_item"] = [ProviderError.transient("ack", "busy")] * 6
        await world.client.start_orchestration("i", "echo", "x")
        assert (await world.client.wait_for_orchestration("i", MINUTE)).output == "x"
        assert len(host.seen.of(TurnEnded)) == 2
        assert len(host.probe.times("abandon_orchestration_item")) == 1

    world.run(scenario())


def test_rt_5_35_a_refused_acknowledgement_is_recorded_as_the_instances_failure(world: Any) -> None:
    """RT-5.34, RT-5.35, RT-5.37."""

    async def scenario() -> None:
        host = await world.start(registry())
        host.probe.failures["ack_orchestration_item"] = [ProviderError.permanent("ack", "too big")] * 2
        await world.client.start_orchestration("i", "echo", "x")
        status = await world.client.wait_for_orchestration("i", MINUTE)
        assert status.message == "infrastructure:ack: too big"
        history = await world.client.read_history("i")
        assert [isinstance(event, OrchestrationFailed) for event in history] == [False, True]

    world.run(scenario())


def test_rt_5_36_a_lost_lease_fails_nobody(world: Any) -> None:
    """RT-5.36, SS-15.5: the turn runs again elsewhere with the same outcome."""

    async def scenario() -> None:
        slow = await world.start(registry(), worker_concurrency=0)
        slow.probe.broken["renew_orchestration_item_lock"] = ProviderError.transient("renew", "busy")
        forwarded = slow.probe.ack_orchestration_item

        async def late(*arguments: Any, **named: Any) -> None:
            slow.probe.ack_orchestration_item = forwarded
            await world.sleep(6)
            await forwarded(*arguments, **named)

        slow.probe.ack_orchestration_item = late
        await world.client.start_orchestration("i", "pinned")
        await world.until(lambda: slow.seen.of(TurnEnded))
        await world.start(registry())
        status = await world.client.wait_for_orchestration("i", MINUTE)
        assert status.output.startswith("session-")

    world.run(scenario())


def test_rt_5_5_the_instance_lock_is_renewed_while_a_turn_is_acknowledged(world: Any) -> None:
    """RT-5.5: every 2.5 s with the defaults."""

    async def scenario() -> None:
        host = await world.start(registry())
        forwarded = host.probe.ack_orchestration_item

        async def late(*arguments: Any, **named: Any) -> None:
            await world.sleep(9)
            await forwarded(*arguments, **named)

        host.probe.ack_orchestration_item = late
        await world.client.start_orchestration("i", "echo", "x")
        await world.until(lambda: host.seen.of(TurnEnded))
        began = world.now
        assert (await world.client.wait_for_orchestration("i", MINUTE)).output == "x"
        times = [at - began for at in host.probe.times("renew_orchestration_item_lock")]
        assert times == pytest.approx([2.5, 5.0, 7.5], abs=0.11)

    world.run(scenario())


def test_rt_13_14_an_unregistered_orchestration_waits_and_becomes_poison(world: Any) -> None:
    """RT-13.14, RT-13.15, RT-5.7, RT-13.17."""

    async def scenario() -> None:
        host = await world.start(registry(), max_attempts=3)
        await world.client.start_orchestration("i", "unknown")
        status = await world.client.wait_for_orchestration("i", MINUTE)
        assert status.message == "poison: orchestration i exceeded 4 attempts (max 3)"
        assert 7 <= world.now <= 8
        assert len(host.probe.times("abandon_orchestration_item")) == 3

    world.run(scenario())


def test_rt_13_9_an_unreadable_history_gets_its_chances_and_then_fails(world: Any) -> None:
    """RT-13.9 to RT-13.13: a second apart; the status is known although the history is not."""

    async def scenario() -> None:
        host = await world.start(registry(), max_attempts=2, worker_concurrency=0)
        await world.client.start_orchestration("i", "pinned")
        await world.until(lambda: host.seen.of(TurnEnded))
        await world.sleep(1)
        world.store.corrupt_instance_history("i")
        await world.client.raise_event("i", "wake", "")
        status = await world.client.wait_for_orchestration("i", MINUTE)
        assert status.message.startswith("poison: orchestration i history deserialization failed after 3")
        assert world.row("i", "session-1") is None and world.store.session_records() == []

    world.run(scenario())


@pytest.mark.parametrize("where", ["begin_execution", "run_turn", "settle"])
def test_a_failed_assertion_is_told_and_costs_one_batch_its_attempts(
    world: Any, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """RT-13.5: the batch is given back each time and ends as poison; other instances have their turns."""
    right = getattr(dispatcher, where)

    def wrong(subject: Any, *rest: Any, **named: Any) -> Any:
        attempt_count = rest[0] if where == "begin_execution" else 1
        if subject.instance == "i" and attempt_count <= 3:
            raise AssertionError("two is three")
        return right(subject, *rest, **named)

    monkeypatch.setattr(dispatcher, where, wrong)

    async def scenario() -> None:
        heard: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.append(context))
        host = await world.start(registry(), max_attempts=3)
        await world.client.start_orchestration("i", "echo", "x")
        await world.client.start_orchestration("j", "echo", "y")
        assert (await world.client.wait_for_orchestration("j", MINUTE)).output == "y"
        status = await world.client.wait_for_orchestration("i", MINUTE)
        assert status.message == "poison: orchestration i exceeded 4 attempts (max 3)"
        records = host.seen.logged(FAILED_ASSERTION)
        assert [(record["instance_id"], record["attempt_count"]) for record in records] == [
            ("i", attempt) for attempt in (1, 2, 3)
        ]
        assert {record["error"] for record in records} == {"two is three"}
        assert [context["message"] for context in heard] == [FAILED_ASSERTION] * 3
        assert 3 <= world.now < 4, "a second's pause each time"

    world.run(scenario())


def test_no_orchestration_slot_means_no_turn(world: Any) -> None:
    """RT-21.3."""

    async def scenario() -> None:
        host = await world.start(registry(), orchestration_concurrency=0)
        await world.client.start_orchestration("i", "echo")
        await world.sleep(10)
        assert not host.probe.times("fetch_orchestration_item")

    world.run(scenario())
