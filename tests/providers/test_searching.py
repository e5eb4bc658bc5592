"""What spares a fetch its search changes nothing about what it finds."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import Millis
from holdfast.core.contract.provider import ExecutionMetadata, TagFilter
from holdfast.properties.defects.defect import _without_shortcuts, replaced
from holdfast.providers.conformance.harness import CountingIds, SteppedClock
from holdfast.providers.conformance.messages import activity, external, named, session, start, timer
from holdfast.providers.memory import MemoryStore, memory_store
from holdfast.providers.sqlite import sqlite_store

INSTANCES = ["i", "i", "j"]
SESSIONS = [None, "s", "s", "t"]
TAGS = [None, None, None, "red", "blue"]
WORKERS = ["A", "A", "B"]
FILTERS = [
    TagFilter.default_only(),
    TagFilter.any(),
    TagFilter.only("red"),
    TagFilter.default_and("blue", "red"),
    TagFilter.any(),
]
TIMES = [0, 5, 10, 30]

number = st.integers(0, 7)
STEP = st.one_of(
    st.tuples(st.just("put"), st.sampled_from(INSTANCES), st.sampled_from(SESSIONS), st.sampled_from(TAGS)),
    st.tuples(
        st.just("claim"),
        st.sampled_from(WORKERS),
        st.sampled_from(FILTERS),
        st.booleans(),
        st.sampled_from(TIMES[1:]),
    ),
    st.tuples(st.just("claim"), st.sampled_from(WORKERS), st.just(FILTERS[0]), st.booleans(), st.just(10)),
    st.tuples(st.just("work"), st.sampled_from(FILTERS), st.sampled_from(TIMES[1:])),
    st.tuples(st.just("finish"), number),
    st.tuples(st.just("give back"), number, st.sampled_from(TIMES)),
    st.tuples(st.just("renew"), number, st.sampled_from(TIMES[1:])),
    st.tuples(
        st.just("renew session"),
        st.sampled_from(INSTANCES),
        st.sampled_from(SESSIONS[1:]),
        st.sampled_from(WORKERS),
        st.sampled_from(TIMES[1:]),
    ),
    st.tuples(
        st.just("release"),
        st.sampled_from(INSTANCES),
        st.sampled_from(SESSIONS[1:]),
        st.sampled_from(WORKERS),
    ),
    st.tuples(st.just("send"), st.sampled_from(INSTANCES), st.sampled_from(TIMES)),
    st.tuples(st.just("turn"), st.sampled_from(TIMES[1:])),
    st.tuples(
        st.just("conclude"),
        number,
        st.sampled_from(SESSIONS),
        st.sampled_from(["nothing", "open", "close", "end"]),
    ),
    st.tuples(st.just("give turn back"), number, st.sampled_from(TIMES)),
    st.tuples(st.just("renew turn"), number, st.sampled_from(TIMES[1:])),
    st.tuples(st.just("delete"), st.sampled_from(INSTANCES)),
    st.tuples(st.just("time"), st.sampled_from([-25, -5, 1, 5, 20])),
    st.tuples(
        st.just("break"),
        st.sampled_from(["fetch_session_work_item", "abandon_work_item", "ack_orchestration_item"]),
        st.integers(1, 4),
    ),
)


class Life:
    """One store under a list of steps; each answers with what can be seen of it."""

    def __init__(self, create: Any) -> None:
        self.clock = SteppedClock()
        self.store = create(self.clock, CountingIds())
        self.provider = self.store.open()
        self.items: list[Any] = []
        self.turns: list[Any] = []
        self.count = 0

    async def answer(self, step: tuple[Any, ...]) -> object:
        try:
            return await self.take(*step)
        except ProviderError as error:
            return error.operation, error.retryable

    async def take(self, kind: str, *a: Any) -> object:
        p, lock = self.provider, Millis(a[-1]) if a and isinstance(a[-1], int) else Millis(0)
        self.count += 1
        match kind:
            case "put":
                item = activity(self.count, instance=a[0], session=a[1], tag=a[2])
                return await p.enqueue_for_worker(item)
            case "claim":
                found = await p.fetch_session_work_item(
                    Millis(10),
                    Millis(0),
                    worker_id=a[0],
                    session_lock_duration=lock,
                    tag_filter=a[1],
                    claim_new=a[2],
                )
                self.items += [found] if found else []
                return found
            case "work":
                found = await p.fetch_work_item(lock, Millis(0), a[0])
                self.items += [found] if found else []
                return found
            case "finish" | "give back" | "renew" if self.items:
                token = self.items[a[0] % len(self.items)].token
                if kind == "finish":
                    return await p.ack_work_item(token)
                if kind == "renew":
                    return await p.renew_work_item_lock(token, extend_for=lock)
                return await p.abandon_work_item(token, delay=lock)
            case "renew session":
                return await p.renew_session_lock(a[0], a[1], a[2], extend_for=lock)
            case "release":
                return await p.release_session_lock(a[0], a[1], a[2])
            case "send":
                message = start(a[0]) if self.count % 2 else external(a[0])
                return await p.enqueue_for_orchestrator(message, delay=lock)
            case "turn":
                found = await p.fetch_orchestration_item(lock, Millis(0))
                self.turns += [found] if found else []
                return found
            case "conclude" | "give turn back" | "renew turn" if self.turns:
                return await self.with_turn(kind, self.turns[a[0] % len(self.turns)], a, lock)
            case "delete":
                return await p.as_management().delete_instance(a[0], force=True)
            case "time":
                self.clock.advance(a[0])
            case "break" if a[0][:5] != "fetch" or isinstance(self.store, MemoryStore):
                # In SQLite the search itself is made of statements, so that another one would be struck.
                self.store.break_calls(a[0], change=a[1])
        return None

    async def with_turn(self, kind: str, turn: Any, a: tuple[Any, ...], lock: Millis) -> object:
        p, instance = self.provider, turn.item.instance
        if kind == "give turn back":
            return await p.abandon_orchestration_item(turn.token, delay=lock)
        if kind == "renew turn":
            return await p.renew_orchestration_item_lock(turn.token, extend_for=lock)
        names = [session(a[1], instance=instance)] if a[1] else []
        metadata = ExecutionMetadata(
            orchestration_name="Flow",
            orchestration_version="1",
            status="Completed" if a[2] == "end" else None,
            output="" if a[2] == "end" else None,
            opened_sessions=names if a[2] == "open" else [],
            cancelled_sessions=names if a[2] == "close" else [],
        )
        return await p.ack_orchestration_item(
            turn.token,
            execution_id=1,
            history_delta=[],
            worker_items=[activity(self.count, instance=instance, session=a[1])],
            orchestrator_items=[timer(instance=instance, fire_at_ms=self.clock() + 7)],
            metadata=metadata,
            cancelled_activities=[named(self.count - 3, instance=instance)],
        )


async def told(create: Any, steps: list[tuple[Any, ...]]) -> list[object]:
    life = Life(create)
    answers = [await life.answer(step) for step in steps]
    answers.append(life.store.worker_rows())
    life.store.close()
    return answers


@contextmanager
def looking_at_every_row() -> Iterator[None]:
    with replaced(*_without_shortcuts()):
        yield


@pytest.mark.parametrize("create", [memory_store, sqlite_store])
@settings(max_examples=150, deadline=None)
@given(steps=st.lists(STEP, min_size=15, max_size=60))
def test_pv_7_and_24_a_search_finds_what_looking_at_every_row_finds(
    create: Any, steps: list[tuple[Any, ...]]
) -> None:
    """PV-7.3, PV-10.2, PV-24.9: whatever was done before, with the clock jumping and calls broken off."""
    found = asyncio.run(told(create, steps))
    with looking_at_every_row():
        assert asyncio.run(told(create, steps)) == found
