"""Programs about cancellation and timeouts. Each answers the same whatever the tape chooses."""

# ruff: noqa: SIM105

from __future__ import annotations

import asyncio
from typing import Any


async def cancelling_a_sleep() -> Any:
    task = asyncio.create_task(asyncio.sleep(10))
    await asyncio.sleep(1)
    asked = task.cancel("enough")
    try:
        await task
    except asyncio.CancelledError as error:
        return asked, error.args, task.cancelled(), task.cancelling(), task.cancel()


async def cancelling_before_the_first_step() -> Any:
    seen = []

    async def child() -> None:
        seen.append("never")

    task = asyncio.create_task(child())
    task.cancel()
    done = await asyncio.gather(task, return_exceptions=True)
    return done, seen


async def cancelling_a_task_that_is_done() -> Any:
    task = asyncio.create_task(asyncio.sleep(0, "x"))
    await task
    return task.cancel(), task.cancelled(), task.cancelling(), task.result()


async def swallowing_a_cancellation() -> Any:
    async def child() -> str:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            pass
        return "went on"

    task = asyncio.create_task(child())
    await asyncio.sleep(0)
    task.cancel()
    return await task, task.cancelled(), task.cancelling()


async def uncancelling() -> Any:
    seen: list[Any] = []

    async def child() -> str:
        me = asyncio.current_task()
        assert me is not None
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            seen.append((me.cancelling(), me.uncancel(), me.uncancel(), me.cancelling()))
        await asyncio.sleep(1)
        return "rested"

    task = asyncio.create_task(child())
    await asyncio.sleep(0)
    task.cancel()
    return await task, seen


async def cancelling_twice_counts_twice() -> Any:
    task = asyncio.create_task(asyncio.sleep(10))
    await asyncio.sleep(0)
    asked = task.cancel("one"), task.cancel("two")
    (error,) = await asyncio.gather(task, return_exceptions=True)
    return asked, task.cancelling(), type(error)


async def cancelling_in_a_finally_that_waits() -> Any:
    seen = []

    async def child() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            seen.append("begins to close")
            await asyncio.sleep(1)
            seen.append("has closed")

    task = asyncio.create_task(child())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    return seen, task.cancelled()


async def cancelling_what_awaits_a_task() -> Any:
    inner = asyncio.create_task(asyncio.sleep(10))

    async def outer() -> None:
        await inner

    task = asyncio.create_task(outer())
    await asyncio.sleep(0)
    task.cancel("outer")
    await asyncio.wait([task, inner])
    return task.cancelled(), inner.cancelled()


async def cancelling_oneself() -> Any:
    async def child() -> None:
        me = asyncio.current_task()
        assert me is not None
        me.cancel("by myself")
        await asyncio.sleep(1)

    (error,) = await asyncio.gather(child(), return_exceptions=True)
    return repr(error)


async def raising_another_error_when_cancelled() -> Any:
    async def child() -> None:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError as error:
            raise LookupError("instead") from error

    task = asyncio.create_task(child())
    await asyncio.sleep(0)
    task.cancel()
    (error,) = await asyncio.gather(task, return_exceptions=True)
    return repr(error), type(error.__cause__)


async def cancelling_a_future() -> Any:
    future = asyncio.get_running_loop().create_future()
    asked = future.cancel("gone"), future.cancel()
    try:
        await future
    except asyncio.CancelledError as error:
        return asked, error.args, future.cancelled(), future.done()


async def cancelling_a_gather() -> Any:
    members = [asyncio.create_task(asyncio.sleep(10)) for _ in range(3)]
    together = asyncio.gather(*members)
    await asyncio.sleep(0)
    asked = together.cancel("all of you")
    try:
        await together
    except asyncio.CancelledError:
        return asked, [member.cancelled() for member in members]


async def cancelling_one_member_of_a_gather() -> Any:
    members = [asyncio.create_task(asyncio.sleep(3, number)) for number in range(3)]
    asyncio.get_running_loop().call_later(1, members[1].cancel)
    return [type(one).__name__ for one in await asyncio.gather(*members, return_exceptions=True)]


async def a_shield_keeps_what_is_within() -> Any:
    inner = asyncio.create_task(asyncio.sleep(3, "inner"))
    outer = asyncio.shield(inner)
    await asyncio.sleep(0)
    outer.cancel()
    return outer.cancelled() or await asyncio.gather(outer, return_exceptions=True), await inner


async def a_shield_hears_the_error_within() -> Any:
    async def fails() -> None:
        await asyncio.sleep(1)
        raise ValueError("within")

    try:
        await asyncio.shield(fails())
    except ValueError as error:
        return repr(error)


async def a_shield_whose_inner_task_fails_after_it_was_left() -> Any:
    async def fails() -> None:
        await asyncio.sleep(2)
        raise ValueError("nobody hears")

    try:
        await asyncio.wait_for(asyncio.shield(fails()), 1)
    except TimeoutError:
        pass
    await asyncio.sleep(3)
    return "left"


async def timeout_that_passes() -> Any:
    try:
        async with asyncio.timeout(1) as scope:
            await asyncio.sleep(10)
    except TimeoutError as error:
        return scope.expired(), type(error.__cause__)


async def timeout_that_does_not_pass() -> Any:
    async with asyncio.timeout(10) as scope:
        await asyncio.sleep(1)
    return scope.expired()


async def timeout_of_nothing() -> Any:
    try:
        async with asyncio.timeout(0):
            await asyncio.sleep(10)
    except TimeoutError:
        return "at once"


async def timeout_in_the_past() -> Any:
    try:
        async with asyncio.timeout_at(asyncio.get_running_loop().time() - 5):
            await asyncio.sleep(10)
    except TimeoutError:
        return "at once"


async def timeout_without_an_await() -> Any:
    async with asyncio.timeout(0) as scope:
        seen = 3
    return seen, scope.expired()


async def timeout_that_is_put_off() -> Any:
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(1) as scope:
        await asyncio.sleep(0.5)
        before = scope.when()
        assert before is not None
        scope.reschedule(before + 5)
        await asyncio.sleep(3)
        scope.reschedule(None)
        return scope.when(), before < loop.time()


async def timeouts_within_timeouts() -> Any:
    seen = []
    try:
        async with asyncio.timeout(1):
            try:
                async with asyncio.timeout(5):
                    await asyncio.sleep(10)
            except TimeoutError:
                seen.append("inner")
    except TimeoutError:
        seen.append("outer")
    return seen


async def both_timeouts_at_once() -> Any:
    seen = []
    when = asyncio.get_running_loop().time() + 1
    try:
        async with asyncio.timeout_at(when):
            try:
                async with asyncio.timeout_at(when):
                    await asyncio.sleep(10)
            finally:
                seen.append("inner left")
    except TimeoutError:
        seen.append("outer")
    return seen


async def a_timeout_used_twice_or_outside() -> Any:
    seen = []
    scope = asyncio.timeout(1)
    try:
        scope.reschedule(3)
    except RuntimeError as error:
        seen.append(str(error))
    async with scope:
        pass
    try:
        async with scope:
            pass
    except RuntimeError as error:
        seen.append(str(error))
    return seen, repr(scope)


async def a_cancellation_from_outside_is_no_timeout() -> Any:
    async def child() -> str:
        try:
            async with asyncio.timeout(5):
                await asyncio.sleep(10)
        except TimeoutError:
            return "timeout"
        return "neither"

    task = asyncio.create_task(child())
    await asyncio.sleep(1)
    task.cancel("from outside")
    (error,) = await asyncio.gather(task, return_exceptions=True)
    return repr(error)


async def wait_for_that_passes() -> Any:
    task = asyncio.create_task(asyncio.sleep(10))
    try:
        await asyncio.wait_for(task, 1)
    except TimeoutError as error:
        return task.cancelled(), error.args


async def wait_for_a_result() -> Any:
    return await asyncio.wait_for(asyncio.sleep(1, "x"), 10), await asyncio.wait_for(
        asyncio.sleep(1, "y"), None
    )


async def wait_for_no_time() -> Any:
    done = asyncio.get_running_loop().create_future()
    done.set_result("there")
    seen: list[Any] = [await asyncio.wait_for(done, 0), await asyncio.wait_for(done, -1)]
    try:
        await asyncio.wait_for(asyncio.sleep(1), 0)
    except TimeoutError:
        seen.append("timeout")
    return seen


async def wait_for_what_takes_long_to_be_cancelled() -> Any:
    loop = asyncio.get_running_loop()

    async def stubborn() -> None:
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(5)

    before = loop.time()
    try:
        await asyncio.wait_for(stubborn(), 1)
    except TimeoutError:
        return round(loop.time() - before, 1)


async def wait_for_what_answers_although_cancelled() -> Any:
    async def stubborn() -> str:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            return "all the same"
        return "slept"

    return await asyncio.wait_for(stubborn(), 1)


async def wait_for_what_fails() -> Any:
    async def fails() -> None:
        await asyncio.sleep(0)
        raise KeyError("k")

    await asyncio.wait_for(fails(), 1)


async def deadlines_that_are_no_whole_microseconds() -> Any:
    loop = asyncio.get_running_loop()
    seen = []
    for third in range(1, 12):
        deadline = loop.time() + 0.01 / third
        while (left := deadline - loop.time()) > 0:
            await asyncio.sleep(left)
        before = loop.time()
        await asyncio.sleep(0.01 / third)
        seen.append(loop.time() - before >= 0.01 / third)
    return seen


async def cancelling_a_cancelled_scope_keeps_the_count() -> Any:
    async def child() -> Any:
        me = asyncio.current_task()
        assert me is not None
        try:
            async with asyncio.timeout(1):
                await asyncio.sleep(10)
        except TimeoutError:
            return me.cancelling()
        return None

    return await asyncio.create_task(child())


async def keyboard_interrupt_caught_within_a_task() -> Any:
    async def child() -> str:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            return "caught"

    return await asyncio.create_task(child())
