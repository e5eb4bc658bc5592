"""The hook that lets a call fail in its middle: where, how often, with which class of error."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.work_items import ActivityExecute
from holdfast.providers.memory import memory_store
from holdfast.providers.sqlite import sqlite_store
from holdfast.sim.exploring.checks import run_alone
from holdfast.sim.toolkit.bench import Bench, StoreFactory


def item(id: int) -> ActivityExecute:
    return ActivityExecute(instance="i", execution_id=1, id=id, name="x", input="", session_id=None)


@pytest.fixture(params=[memory_store, sqlite_store])
def bench(request: pytest.FixtureRequest) -> Any:
    factory: StoreFactory = request.param
    made = Bench(factory)
    yield made
    made.close()


def put(bench: Bench, id: int, *, by: Any = None) -> bool | None:
    """Whether an item is put in; None for an error that may pass, False for one that will not."""

    async def call() -> bool | None:
        try:
            await (by or bench.provider).enqueue_for_worker(item(id))
        except ProviderError as error:
            return None if error.retryable else False
        return True

    return run_alone(call)  # type: ignore[return-value]


def test_the_next_calls_fail_and_change_nothing(bench: Bench) -> None:
    store: Any = bench.store
    store.break_calls("enqueue_for_worker", times=2)
    assert [put(bench, 1), put(bench, 2, by=bench.open()), put(bench, 3)] == [None, None, True]
    assert [row.item.id for row in store.worker_rows()] == [3]


def test_the_error_is_of_the_class_that_was_asked_for(bench: Bench) -> None:
    store: Any = bench.store
    store.break_calls("enqueue_for_worker", retryable=False)
    assert put(bench, 1) is False


def test_a_call_with_fewer_changes_succeeds_and_leaves_the_next_one_alone(bench: Bench) -> None:
    store: Any = bench.store
    store.break_calls("enqueue_for_worker", change=50)
    assert [put(bench, 1), put(bench, 2)] == [True, True]


def test_other_operations_are_left_alone_and_nothing_is_struck_after_disarming(bench: Bench) -> None:
    store: Any = bench.store
    store.break_calls("ack_work_item")
    assert put(bench, 1) is True
    store.break_calls("enqueue_for_worker")
    store.break_calls("enqueue_for_worker", times=0)
    assert put(bench, 2) is True
