"""A conversation whose activities keep what they heard in the memory of their process.

The session keeps all turns on one worker. When that worker dies another one takes over, with empty memory:
the activity says so, and the orchestration, whose history is durable, tells it again what was said.
"""

import asyncio
import json

from holdfast import ActivityContext, OrchestrationContext, Registry

COLD = "cold"


def make_registry(name: str = "worker", seconds_per_turn: float = 0.0) -> Registry:
    """What one worker process runs; `memory` lives as long as the process."""
    memory: dict[str | None, list[str]] = {}
    registry = Registry()

    @registry.orchestration("converse")
    async def converse(ctx: OrchestrationContext, input: str) -> str:
        lines: list[str] = json.loads(input)
        session = ctx.open_session()
        answers: list[str] = []
        for count, line in enumerate(lines):
            turn = json.dumps([count, line])
            answer = await ctx.schedule_activity_on_session("say", turn, session)
            while answer == COLD:
                await ctx.schedule_activity_on_session("remember", json.dumps(lines[:count]), session)
                answer = await ctx.schedule_activity_on_session("say", turn, session)
            answers.append(answer)
        ctx.close_session(session)
        return " ".join(answers)

    @registry.activity("say")
    async def say(ctx: ActivityContext, input: str) -> str:
        count, line = json.loads(input)
        heard = memory.setdefault(ctx.session_id, [])
        if len(heard) < count:
            print(f"{name}: I have heard {len(heard)} of {count} lines", flush=True)
            return COLD
        await asyncio.sleep(seconds_per_turn)
        heard[count:] = [line]  # a repeated turn must not be heard twice
        print(f"{name}: heard {line!r}", flush=True)
        return f"{len(heard)}:{line}"

    @registry.activity("remember")
    async def remember(ctx: ActivityContext, input: str) -> str:
        memory[ctx.session_id] = json.loads(input)
        print(f"{name}: told again what was said", flush=True)
        return "warm"

    return registry
