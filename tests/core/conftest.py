"""A small world of virtual time for the runtime's shells, on asyncio's own loop and the memory provider.

Nothing sleeps: time stands still until a test lets it pass, and then goes from one due sleeper to the next.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from datetime import timedelta
from typing import Any, TypeVar

import pytest

from holdfast.core.client import Client
from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import LockToken, Micros, Millis
from holdfast.core.contract.observe import LocalEvent, Logged
from holdfast.core.contract.provider import DEFAULT_ONLY, FetchedWork, Provider, TagFilter
from holdfast.core.contract.store import SessionRecord
from holdfast.core.hosting.forwarding import ForwardingProvider
from holdfast.core.hosting.options import RuntimeOptions
from holdfast.core.program.registry import Registry
from holdfast.core.runtime import Runtime

T = TypeVar("T")
PASSES = 40
"""Loop passes after which everything that can run without time passing has run."""


class VirtualClock:
    """Monotonic and wall clock in one, moved by hand."""

    def __init__(self) -> None:
        self.now = Micros(0)
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def now_ms(self) -> Millis:
        return Millis(self.now // 1000)

    def monotonic_us(self) -> Micros:
        return self.now

    async def sleep_until(self, due: Micros) -> None:
        if due > self.now:
            future = asyncio.get_running_loop().create_future()
            heapq.heappush(self._sleepers, (due, next(self._order), future))
            await future

    def next_due(self) -> int | None:
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else None

    def move_to(self, now: int) -> None:
        self.now = Micros(max(self.now, now))
        while (due := self.next_due()) is not None and due <= self.now:
            heapq.heappop(self._sleepers)[2].set_result(None)


class CountingIds:
    """Ids in order of asking."""

    def __init__(self) -> None:
        self._count = itertools.count(1)

    def token(self) -> LockToken:
        return LockToken(f"token-{next(self._count)}")

    def guid(self) -> str:
        return f"00000000-0000-4000-8000-{next(self._count):012x}"

    def bits(self, count: int) -> int:
        return next(self._count)


class Probe(ForwardingProvider):
    """Writes down every call, and fails or holds back those it is told to."""

    def __init__(self, inner: Provider, clock: VirtualClock) -> None:
        super().__init__(inner)
        self.calls: list[tuple[int, str]] = []
        self.claims: list[bool] = []
        self.failures: dict[str, list[ProviderError]] = {}
        self.broken: dict[str, ProviderError] = {}
        self.held: dict[str, asyncio.Event] = {}
        self._clock = clock

    def times(self, operation: str) -> list[float]:
        return [at / 1_000_000 for at, name in self.calls if name == operation]

    async def _call(self, operation: str, begin: Callable[[], Awaitable[T]]) -> T:
        self.calls.append((self._clock.now, operation))
        if self.failures.get(operation):
            raise self.failures[operation].pop(0)
        if operation in self.broken:
            raise self.broken[operation]
        answer = await begin()
        if operation in self.held and answer is not None:
            await self.held[operation].wait()
        return answer

    async def fetch_session_work_item(
        self,
        lock_timeout: Millis,
        poll_timeout: Millis,
        *,
        worker_id: str,
        session_lock_duration: Millis,
        tag_filter: TagFilter = DEFAULT_ONLY,
        claim_new: bool = True,
    ) -> FetchedWork | None:
        self.claims.append(claim_new)
        for wait in (poll_timeout, 0):  # waits in virtual time, and looks only before and after
            found = await super().fetch_session_work_item(
                lock_timeout,
                Millis(0),
                worker_id=worker_id,
                session_lock_duration=session_lock_duration,
                tag_filter=tag_filter,
                claim_new=claim_new,
            )
            if found is not None or wait == 0:
                return found
            await self._clock.sleep_until(Micros(self._clock.now + wait * 1000))
        return None


async def first_of(*waits: Coroutine[Any, Any, Any]) -> None:
    """Wait for one of several; the others are not left behind."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


class Recorder:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[LocalEvent] = []

    def notify(self, event: LocalEvent) -> None:
        self.events.append(event)

    def of(self, kind: type[T]) -> list[T]:
        return [event for event in self.events if isinstance(event, kind)]

    def logged(self, name: str) -> list[dict[str, object]]:
        return [event.fields for event in self.of(Logged) if event.event == name]


class Host:
    """A runtime with its probe and its recorder."""

    def __init__(self, runtime: Runtime, probe: Probe, recorder: Recorder) -> None:
        self.runtime = runtime
        self.probe = probe
        self.seen = recorder


class World:
    """One memory store, one clock, any number of runtimes."""

    def __init__(self) -> None:
        from holdfast.providers.memory import memory_store  # only tests that run a runtime need a provider

        self.clock = VirtualClock()
        self.ids = CountingIds()
        self.jump_ms = 0
        self.store = memory_store(lambda: Millis(self.clock.now_ms() + self.jump_ms), self.ids)
        self.provider: Provider = self.store.open()
        self.client = Client(self.provider, clock=self.clock)
        self.hosts: list[Host] = []

    def run(self, scenario: Coroutine[Any, Any, T]) -> T:
        async def body() -> T:
            task = asyncio.get_running_loop().create_task(scenario)
            await self.settle()
            idle = 0
            while not task.done():
                if (due := self.clock.next_due()) is not None:
                    self.clock.move_to(due)
                await self.settle()
                idle = 0 if due is not None else idle + 1
                assert idle < 5, "the test waits for something that no time can bring"
            result = await task
            for host in self.hosts:
                await host.runtime.shutdown(timedelta(0))
            await self.settle()
            left = asyncio.all_tasks() - {asyncio.current_task()}
            assert not left, f"tasks outlive their runtime: {left}"
            return result

        return asyncio.run(body())

    async def settle(self) -> None:
        for _ in range(PASSES):
            await asyncio.sleep(0)

    async def start(self, registry: Registry, **options: Any) -> Host:
        recorder = Recorder()
        probe = Probe(self.store.open(recorder), self.clock)
        defaults: dict[str, Any] = {
            "dispatcher_long_poll_timeout": timedelta(0),
            "session_lock_duration": timedelta(seconds=60),
        }
        runtime = Runtime(
            probe,
            registry,
            RuntimeOptions(**(defaults | options)),
            clock=self.clock,
            ids=self.ids,
            observer=recorder,
        )
        host = Host(runtime, probe, recorder)
        self.hosts.append(host)
        await runtime.start()
        return host

    async def sleep(self, seconds: float) -> None:
        await self.clock.sleep_until(Micros(self.clock.now + round(seconds * 1_000_000)))

    async def until(self, reached: Callable[[], bool], *, limit: float = 3600) -> None:
        deadline = self.clock.now + limit * 1_000_000
        while not reached():
            assert self.clock.now < deadline, "what was waited for did not come"
            await self.sleep(0.05)

    def row(self, instance: str, session_id: str) -> SessionRecord | None:
        for record in self.store.session_records():
            if (record.instance_id, record.session_id) == (instance, session_id):
                return record
        return None

    first_of = staticmethod(first_of)

    @property
    def now(self) -> float:
        return self.clock.now / 1_000_000


@pytest.fixture
def world() -> Iterator[World]:
    """A fresh world for each test."""
    world = World()
    yield world
    world.store.close()
