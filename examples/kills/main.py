"""Orders, three workers, and SIGKILL: `python main.py [SECONDS] [SEED]`. Ends with 1 if anything is lost."""

import asyncio
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

from orders import expected

from holdfast import Client
from holdfast.core.client import Completed, Failed
from holdfast.providers.sqlite import sqlite_store
from holdfast.system import SystemClock, SystemIds, provider_clock

WORKERS = 3
IN_FLIGHT_MAX = 30
PATIENCE = timedelta(seconds=600)


class Workers:
    """Processes on one store, killed and started again."""

    def __init__(self, folder: Path, dice: random.Random) -> None:
        program = str(Path(__file__).with_name("worker.py"))
        self._command = [sys.executable, program, str(folder / "orders.db"), str(folder / "effects")]
        self._errors = (folder / "errors").open("w")
        self._dice = dice
        self._running = [self._start() for _ in range(WORKERS)]
        self.kill_count = 0
        self.ended: list[int] = []

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self._command, stderr=self._errors)

    def kill_one(self) -> None:
        """SIGKILL to one of them, and another in its place."""
        index = self._dice.randrange(WORKERS)
        victim = self._running[index]
        if victim.poll() is not None:
            self.ended.append(victim.returncode)  # by itself: no worker should
        victim.kill()
        victim.wait()
        self.kill_count += 1
        self._running[index] = self._start()

    def stop(self) -> None:
        """SIGTERM to all; one that has only just been started may know nothing of it yet."""
        for worker in self._running:
            worker.terminate()
        told = (0, -signal.SIGTERM)
        self.ended += [code for worker in self._running if (code := worker.wait()) not in told]
        self._errors.close()


async def take_orders(client: Client, seconds: float, waiting: set[asyncio.Task[object]]) -> int:
    """Start orders for so long, a bounded number at a time; returns how many. `waiting` has the open ones."""
    over = time.monotonic() + seconds
    count = 0
    while (left := over - time.monotonic()) > 0:
        if len(waiting) < IN_FLIGHT_MAX:
            count += 1
            await client.start_orchestration(f"order-{count}", "order", str(count))
            ended = client.wait_for_orchestration(f"order-{count}", PATIENCE)
            waiting.add(asyncio.ensure_future(ended))
            await asyncio.sleep(0.02)
        else:
            done, _ = await asyncio.wait(waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            waiting -= done
    return count


async def kill_now_and_then(workers: Workers, dice: random.Random) -> None:
    """Until cancelled. A worker takes half a second to start: some are killed before they have."""
    while True:
        await asyncio.sleep(dice.uniform(0.2, 1.5))
        workers.kill_one()


async def lost(client: Client, count: int, effects: Path) -> list[str]:
    """The orders that came to something else, or whose activities have not all had their effect."""
    done = Counter(tuple(line.split()[:2]) for line in effects.read_text().splitlines())
    wrong = []
    for number in range(1, count + 1):
        status = await client.wait_for_orchestration(f"order-{number}", PATIENCE)
        text = status.output if isinstance(status, Completed) else status.message
        came_to = f"{type(status).__name__} {text}"
        if not isinstance(status, Completed | Failed) or came_to != expected(number):
            wrong.append(f"order {number}: {came_to}, expected {expected(number)}")
        missing = [what for what in ("paid", "packed", "labelled") if not done[what, str(number)]]
        if missing:
            wrong.append(f"order {number}: never {missing}")
    twice = sum(times > 1 for times in done.values())
    print(f"{len(done)} effects, {twice} of them more than once")
    return wrong


async def run(folder: Path, seconds: float, seed: int) -> int:
    """One run; its exit code."""
    store = sqlite_store(provider_clock, SystemIds(), path=str(folder / "orders.db"))
    client = Client(store.open(), clock=SystemClock())
    dice = random.Random(seed)
    workers = Workers(folder, dice)
    killing = asyncio.ensure_future(kill_now_and_then(workers, dice))
    waiting: set[asyncio.Task[object]] = set()
    try:
        count = await take_orders(client, seconds, waiting)
        killing.cancel()  # from here on they are left to finish
        await asyncio.gather(*waiting)
    finally:
        killing.cancel()
        workers.stop()
    wrong = await lost(client, count, folder / "effects")
    wrong += [f"a worker ended by itself, with {code}" for code in workers.ended]
    store.close()
    print(f"{workers.kill_count} kills, {count} orders, {len(wrong) or 'nothing'} lost")
    for line in wrong[:20]:
        print(line)
    if wrong:
        print((folder / "errors").read_text()[-5_000:])
    return 1 if wrong else 0


def main() -> int:
    """Run it in a temporary folder."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 180.0
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1_000_000)
    print(f"{seconds:g} seconds, seed {seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(run(Path(folder), seconds, seed))


if __name__ == "__main__":
    sys.exit(main())
