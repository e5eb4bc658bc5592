"""One worker process: `python worker.py STORE EFFECTS`. Ends gracefully on SIGTERM."""

import asyncio
import logging
import sys
from datetime import timedelta
from pathlib import Path

from orders import make_registry

from holdfast import Runtime, RuntimeOptions
from holdfast.providers.sqlite import sqlite_store
from holdfast.system import SystemClock, SystemIds, provider_clock, serve

OPTIONS = RuntimeOptions(
    worker_concurrency=8,
    worker_lock_timeout=timedelta(seconds=1),
    orchestrator_lock_timeout=timedelta(seconds=1),
    max_attempts=1_000,  # a kill is an attempt, and here many are killed
)


async def main(path: str, effects: str) -> None:
    """Serve the file until told to stop."""
    store = sqlite_store(provider_clock, SystemIds(), path=path)
    registry = make_registry(Path(effects))
    await serve(Runtime(store.open(), registry, OPTIONS, clock=SystemClock(), ids=SystemIds()))
    store.close()


if __name__ == "__main__":
    logging.getLogger("holdfast").setLevel(logging.ERROR)  # orders that fail are no news here
    asyncio.run(main(sys.argv[1], sys.argv[2]))
