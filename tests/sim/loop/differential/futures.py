"""Programs about futures, callbacks, timers, contexts and the interface of the loop itself."""

# ruff: noqa: RUF006

from __future__ import annotations

import asyncio
import contextvars
import functools
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


def tried(*calls: Callable[[], Any]) -> list[str]:
    """What each answers or raises."""
    seen = []
    for call in calls:
        try:
            seen.append(repr(call()))
        except BaseException as error:
            seen.append(f"{type(error).__name__}: {error}")
    return seen


async def a_future_is_set_once() -> Any:
    future = asyncio.get_running_loop().create_future()
    before = tried(future.result, future.exception, future.done, future.cancelled)
    future.set_result(3)
    after = tried(
        lambda: future.set_result(4), lambda: future.set_exception(OSError()), future.cancel, future.result
    )
    return before, after, await future, future.get_loop() is asyncio.get_running_loop()


async def a_future_that_fails() -> Any:
    future = asyncio.get_running_loop().create_future()
    future.set_exception(ValueError)
    return tried(future.result, future.result), repr(future.exception())


async def a_future_that_fails_and_nobody_asks() -> Any:
    asyncio.get_running_loop().create_future().set_exception(ValueError("unheard"))
    return "gone on"


async def a_future_cannot_raise_stop_iteration() -> Any:
    future = asyncio.get_running_loop().create_future()
    try:
        future.set_exception(StopIteration("x"))
    except TypeError as error:
        return str(error)
    return repr(future.exception())


async def a_future_takes_no_other_exceptions() -> Any:
    future = asyncio.get_running_loop().create_future()
    try:
        future.set_exception(3)
    except (TypeError, AttributeError) as error:
        return type(error).__name__


async def a_cancelled_future_asked() -> Any:
    future = asyncio.get_running_loop().create_future()
    future.cancel("why")
    return tried(future.result, future.exception, lambda: future.set_result(1))


async def the_text_of_a_future() -> Any:
    loop = asyncio.get_running_loop()
    pending, done, failed, gone = (loop.create_future() for _ in range(4))
    done.set_result([1])
    failed.set_exception(ValueError("x"))
    gone.cancel()
    failed.exception()
    return [repr(future) for future in (pending, done, failed, gone)]


async def callbacks_of_a_future() -> Any:
    future, seen = asyncio.get_running_loop().create_future(), list[str]()

    def first(of: Any) -> None:
        seen.append(f"first {of.result()}")

    def second(of: Any) -> None:
        seen.append(f"second {of.result()}")

    for callback in (first, second, first, second):
        future.add_done_callback(callback)
    removed = future.remove_done_callback(first)
    future.set_result("x")
    at_once = list(seen)
    await asyncio.sleep(0)
    future.add_done_callback(second)
    await asyncio.sleep(0)
    return removed, at_once, seen


async def a_callback_that_raises_keeps_nobody_from_the_next() -> Any:
    future, seen = asyncio.get_running_loop().create_future(), list[str]()
    future.add_done_callback(lambda of: 1 / 0)
    future.add_done_callback(lambda of: seen.append("second"))
    future.set_result(None)
    await asyncio.sleep(0)
    return seen


async def callbacks_in_a_context() -> Any:
    future, seen = asyncio.get_running_loop().create_future(), list[str]()
    context = contextvars.copy_context()
    context.run(VARIABLE.set, "given")
    future.add_done_callback(lambda of: seen.append(VARIABLE.get()), context=context)
    VARIABLE.set("when added")
    future.add_done_callback(lambda of: seen.append(VARIABLE.get()))
    VARIABLE.set("later")
    future.set_result(None)
    await asyncio.sleep(0)
    return seen


async def call_soon_in_order() -> Any:
    loop, seen = asyncio.get_running_loop(), list[Any]()
    handles = [loop.call_soon(seen.append, number) for number in range(5)]
    handles[1].cancel()
    handles[1].cancel()
    await asyncio.sleep(0)
    return seen, [handle.cancelled() for handle in handles]


async def call_soon_with_a_context_can_be_cancelled() -> Any:
    loop, seen = asyncio.get_running_loop(), list[Any]()
    context = contextvars.copy_context()
    gone = loop.call_soon(seen.append, "gone", context=context)
    stays = loop.call_soon(context.run, seen.append, "stays", context=contextvars.copy_context())
    gone.cancel()
    await asyncio.sleep(0)
    return seen, gone.cancelled(), stays.cancelled(), isinstance(gone, asyncio.Handle)


async def call_soon_runs_in_the_context_of_now() -> Any:
    loop, seen = asyncio.get_running_loop(), list[str]()
    VARIABLE.set("then")
    loop.call_soon(lambda: seen.append(VARIABLE.get()))
    VARIABLE.set("now")
    await asyncio.sleep(0)
    return seen


async def a_callback_that_raises() -> Any:
    loop = asyncio.get_running_loop()
    loop.call_soon(functools.partial(int, "x"))
    loop.call_later(1, lambda: 1 / 0)
    await asyncio.sleep(2)
    return "gone on"


async def timers_by_due_time() -> Any:
    loop, seen = asyncio.get_running_loop(), list[float]()
    for delay in (3, 1, 2.5, 0.5):
        loop.call_later(delay, seen.append, delay)
    await asyncio.sleep(5)
    return seen


async def a_timer_is_cancelled() -> Any:
    loop, seen = asyncio.get_running_loop(), list[str]()
    timer = loop.call_later(1, seen.append, "fired")
    before = timer.cancelled()
    timer.cancel()
    timer.cancel()
    await asyncio.sleep(2)
    return before, timer.cancelled(), seen, isinstance(timer, asyncio.TimerHandle)


async def a_timer_cancelled_by_another() -> Any:
    loop, seen = asyncio.get_running_loop(), list[str]()
    late = loop.call_later(2, seen.append, "late")
    loop.call_later(1, late.cancel)
    await asyncio.sleep(3)
    return seen


async def when_a_timer_is_due() -> Any:
    loop = asyncio.get_running_loop()
    when = loop.time() + 12.345678
    timer = loop.call_at(when, print)
    relative = loop.call_later(5, print)
    close = abs(relative.when() - loop.time() - 5) < 0.1
    seen = timer.when() == when, close, timer in [timer], timer != relative
    timer.cancel()
    relative.cancel()
    return seen


async def timers_in_the_past_and_never() -> Any:
    loop, seen = asyncio.get_running_loop(), list[str]()
    loop.call_later(-5, seen.append, "negative")
    loop.call_at(loop.time() - 10, seen.append, "past")
    never = loop.call_later(math.inf, seen.append, "never")
    far = loop.call_later(1e9, seen.append, "far")
    await asyncio.sleep(1)
    answer = sorted(seen), never.when(), never.cancelled()
    never.cancel()
    far.cancel()
    return answer


async def a_timer_that_is_not_a_number() -> Any:
    loop, seen = asyncio.get_running_loop(), list[str]()
    timer = loop.call_later(math.nan, seen.append, "not a number")
    await asyncio.sleep(1)
    return seen, timer.when() == timer.when()


async def sleeping_for_odd_times() -> Any:
    return [await asyncio.sleep(delay, delay) for delay in (-1, 0, -0.0, 1e-9, 5e-324)]


async def sleeping_for_what_is_not_a_number() -> Any:
    return await asyncio.sleep(math.nan, "slept")


async def timers_without_a_time() -> Any:
    loop = asyncio.get_running_loop()
    return tried(
        lambda: loop.call_later(None, print),  # type: ignore[arg-type]
        lambda: loop.call_at(None, print),  # type: ignore[arg-type]
    )


async def the_clock_goes_on_by_what_was_slept() -> Any:
    loop = asyncio.get_running_loop()
    before = loop.time()
    await asyncio.sleep(100)
    return 100 <= loop.time() - before < 101


async def a_handler_of_exceptions() -> Any:
    loop, seen = asyncio.get_running_loop(), list[Any]()

    def handler(of: Any, context: dict[str, Any]) -> None:
        seen.append((of is loop, sorted(context), repr(context.get("exception"))))

    loop.set_exception_handler(handler)
    loop.call_soon(int, "x")
    loop.call_later(0.5, int, "y")
    future = loop.create_future()
    future.set_exception(KeyError("lost"))
    del future

    async def fails() -> None:
        raise LookupError("lost task")

    await asyncio.sleep(1)
    asyncio.create_task(fails())
    await asyncio.sleep(1)
    return seen, loop.get_exception_handler() is handler


async def a_handler_that_hands_on() -> Any:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda of, context: of.default_exception_handler(context))
    loop.call_exception_handler({"message": "handed on", "exception": ValueError("x")})
    loop.set_exception_handler(None)
    loop.call_exception_handler({"message": "by default"})
    loop.call_exception_handler({})
    return loop.get_exception_handler()


async def a_handler_that_raises() -> Any:
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda of, context: 1 / 0)
    loop.call_exception_handler({"message": "first"})
    return tried(lambda: loop.set_exception_handler("x"))  # type: ignore[arg-type]


async def an_exception_handler_is_told_odd_things() -> Any:
    class Odd(Exception):
        def __repr__(self) -> str:
            raise ValueError("no text")

    loop, seen = asyncio.get_running_loop(), list[Any]()
    loop.set_exception_handler(lambda of, context: seen.append(type(context.get("exception"))))
    loop.call_exception_handler({"message": 3, "exception": Odd()})
    loop.call_exception_handler({"exception": Odd(), "more": Odd()})
    return seen


async def a_handler_in_the_context_of_a_task() -> Any:
    loop, seen = asyncio.get_running_loop(), list[str]()
    loop.set_exception_handler(lambda of, context: seen.append(context["message"].split(" in ")[0]))

    async def fails() -> None:
        VARIABLE.set("of the task")
        raise LookupError("lost")

    asyncio.create_task(fails())
    await asyncio.sleep(1)
    return seen


async def the_state_of_the_loop() -> Any:
    loop = asyncio.get_running_loop()
    return loop.is_running(), loop.is_closed(), asyncio.get_event_loop() is loop, loop.get_debug()


async def debugging() -> Any:
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    seen = [loop.get_debug()]
    await asyncio.gather(asyncio.sleep(1), asyncio.sleep(2))
    loop.set_debug(False)
    return seen, loop.get_debug()


async def a_running_loop_cannot_be_closed() -> Any:
    return tried(asyncio.get_running_loop().close)


async def no_running_loop_in_a_thread() -> Any:
    return await asyncio.to_thread(lambda: tried(asyncio.get_running_loop))


async def results_and_errors_of_threads() -> Any:
    loop = asyncio.get_running_loop()
    results = await asyncio.gather(
        asyncio.to_thread(int, "7"),
        asyncio.to_thread(int, "x"),
        loop.run_in_executor(None, divmod, 7, 2),
        loop.run_in_executor(None, functools.partial(int, "11", base=2)),
        return_exceptions=True,
    )
    return [repr(result) for result in results]


async def threads_have_the_context_of_their_caller() -> Any:
    VARIABLE.set("caller")

    def within() -> str:
        before = VARIABLE.get()
        VARIABLE.set("thread")
        return before

    return await asyncio.to_thread(within), VARIABLE.get()


async def an_executor_that_is_none() -> Any:
    loop = asyncio.get_running_loop()
    wrong = tried(lambda: loop.set_default_executor(3))  # type: ignore[arg-type]
    executor = ThreadPoolExecutor(1)
    loop.set_default_executor(executor)
    answer = await asyncio.to_thread(str, 3)
    executor.shutdown()
    return wrong, answer


async def giving_up_on_a_thread() -> Any:
    task = asyncio.create_task(asyncio.to_thread(str, 3))
    task.cancel()
    (error,) = await asyncio.gather(task, return_exceptions=True)
    return type(error)


async def ending_the_default_executor() -> Any:
    await asyncio.to_thread(str, 1)
    await asyncio.get_running_loop().shutdown_default_executor()
    return "ended"


async def a_hundred_timers_one_after_the_other() -> Any:
    loop, seen = asyncio.get_running_loop(), list[float]()
    start = loop.time()

    def again(left: int) -> None:
        seen.append(loop.time() - start)
        if left:
            loop.call_later(0.1, again, left - 1)

    again(100)
    await asyncio.sleep(20)
    return len(seen), seen == sorted(seen), 10 <= seen[-1] < 11


async def a_periodic_deadline() -> Any:
    loop = asyncio.get_running_loop()
    deadline, late = loop.time(), 0
    for _ in range(50):
        deadline += 0.1
        await asyncio.sleep(deadline - loop.time())
        late += loop.time() < deadline
    return late
