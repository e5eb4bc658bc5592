"""One worker process: `python worker.py FILE NAME`. Ends gracefully on SIGTERM."""

import asyncio
import signal
import sys
from datetime import timedelta

from conversation import make_registry

from holdfast import Runtime, RuntimeOptions
from holdfast.providers.sqlite import sqlite_store
from holdfast.system import SystemClock, SystemIds, provider_clock

OPTIONS = {
    "session_lock_duration": timedelta(seconds=1.5),
    "worker_lock_timeout": timedelta(seconds=1),
    "orchestrator_lock_timeout": timedelta(seconds=1),
}


async def work(path: str, name: str) -> None:
    """Serve the file until told to stop."""
    store = sqlite_store(provider_clock, SystemIds(), path=path)
    options = RuntimeOptions(worker_node_id=name, **OPTIONS)
    registry = make_registry(name, seconds_per_turn=0.3)
    runtime = Runtime(store.open(), registry, options, clock=SystemClock(), ids=SystemIds())
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    await runtime.start()
    await stopped.wait()
    await runtime.shutdown()
    store.close()


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1], sys.argv[2]))
