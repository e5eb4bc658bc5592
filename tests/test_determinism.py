"""Determinism is sacred: one seed, one digest, in every process, under every hash seed, on every provider."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

PROGRAM = """
import json
from datetime import timedelta

from holdfast.campaign.providers import find_provider
from holdfast.core import Registry
from holdfast.sim import FaultBudget, RandomWalk, World, run_schedule, scenario
from holdfast.traces.digest import Digest


def conversation():
    registry = Registry()

    @registry.orchestration("conversation")
    async def conversation(ctx, input):
        first, second = ctx.open_session(), ctx.open_session_with_id("mine")
        said = await ctx.join(
            *(ctx.schedule_activity_on_session("say", name, session)
              for name in ("a", "b") for session in (first, second)),
            ctx.schedule_activity("say", "plain"),
        )
        ctx.close_session(first)
        return "".join(map(str, said))

    @registry.activity("say")
    async def say(ctx, input):
        return input + str(ctx.session_id)

    return registry


@scenario(
    covers=["5.1"], workers=2, register=False, options={"session_lock_duration": timedelta(seconds=60)},
    faults=FaultBudget(crash=1, stall=1, lost_answer=1, refused=1, duplicate=1, provider_clock=1),
)
async def busy(world: World):
    for name in ("a", "b"):
        world.worker(name, conversation)
    await world.client.start_orchestration("i", "conversation")
    await world.finished("i")


found = {}
for name in ("memory", "sqlite"):
    strategy = RandomWalk(SEED)
    for schedule in range(12):
        strategy.begin(schedule)
        run = run_schedule(busy, find_provider(name).factory, strategy, full=True)
        assert run.error is None, run.error
        lines = Digest()
        found[f"{name} {schedule}"] = [run.digest, run.fingerprint, [lines.line(one) for one in run.commits]]
print(json.dumps(found))
"""


def digests(hash_seed: str, seed: int = 7) -> dict[str, list[object]]:
    """Digest, fingerprint and commits of some schedules, by provider and number, from a fresh process."""
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    program = PROGRAM.replace("SEED", str(seed))
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    made: dict[str, list[object]] = json.loads(done.stdout)
    return made


def test_twenty_processes_with_different_hash_seeds_give_the_same_digests() -> None:
    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(digests, [*map(str, range(18)), "4294967295", "random"]))
    assert all(run == runs[0] for run in runs)


def test_memory_and_sqlite_give_the_same_commits() -> None:
    found = digests("0")
    for schedule in range(12):
        assert found[f"memory {schedule}"] == found[f"sqlite {schedule}"], f"schedule {schedule}"


def test_another_seed_gives_other_digests() -> None:
    assert digests("0", seed=7) != digests("0", seed=8)
