"""The fault wrappers do what they say and nothing else (PV-33.6)."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.provider import Version
from holdfast.providers.conformance import Factory
from holdfast.providers.conformance.faults import (
    MethodFault,
    faulty,
    with_inflated_attempts,
    without_capability_filter,
)
from holdfast.providers.conformance.fixture import Fixture, versions
from holdfast.providers.conformance.messages import activity, external, start
from holdfast.providers.sqlite import sqlite_store


def on_sqlite(body: Callable[[Fixture], Awaitable[None]]) -> None:
    async def run() -> None:
        fx = Fixture(Factory(create=sqlite_store))
        await body(fx)
        await fx.close()

    asyncio.run(run())


def test_pv_33_6_the_next_call_fails_without_effect() -> None:
    """PV-33.6: failing the next acknowledgement with a chosen class."""

    async def body(fx: Fixture) -> None:
        await fx.put(activity())
        work = await fx.work()
        bad = faulty(fx.provider, MethodFault("ack_work_item", retryable=False, skip=0))
        with pytest.raises(ProviderError) as caught:
            await bad.ack_work_item(work.token)
        assert (caught.value.operation, caught.value.retryable) == ("ack_work_item", False)
        await bad.ack_work_item(work.token)

    on_sqlite(body)


def test_pv_33_6_applied_and_then_reported_as_failed() -> None:
    """PV-33.6: "apply, then report failure"."""

    async def body(fx: Fixture) -> None:
        bad = faulty(fx.provider, MethodFault("enqueue_for_worker", applied=True, skip=1))
        await bad.enqueue_for_worker(activity(2))
        with pytest.raises(ProviderError, match="injected"):
            await bad.enqueue_for_worker(activity(3))
        await bad.enqueue_for_worker(activity(4))
        assert await fx.all_work() == [2, 3, 4]

    on_sqlite(body)


@pytest.mark.parametrize(
    ("skip", "times", "reported"), [(0, 1, [11, 2, 3]), (0, None, [11, 12, 13]), (1, 1, [1, 12, 3])]
)
def test_pv_33_6_inflated_attempts(skip: int, times: int | None, reported: list[int]) -> None:
    """PV-33.6: inflating attempt counts once, always, after skipping n."""

    async def body(fx: Fixture) -> None:
        await fx.put(activity())
        tried = with_inflated_attempts(fx.provider, by=10, skip=skip, times=times)
        counts = []
        for _ in reported:
            work = await fx.work(by=tried)
            counts.append(work.attempt_count)
            await tried.abandon_work_item(work.token)
        assert counts == reported
        assert await fx.try_turn(by=tried) is None

    on_sqlite(body)


def test_pv_33_6_the_capability_filter_is_bypassed() -> None:
    """PV-33.6: bypassing the capability filter."""

    async def body(fx: Fixture) -> None:
        await fx.send(start())
        turn = await fx.turn()
        await fx.ack(turn, name="Flow", version="1", pin=Version(1, 0, 0))
        await fx.send(external())
        newer = versions((2, 0, 0), (3, 0, 0))
        assert await fx.try_turn(filter=newer) is None
        assert await fx.try_turn(by=without_capability_filter(fx.provider), filter=newer) is not None

    on_sqlite(body)
