"""Programs about tasks, groups of tasks, and waiting for several. Each answers the same under every tape."""

# ruff: noqa: RUF006

from __future__ import annotations

import asyncio
import contextvars
import gc
from typing import Any

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


async def names_of_tasks() -> Any:
    task = asyncio.create_task(asyncio.sleep(0), name="mine")
    unnamed = asyncio.create_task(asyncio.sleep(0))
    before = task.get_name()
    task.set_name(3)  # type: ignore[arg-type]
    await asyncio.wait([task, unnamed])
    return before, task.get_name(), unnamed.get_name().startswith("Task-"), unnamed.get_name()[5:].isdigit()


async def the_current_task_and_all_tasks() -> Any:
    me = asyncio.current_task()
    others = [asyncio.create_task(asyncio.sleep(1), name=f"t{number}") for number in range(3)]
    known = asyncio.all_tasks()
    await asyncio.wait(others)
    left = asyncio.all_tasks()
    return me in known, sorted(task.get_name() for task in known if task is not me), left == {me}


async def no_current_task_in_a_callback() -> Any:
    seen: list[Any] = []
    asyncio.get_running_loop().call_soon(lambda: seen.append(asyncio.current_task()))
    await asyncio.sleep(0)
    return seen


async def coroutine_and_stack_of_a_task() -> Any:
    async def inner() -> None:
        await asyncio.sleep(1)

    coroutine = inner()
    task = asyncio.create_task(coroutine)
    await asyncio.sleep(0.5)
    stack = [frame.f_code.co_name for frame in task.get_stack()]
    await task
    return task.get_coro() is coroutine, stack, task.get_stack()


async def result_and_exception_too_early() -> Any:
    task = asyncio.create_task(asyncio.sleep(1))
    seen = []
    for ask in (task.result, task.exception):
        try:
            ask()
        except asyncio.InvalidStateError as error:
            seen.append(str(error))
    await task
    return seen, task.exception()


async def a_task_cannot_be_set() -> Any:
    task = asyncio.create_task(asyncio.sleep(0))
    seen = []
    for call in (lambda: task.set_result(1), lambda: task.set_exception(ValueError())):
        try:
            call()
        except RuntimeError as error:
            seen.append(str(error))
    await task
    return seen


async def what_is_no_coroutine_is_no_task() -> Any:
    seen = []
    for wrong in (3, asyncio.sleep, asyncio.get_running_loop().create_future()):
        try:
            asyncio.create_task(wrong)  # type: ignore[arg-type]
        except TypeError as error:
            seen.append(str(error).split("<")[0])
    return seen


async def awaiting_oneself() -> Any:
    async def child() -> None:
        me = asyncio.current_task()
        assert me is not None
        await me

    (error,) = await asyncio.gather(asyncio.create_task(child()), return_exceptions=True)
    return type(error), "cannot await on itself" in str(error)


async def awaiting_what_is_no_future() -> Any:
    class Odd:
        def __await__(self) -> Any:
            yield 3

    try:
        await Odd()  # type: ignore[misc]
    except RuntimeError as error:
        return str(error).split(":")[-1]


async def a_task_raises() -> Any:
    async def fails() -> None:
        raise LookupError("lost")

    task = asyncio.create_task(fails())
    await asyncio.wait([task])
    return repr(task.exception()), task.cancelled(), task.done()


async def a_task_raises_and_nobody_asks() -> Any:
    async def fails() -> None:
        raise LookupError("lost")

    asyncio.create_task(fails())
    await asyncio.sleep(1)
    return "gone on"


async def a_task_raises_and_holds_itself() -> Any:
    async def fails() -> None:
        raise LookupError("lost")

    kept: list[Any] = []
    kept += [kept, asyncio.create_task(fails())]
    await asyncio.sleep(1)
    return len(kept)


async def a_coroutine_that_nobody_awaits() -> Any:
    async def forgotten() -> None:
        """Nothing."""

    forgotten()
    await asyncio.sleep(0)
    return "gone on"


async def a_task_that_nobody_holds_is_collected() -> Any:
    seen: list[str] = []

    async def waits() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            seen.append("closed")

    asyncio.create_task(waits(), name="lost")
    await asyncio.sleep(1)
    gc.collect()
    return seen


async def stop_iteration_out_of_a_coroutine() -> Any:
    async def stops() -> None:
        raise StopIteration("x")

    (error,) = await asyncio.gather(stops(), return_exceptions=True)
    return repr(error)


async def a_group_waits_for_all() -> Any:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(asyncio.sleep(number, number)) for number in range(4)]
    return [task.result() for task in tasks]


async def a_group_cancels_the_others() -> Any:
    seen = []

    async def member(number: int) -> None:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            seen.append(number)
            raise

    async def fails() -> None:
        await asyncio.sleep(1)
        raise ValueError("boom")

    try:
        async with asyncio.TaskGroup() as group:
            for number in range(3):
                group.create_task(member(number))
            group.create_task(fails())
    except ExceptionGroup as errors:
        return sorted(seen), [repr(error) for error in errors.exceptions]


async def a_group_whose_body_fails() -> Any:
    task = None
    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(asyncio.sleep(10))
            await asyncio.sleep(1)
            raise KeyError("body")
    except ExceptionGroup as errors:
        assert task is not None
        return task.cancelled(), repr(errors)


async def a_group_gathers_several_errors() -> Any:
    async def fails(kind: type[Exception]) -> None:
        try:
            await asyncio.sleep(1)
        finally:
            raise kind("boom")

    try:
        async with asyncio.TaskGroup() as group:
            for kind in (ValueError, KeyError, OSError):
                group.create_task(fails(kind))
            await asyncio.sleep(0.5)
            raise LookupError("body")
    except BaseExceptionGroup as errors:
        return sorted(type(error).__name__ for error in errors.exceptions)


async def a_group_cancelled_from_outside() -> Any:
    inner: list[Any] = []

    async def grouped() -> None:
        async with asyncio.TaskGroup() as group:
            inner.append(group.create_task(asyncio.sleep(10)))

    task = asyncio.create_task(grouped())
    await asyncio.sleep(1)
    task.cancel("outside")
    (error,) = await asyncio.gather(task, return_exceptions=True)
    return type(error), inner[0].cancelled()


async def a_group_that_is_over_takes_no_task() -> Any:
    async with asyncio.TaskGroup() as group:
        pass
    coroutine = asyncio.sleep(0)
    try:
        group.create_task(coroutine)
    except RuntimeError as error:
        return str(error).endswith("is finished")
    finally:
        coroutine.close()


async def groups_within_groups() -> Any:
    async def fails() -> None:
        await asyncio.sleep(1)
        raise ValueError("deep")

    try:
        async with asyncio.TaskGroup() as outer:
            outer.create_task(asyncio.sleep(10))
            async with asyncio.TaskGroup() as inner:
                inner.create_task(fails())
    except BaseExceptionGroup as errors:
        return repr(errors)


async def gather_keeps_the_order() -> Any:
    return await asyncio.gather(*(asyncio.sleep(3 - number, number) for number in range(3)))


async def gather_of_nothing() -> Any:
    return await asyncio.gather()


async def gather_the_same_twice() -> Any:
    task = asyncio.create_task(asyncio.sleep(0, "once"))
    return await asyncio.gather(task, task)


async def gather_raises_the_first_and_lets_the_others_run() -> Any:
    seen: list[str] = []

    async def fails() -> None:
        await asyncio.sleep(1)
        raise ValueError("first")

    async def slow() -> None:
        await asyncio.sleep(2)
        seen.append("slow")

    try:
        await asyncio.gather(fails(), slow())
    except ValueError:
        before = list(seen)
        await asyncio.sleep(2)
        return before, seen


async def gather_with_exceptions_as_results() -> Any:
    async def fails() -> None:
        raise ValueError("first")

    return await asyncio.gather(fails(), asyncio.sleep(1, 1), return_exceptions=True)


async def wait_for_the_first() -> Any:
    quick, slow = asyncio.create_task(asyncio.sleep(1, "q")), asyncio.create_task(asyncio.sleep(5, "s"))
    done, pending = await asyncio.wait([quick, slow], return_when=asyncio.FIRST_COMPLETED)
    slow.cancel()
    return done == {quick}, pending == {slow}


async def wait_for_the_first_exception() -> Any:
    async def fails() -> None:
        await asyncio.sleep(2)
        raise ValueError("x")

    tasks = [asyncio.create_task(one) for one in (asyncio.sleep(1), fails(), asyncio.sleep(9))]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    tasks[2].cancel()
    return done == set(tasks[:2]), repr(tasks[1].exception()), len(pending)


async def wait_with_a_timeout() -> Any:
    tasks = [asyncio.create_task(asyncio.sleep(delay)) for delay in (1, 5)]
    done, pending = await asyncio.wait(tasks, timeout=3)
    return len(done), len(pending), [task.done() for task in tasks], len((await asyncio.wait(tasks))[0])


async def wait_refuses_what_it_cannot_wait_for() -> Any:
    seen = []
    coroutine = asyncio.sleep(0)
    for wrong in ([], [coroutine], coroutine):
        try:
            await asyncio.wait(wrong)  # type: ignore[type-var]
        except (TypeError, ValueError) as error:
            seen.append(f"{type(error).__name__}: {str(error).split('<')[0]}")
    coroutine.close()
    return seen


async def as_completed_in_order_of_time() -> Any:
    return [await one for one in asyncio.as_completed([asyncio.sleep(delay, delay) for delay in (3, 1, 2)])]


async def as_completed_with_a_timeout() -> Any:
    seen: list[Any] = []
    try:
        for one in asyncio.as_completed([asyncio.sleep(1, "quick"), asyncio.sleep(9, "slow")], timeout=3):
            seen.append(await one)
    except TimeoutError:
        seen.append("timeout")
    return seen


async def contexts_are_copied_when_a_task_is_made() -> Any:
    seen: list[str] = []

    async def child() -> None:
        seen.append(VARIABLE.get())
        VARIABLE.set("child")
        await asyncio.sleep(0)
        seen.append(VARIABLE.get())

    VARIABLE.set("parent")
    task = asyncio.create_task(child())
    VARIABLE.set("parent later")
    await task
    return seen, VARIABLE.get()


async def a_task_in_a_given_context() -> Any:
    context = contextvars.copy_context()

    async def child() -> None:
        VARIABLE.set("child")

    await asyncio.create_task(child(), context=context)
    return context[VARIABLE], VARIABLE.get()


async def a_group_in_a_given_context() -> Any:
    context = contextvars.copy_context()

    async def child() -> None:
        VARIABLE.set("member")

    async with asyncio.TaskGroup() as group:
        group.create_task(child(), context=context, name="named")
    return context[VARIABLE], VARIABLE.get()


async def a_factory_makes_the_tasks() -> Any:
    loop = asyncio.get_running_loop()
    made: list[str] = []

    def factory(of: Any, coroutine: Any, **options: Any) -> Any:
        made.append(coroutine.__qualname__)
        return asyncio.Task(coroutine, loop=of, **options)

    loop.set_task_factory(factory)
    known = loop.get_task_factory() is factory
    task = asyncio.create_task(asyncio.sleep(0, 1), name="by factory")
    result = await task, task.get_name()
    loop.set_task_factory(None)
    try:
        loop.set_task_factory(3)  # type: ignore[arg-type]
    except TypeError as error:
        return known, result, made, str(error), loop.get_task_factory()


async def eager_tasks_begin_at_once() -> Any:
    loop = asyncio.get_running_loop()
    loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]
    seen = []

    async def child() -> str:
        seen.append("begun")
        return "done"

    task = asyncio.create_task(child())
    seen.append(task.done())
    waits = asyncio.create_task(asyncio.sleep(1, "later"))
    return seen, await task, waits.done(), await waits, loop.get_task_factory() is asyncio.eager_task_factory  # type: ignore[attr-defined]


async def eager_groups() -> Any:
    asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(asyncio.sleep(number, number)) for number in range(3)]
    return [task.result() for task in tasks]


async def ensure_future_of_several_things() -> Any:
    class Awaitable:
        def __await__(self) -> Any:
            return asyncio.sleep(0, "awaited").__await__()

    future = asyncio.get_running_loop().create_future()
    seen = [await asyncio.ensure_future(asyncio.sleep(0, 1)), await asyncio.ensure_future(Awaitable())]
    try:
        asyncio.ensure_future(3)  # type: ignore[type-var]
    except TypeError as error:
        seen.append(str(error))
    return seen, asyncio.ensure_future(future) is future


async def run_within_a_loop_is_an_error() -> Any:
    coroutine = asyncio.sleep(0)
    try:
        asyncio.run(coroutine)
    except RuntimeError as error:
        return str(error)
    finally:
        coroutine.close()


async def a_thousand_tasks() -> Any:
    async def child(number: int) -> int:
        await asyncio.sleep(number % 7)
        return number

    return sum(await asyncio.gather(*(child(number) for number in range(1000))))
