"""An order: activities of every kind, and a file that tells what they did.

Each of them may be cut off at any instruction and run again, so each does something that may be done twice.
"""

import asyncio
import time
from pathlib import Path

from holdfast import ActivityContext, OrchestrationContext, Registry
from holdfast.core import ActivityError


def expected(number: int) -> str:
    """What an order must come to, whatever is killed on the way."""
    if number % 11 == 0:
        return f"Failed LookupError: order {number} is unknown"
    told = "not told" if number % 3 == 0 or number % 7 == 0 else "told"
    return f"Completed paid {number}, packed {number}, labelled {number}, {told}"


def make_registry(effects: Path) -> Registry:
    """What a worker process runs."""
    registry = Registry()

    def note(what: str, ctx: ActivityContext, number: str) -> str:
        with effects.open("a") as file:
            file.write(f"{what} {number} {ctx.worker_id}\n")  # one short write: it is there whole, or not
        return f"{what} {number}"

    @registry.orchestration("order")
    async def order(ctx: OrchestrationContext, number: str) -> str:
        done = [await ctx.schedule_activity("pay", number)]
        done.append(await ctx.schedule_activity("pack", number))
        done.append(await ctx.schedule_activity("label", number))
        try:
            done.append(await ctx.schedule_activity("tell", number))
        except ActivityError:
            done.append("not told")
        if int(number) % 11 == 0:
            raise LookupError(f"order {number} is unknown")
        return ", ".join(done)

    @registry.activity("pay")
    def pay(ctx: ActivityContext, number: str) -> str:
        return note("paid", ctx, number)

    @registry.activity("pack")
    async def pack(ctx: ActivityContext, number: str) -> str:
        await asyncio.sleep(0.05)
        return note("packed", ctx, number)

    @registry.activity("label")
    def label(ctx: ActivityContext, number: str) -> str:
        time.sleep(0.1)  # blocks its thread, and nothing else
        return note("labelled", ctx, number)

    @registry.activity("tell")
    def tell(ctx: ActivityContext, number: str) -> str:
        if int(number) % 3 == 0:
            raise ConnectionError("no answer")
        if int(number) % 7 == 0:
            return next(iter(()))  # the mistake: nobody to tell
        note("told", ctx, number)
        return "told"

    return registry
