"""Two workers, one conversation; the worker that owns it is killed halfway. `python main.py`"""

import asyncio
import json
import subprocess
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

from holdfast import Client
from holdfast.providers.sqlite import SqliteStore, sqlite_store
from holdfast.system import SystemClock, SystemIds, provider_clock

LINES = ["hello", "it rains", "and it pours", "the sun again", "good night"]
PATIENCE = timedelta(seconds=20)


async def talk(store: SqliteStore, workers: dict[str, subprocess.Popen[bytes]]) -> None:
    """Start the conversation, kill its owner, wait for the end."""
    client = Client(store.open(), clock=SystemClock())
    await client.start_orchestration("chat", "converse", json.dumps(LINES))
    owner = await asyncio.wait_for(owner_after_two_turns(client, store), PATIENCE.total_seconds())
    print(f"{owner} owns the session: kill -9", flush=True)
    workers[owner].kill()
    workers[owner].wait()
    status = await client.wait_for_orchestration("chat", PATIENCE)
    print(f"{type(status).__name__}: {getattr(status, 'output', status)}", flush=True)


async def owner_after_two_turns(client: Client, store: SqliteStore) -> str:
    """Who owns the session, once two activities have completed."""
    while True:
        history = await client.read_history("chat")
        done = sum(type(event).__name__ == "ActivityCompleted" for event in history)
        owners = [record.worker_id for record in store.session_records() if record.worker_id]
        if done >= 2 and owners:
            return owners[0]
        await asyncio.sleep(0.05)


def main() -> None:
    """Run it in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "chat.db")
        store = sqlite_store(provider_clock, SystemIds(), path=path)
        program = str(Path(__file__).with_name("worker.py"))
        workers = {name: subprocess.Popen([sys.executable, program, path, name]) for name in ("ann", "bob")}
        try:
            asyncio.run(talk(store, workers))
        finally:
            for worker in workers.values():
                worker.terminate()
                worker.wait()
            store.close()


if __name__ == "__main__":
    main()
