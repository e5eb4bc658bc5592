"""Programs about locks, events, conditions, semaphores, barriers and queues."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any


async def a_lock_is_fair() -> Any:
    lock, seen = asyncio.Lock(), list[int]()

    async def member(number: int) -> None:
        async with lock:
            seen.append(number)
            await asyncio.sleep(1)

    await asyncio.gather(*(member(number) for number in range(5)))
    return seen, lock.locked()


async def a_lock_whose_next_owner_is_cancelled() -> Any:
    lock, seen = asyncio.Lock(), list[str]()
    await lock.acquire()

    async def member(name: str) -> None:
        async with lock:
            seen.append(name)

    first, second = asyncio.create_task(member("first")), asyncio.create_task(member("second"))
    await asyncio.sleep(1)
    lock.release()
    first.cancel()
    await asyncio.wait([first, second])
    return seen, lock.locked()


async def a_lock_released_twice() -> Any:
    lock = asyncio.Lock()
    async with lock:
        pass
    lock.release()


async def an_event_wakes_all() -> Any:
    event = asyncio.Event()
    waiting = [asyncio.create_task(event.wait()) for _ in range(3)]
    await asyncio.sleep(1)
    event.set()
    event.clear()
    return await asyncio.gather(*waiting), event.is_set()


async def an_event_that_is_set_already() -> Any:
    event = asyncio.Event()
    event.set()
    return await event.wait(), repr(event).split(" object")[-1]


async def a_condition_notifies_some() -> Any:
    condition, seen = asyncio.Condition(), list[int]()

    async def member(number: int) -> None:
        async with condition:
            await condition.wait()
            seen.append(number)

    tasks = [asyncio.create_task(member(number)) for number in range(4)]
    await asyncio.sleep(1)
    async with condition:
        condition.notify(2)
    await asyncio.sleep(1)
    before = list(seen)
    async with condition:
        condition.notify_all()
    await asyncio.gather(*tasks)
    return before, seen


async def a_condition_waits_for_a_predicate() -> Any:
    condition, box = asyncio.Condition(), list[int]()

    async def fills() -> None:
        for number in range(3):
            await asyncio.sleep(1)
            async with condition:
                box.append(number)
                condition.notify_all()

    task = asyncio.create_task(fills())
    async with condition:
        answer = await condition.wait_for(lambda: len(box) >= 2)
    await task
    return answer, box


async def a_condition_without_its_lock() -> Any:
    condition, seen = asyncio.Condition(), list[str]()
    try:
        condition.notify()
    except RuntimeError as error:
        seen.append(str(error))
    try:
        await condition.wait()
    except RuntimeError as error:
        seen.append(str(error))
    return seen


async def a_condition_whose_waiter_is_cancelled_has_the_lock_again() -> Any:
    condition, seen = asyncio.Condition(), list[bool]()

    async def member() -> None:
        async with condition:
            try:
                await condition.wait()
            finally:
                seen.append(condition.locked())

    task = asyncio.create_task(member())
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.wait([task])
    return seen, condition.locked()


async def a_semaphore_lets_two_in() -> Any:
    semaphore, inside, most = asyncio.Semaphore(2), 0, 0

    async def member() -> None:
        nonlocal inside, most
        async with semaphore:
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(1)
            inside -= 1

    await asyncio.gather(*(member() for _ in range(7)))
    return most, inside, semaphore.locked()


async def a_semaphore_whose_waiter_is_cancelled() -> Any:
    semaphore = asyncio.Semaphore(1)
    await semaphore.acquire()
    waiting = asyncio.create_task(semaphore.acquire())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    semaphore.release()
    return semaphore.locked(), await semaphore.acquire(), semaphore.locked()


async def a_bounded_semaphore_released_too_often() -> Any:
    semaphore = asyncio.BoundedSemaphore(1)
    async with semaphore:
        pass
    semaphore.release()


async def a_semaphore_below_nothing() -> Any:
    asyncio.Semaphore(-1)


async def a_barrier_lets_all_pass_at_once() -> Any:
    barrier = asyncio.Barrier(3)

    async def member(number: int) -> int:
        await asyncio.sleep(number)
        return await barrier.wait()

    return await asyncio.gather(*(member(number) for number in range(3))), barrier.n_waiting, barrier.broken


async def a_barrier_that_is_broken() -> Any:
    barrier = asyncio.Barrier(3)
    waiting = [asyncio.create_task(barrier.wait()) for _ in range(2)]
    await asyncio.sleep(1)
    await barrier.abort()
    return [
        type(one).__name__ for one in await asyncio.gather(*waiting, return_exceptions=True)
    ], barrier.broken


async def a_queue_hands_over_in_order() -> Any:
    queue, seen = asyncio.Queue[int](2), list[int]()

    async def consumer() -> None:
        while True:
            seen.append(await queue.get())
            queue.task_done()

    task = asyncio.create_task(consumer())
    for number in range(9):
        await queue.put(number)
    await queue.join()
    task.cancel()
    return seen, queue.empty(), queue.qsize()


async def _drained(queue: asyncio.Queue[Any], *items: Any) -> list[Any]:
    for item in items:
        queue.put_nowait(item)
    return [await queue.get() for _ in items]


async def queues_of_other_orders() -> Any:
    return await _drained(asyncio.PriorityQueue(), 3, 1, 2), await _drained(asyncio.LifoQueue(), 3, 1, 2)


async def a_queue_that_is_full_or_empty() -> Any:
    queue, seen = asyncio.Queue[int](1), list[str]()
    calls: list[Callable[[], Any]] = [
        queue.get_nowait,
        lambda: queue.put_nowait(1),
        lambda: queue.put_nowait(2),
    ]
    for call in calls:
        try:
            call()
        except (asyncio.QueueEmpty, asyncio.QueueFull) as error:
            seen.append(type(error).__name__)
    return seen, queue.full(), queue.maxsize


async def a_queue_whose_getter_is_cancelled_loses_nothing() -> Any:
    queue: asyncio.Queue[str] = asyncio.Queue()
    first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.put_nowait("x")
    first.cancel()
    done = await asyncio.wait_for(second, 1) if not second.done() else second.result()
    return done, first.cancelled()


async def a_queue_whose_putter_is_cancelled() -> Any:
    queue: asyncio.Queue[int] = asyncio.Queue(1)
    queue.put_nowait(1)
    waiting = asyncio.create_task(queue.put(2))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    return await queue.get(), queue.empty()


async def a_queue_done_too_often() -> Any:
    asyncio.Queue[int]().task_done()


async def waiting_for_a_queue_with_a_timeout() -> Any:
    queue: asyncio.Queue[int] = asyncio.Queue()
    try:
        async with asyncio.timeout(1):
            await queue.get()
    except TimeoutError:
        queue.put_nowait(7)
    return await queue.get()


async def a_queue_that_is_shut_down() -> Any:
    queue: asyncio.Queue[int] = asyncio.Queue()
    queue.put_nowait(1)
    waiting = [asyncio.create_task(queue.get()) for _ in range(2)]
    await asyncio.sleep(0)
    queue.shutdown()  # type: ignore[attr-defined]
    return [as_name(one) for one in await asyncio.gather(*waiting, return_exceptions=True)]


def as_name(value: object) -> str:
    return type(value).__name__ if isinstance(value, Exception) else repr(value)


async def a_pipeline_of_queues() -> Any:
    stages = [asyncio.Queue[int](1) for _ in range(4)]

    async def moves(source: asyncio.Queue[int], target: asyncio.Queue[int]) -> None:
        while True:
            await target.put(await source.get() + 1)

    workers = [asyncio.create_task(moves(*pair)) for pair in itertools.pairwise(stages)]
    seen = []
    for number in range(5):
        await stages[0].put(number)
        seen.append(await stages[-1].get())
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
    return seen
