"""Programs that use libraries from PyPI as their readme does. Each answers the same under every tape.

A library is imported where it is used: one that is not installed is skipped, by name.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

TRIES: list[int] = []


async def counting(*, pause: float = 1) -> AsyncIterator[int]:
    for number in range(6):
        await asyncio.sleep(pause)
        yield number


def flaky(times: int) -> Any:
    """A coroutine function that fails so often before it answers."""
    left = [times]

    async def call(*arguments: Any) -> str:
        left[0] -= 1
        if left[0] >= 0:
            raise OSError(f"{left[0]} left")
        return "answered"

    return call


async def anyio_timeouts() -> Any:
    import anyio

    seen = []
    for third in range(1, 8):
        with anyio.move_on_after(0.01 / third) as scope:
            await anyio.sleep(60)
        seen.append(scope.cancelled_caught)
    try:
        with anyio.fail_after(0.3):
            await anyio.sleep(60)
    except TimeoutError:
        seen.append(True)
    return seen


async def anyio_groups_and_streams() -> Any:
    import anyio

    send, receive = anyio.create_memory_object_stream[int](2)
    seen: list[int] = []

    async def produces() -> None:
        async with send:
            for number in range(5):
                await send.send(number)

    async with anyio.create_task_group() as group:
        group.start_soon(produces)
        async with receive:
            async for number in receive:
                seen.append(number)
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.sleep, 60)
            await anyio.sleep(1)
            raise LookupError("body")
    except* LookupError as errors:
        seen.append(len(errors.exceptions))
    return seen


async def anyio_locks_and_shields() -> Any:
    import anyio

    lock, limiter, event, seen = anyio.Lock(), anyio.CapacityLimiter(1), anyio.Event(), list[str]()

    async def member(name: str) -> None:
        async with lock, limiter:
            await anyio.sleep(1)
            seen.append(name)
        event.set()

    async with anyio.create_task_group() as group:
        for name in "abc":
            group.start_soon(member, name)
        await event.wait()
    with anyio.CancelScope() as scope:
        try:
            scope.cancel()
            await anyio.sleep(1)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(1)
                seen.append("shielded")
    return sorted(seen), scope.cancelled_caught


async def tenacity_retries() -> Any:
    from tenacity import (
        AsyncRetrying,
        RetryError,
        retry,
        stop_after_attempt,
        stop_after_delay,
        wait_exponential,
    )

    call = retry(stop=stop_after_attempt(5), wait=wait_exponential(min=1, max=8))(flaky(3))
    seen = [await call()]
    try:
        async for attempt in AsyncRetrying(stop=stop_after_delay(10), wait=wait_exponential()):
            with attempt:
                raise OSError("always")
    except RetryError as error:
        seen.append(error.last_attempt.attempt_number)
    return seen


async def aiostream_operators() -> Any:
    from aiostream import pipe, stream

    squares = stream.iterate(counting()) | pipe.map(lambda number: number**2)
    seen = [await stream.list(squares | pipe.filter(lambda one: one % 2 == 0))]
    async with stream.chunks(stream.range(7), 3).stream() as chunks:
        seen.append([chunk async for chunk in chunks])
    zipped = stream.zip(counting(), stream.range(10, 20))
    seen.append(await stream.list(zipped | pipe.take(3)))
    return seen


async def async_timeout_scopes() -> Any:
    from async_timeout import timeout

    seen: list[Any] = []
    try:
        async with timeout(0.7) as scope:
            await asyncio.sleep(60)
    except TimeoutError:
        seen.append(scope.expired() if callable(scope.expired) else scope.expired)
    async with timeout(None):
        seen.append(await asyncio.sleep(1, "no limit"))
    return seen


async def asyncstdlib_iterators() -> Any:
    from asyncstdlib import accumulate, borrow, cached_property, enumerate, islice, list, lru_cache, zip

    calls = []

    @lru_cache(maxsize=2)
    async def square(number: int) -> int:
        calls.append(number)
        await asyncio.sleep(1)
        return number**2

    class Owner:
        @cached_property
        async def value(self) -> str:
            calls.append(-1)
            return "value"

    owner = Owner()
    squares = [await square(number) for number in (1, 2, 1, 3, 1)]
    pairs = await list(zip(enumerate(counting()), accumulate(counting())))
    async with borrow(counting()) if hasattr(borrow, "__aenter__") else _as_it_is(counting()) as some:
        first = await list(islice(some, 2))
    return squares, calls, pairs, first, await owner.value, await owner.value


class _as_it_is:
    def __init__(self, given: Any) -> None:
        self.given = given

    async def __aenter__(self) -> Any:
        return self.given

    async def __aexit__(self, *error: object) -> None:
        await self.given.aclose()


async def aiolimiter_lets_so_many_through() -> Any:
    from aiolimiter import AsyncLimiter

    loop, limiter = asyncio.get_running_loop(), AsyncLimiter(2, 10)
    start, seen = loop.time(), list[int]()
    for _ in range(5):
        async with limiter:
            seen.append(round(loop.time() - start))
    return seen


async def aiorwlock_readers_and_writers() -> Any:
    from aiorwlock import RWLock

    lock, seen = RWLock(), list[str]()

    async def reads(name: str) -> None:
        async with lock.reader_lock:
            seen.append(f"{name} in")
            await asyncio.sleep(1)

    async def writes() -> None:
        async with lock.writer_lock:
            seen.append("writes")
            await asyncio.sleep(1)

    readers = [asyncio.create_task(reads(name)) for name in "ab"]
    await asyncio.sleep(0.1)
    await asyncio.gather(writes(), *readers)
    return seen, lock.reader_lock.locked, lock.writer_lock.locked


async def async_lru_caches_answers() -> Any:
    from async_lru import alru_cache

    calls = []

    @alru_cache(maxsize=2, ttl=5)
    async def square(number: int) -> int:
        calls.append(number)
        await asyncio.sleep(1)
        return number**2

    together = await asyncio.gather(*(square(3) for _ in range(4)))
    await asyncio.sleep(10)
    again = await square(3)
    info = square.cache_info()
    await square.cache_close()
    return together, again, calls, info.misses


async def backoff_tries_again() -> Any:
    import backoff

    call = backoff.on_exception(backoff.expo, OSError, max_tries=5, jitter=None)(flaky(3))
    given_up = backoff.on_exception(backoff.constant, OSError, max_tries=2, jitter=None, interval=1)(flaky(9))
    try:
        await given_up()
    except OSError as error:
        return await call(), str(error)


async def aioitertools_chains() -> Any:
    from aioitertools import asyncio as together
    from aioitertools import builtins, itertools

    chained = await builtins.list(itertools.chain(counting(), [10, 11]))
    grouped = [(key, group) async for key, group in itertools.groupby([1, 1, 2])]
    gathered = await together.gather(*(asyncio.sleep(number, number) for number in range(5)), limit=2)
    return chained, grouped, gathered, await builtins.sum(counting())


async def aiotools_timers_and_groups() -> Any:
    import aiotools

    ticks: list[float] = []

    async def tick(interval: float) -> None:
        ticks.append(interval)

    timer = aiotools.create_timer(tick, 1.0)
    await asyncio.sleep(3.5)
    timer.cancel()
    await asyncio.gather(timer, return_exceptions=True)

    @aiotools.actxmgr
    async def opened() -> AsyncIterator[str]:
        yield "open"

    async with opened() as state:
        return ticks, state


async def pyee_events() -> Any:
    from pyee.asyncio import AsyncIOEventEmitter

    emitter, seen = AsyncIOEventEmitter(), list[str]()

    @emitter.on("data")
    async def hears(data: str) -> None:
        await asyncio.sleep(1)
        seen.append(data)

    @emitter.on("error")
    def fails(error: Exception) -> None:
        seen.append(repr(error))

    @emitter.on("bad")
    async def raises() -> None:
        raise ValueError("in a handler")

    emitter.emit("data", "x")
    emitter.emit("bad")
    await emitter.wait_for_complete()
    return sorted(seen)


async def asyncer_groups() -> Any:
    from asyncer import create_task_group

    async def greets(name: str) -> str:
        await asyncio.sleep(1)
        return f"hello {name}"

    async with create_task_group() as group:
        soon = [group.soonify(greets)(name=name) for name in "ab"]
    return [one.value for one in soon]


async def transitions_of_a_machine() -> Any:
    from transitions.extensions.asyncio import AsyncMachine

    class Door:
        seen: list[str] = []  # noqa: RUF012

        async def on_enter_open(self) -> None:
            await asyncio.sleep(1)
            self.seen.append("opened")

    door: Any = Door()
    AsyncMachine(door, states=["shut", "open"], initial="shut", transitions=[["pull", "shut", "open"]])
    await door.pull()
    return door.state, door.seen


async def stamina_retries() -> Any:
    import stamina

    call = stamina.retry(on=OSError, attempts=5, timeout=60, wait_initial=1, wait_jitter=0)(flaky(2))
    return await call()


async def aiojobs_run_in_the_background() -> Any:
    from aiojobs import Scheduler

    seen: list[int] = []

    async def job(number: int) -> int:
        await asyncio.sleep(number)
        seen.append(number)
        return number

    async with Scheduler(limit=2) as scheduler:
        jobs = [await scheduler.spawn(job(number)) for number in range(1, 5)]
        first = await jobs[0].wait()
        await asyncio.sleep(20)
    return first, seen, scheduler.closed


async def quattro_scopes_and_groups() -> Any:
    import quattro

    seen: list[Any] = []
    with quattro.move_on_after(0.5) as scope:
        await asyncio.sleep(60)
    seen.append(scope.cancelled_caught)
    try:
        with quattro.fail_after(0.25):
            await asyncio.sleep(60)
    except TimeoutError:
        seen.append("timeout")
    seen.append(await quattro.gather(asyncio.sleep(1, 1), asyncio.sleep(2, 2)))
    return seen


async def asyncache_keeps_answers() -> Any:
    from asyncache import cached
    from cachetools import LRUCache, TTLCache

    calls: list[int] = []

    async def square(number: int) -> int:
        calls.append(number)
        await asyncio.sleep(1)
        return number**2

    recent, timed = cached(LRUCache(2))(square), cached(TTLCache(9, ttl=5))(square)
    answers = [await recent(number) for number in (1, 1, 2, 3, 1)]
    answers += [await timed(4), await timed(4)]
    await asyncio.sleep(10)
    return answers, await timed(4), calls


async def cachetools_async_keeps_answers() -> Any:
    import cachetools
    from cachetools_async import cached

    calls: list[int] = []

    @cached(cachetools.LRUCache(4))
    async def square(number: int) -> int:
        calls.append(number)
        await asyncio.sleep(1)
        return number**2

    return await asyncio.gather(square(2), square(2), square(3)), calls


async def throttling() -> Any:
    from asyncio_throttle import Throttler

    throttler, seen = Throttler(rate_limit=2, period=5), 0
    for _ in range(5):
        async with throttler:
            seen += 1
    return seen


async def aiocache_in_memory() -> Any:
    from aiocache import Cache, cached

    calls: list[int] = []

    @cached(ttl=5)
    async def square(number: int) -> int:
        calls.append(number)
        return number**2

    cache = Cache(Cache.MEMORY)
    await cache.set("key", "value", ttl=5)
    before = await cache.get("key"), await square(2), await square(2)
    await asyncio.sleep(10)
    return before, await cache.get("key"), await square(2), calls


async def aiodataloader_batches() -> Any:
    from aiodataloader import DataLoader

    batches: list[list[int]] = []

    class Squares(DataLoader[int, int]):
        async def batch_load_fn(self, keys: list[int]) -> list[int]:
            batches.append(list(keys))
            await asyncio.sleep(1)
            return [key**2 for key in keys]

    loader = Squares()
    return await asyncio.gather(*(loader.load(key) for key in (1, 2, 1, 3))), await loader.load(2), batches


async def reactivex_on_the_loop() -> Any:
    import reactivex
    from reactivex import operators
    from reactivex.scheduler.eventloop import AsyncIOScheduler

    scheduler = AsyncIOScheduler(asyncio.get_running_loop())
    numbers = reactivex.interval(1.0).pipe(operators.take(3), operators.to_list())
    over = asyncio.get_running_loop().create_future()
    numbers.subscribe(over.set_result, over.set_exception, scheduler=scheduler)
    return await over


async def blinker_signals() -> Any:
    import blinker

    signal = blinker.Signal()

    async def hears(sender: str, **more: Any) -> str:
        await asyncio.sleep(1)
        return f"{sender} {sorted(more)}"

    signal.connect(hears)
    return [answer for _, answer in await signal.send_async("me", number=3)]


async def aiobreaker_opens_and_closes() -> Any:
    from aiobreaker import CircuitBreaker, CircuitBreakerError

    breaker, seen = CircuitBreaker(fail_max=2), list[str]()
    call = flaky(9)
    for _ in range(4):
        try:
            await breaker.call_async(call)
        except CircuitBreakerError:
            seen.append("open")
        except OSError as error:
            seen.append(str(error))
    return seen
