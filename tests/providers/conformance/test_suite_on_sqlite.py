"""The SQLite provider passes the whole suite, in memory and on a file (PV-30.7)."""

import asyncio
import dataclasses
import itertools
from functools import partial
from pathlib import Path

import apsw
import pytest

from holdfast.core.contract.clock import IdSource, ProviderClock
from holdfast.core.contract.provider import Provider
from holdfast.core.hosting.instrumented import InstrumentedProvider, Measured
from holdfast.providers.conformance import CHECKS, Factory, run_check
from holdfast.providers.conformance.harness import ImplicitContent
from holdfast.providers.sqlite import SqliteStore, sqlite_store
from holdfast.system import SystemClock


class Measurements:
    """Takes note of every call."""

    def __init__(self) -> None:
        self.calls: list[Measured] = []

    def measured(self, call: Measured) -> None:
        self.calls.append(call)


def measured(provider: Provider) -> Provider:
    """The metrics wrapper, which must change nothing."""
    return InstrumentedProvider(provider, clock=SystemClock(), sink=Measurements())


IN_MEMORY = Factory(create=sqlite_store, long_polling=True, wrap=measured)
REFERENCE = Path(__file__).parents[1] / "sqlite" / "reference_0_2_2.sql"
NAMING: dict[ImplicitContent, str] = {
    "nothing": "",
    "row": "INSERT INTO sessions VALUES ('s', 'A', 1, 1)",
    "event": """
        INSERT INTO history (instance_id, execution_id, event_id, event_type, event_data)
        VALUES ('i', 1, 7, 'ActivityScheduled', '{"event_id":7,"type":"ActivityScheduled","session_id":"s"}')
    """,
    "item": """
        INSERT INTO worker_queue (work_item)
        VALUES ('{"ActivityExecute":{"instance":"i","execution_id":1,"id":2,"session_id":"s"}}')
    """,
}


class ImplicitFile:
    """A database file of the reference, whose session table has the shape of release 0.1.26 (PV-27.1)."""

    def __init__(self, path: Path, clock: ProviderClock, ids: IdSource, content: ImplicitContent) -> None:
        self.path, self.clock, self.ids = path, clock, ids
        connection = apsw.Connection(str(path))
        connection.execute(REFERENCE.read_text().replace("'p'", "'i'").replace('"p"', '"i"'))
        connection.execute("DELETE FROM worker_queue")
        connection.execute(NAMING[content])
        connection.close()

    def open(self) -> Provider:
        return sqlite_store(self.clock, self.ids, path=self.path).open()

    def contents(self) -> object:
        return self.path.read_bytes()

    def close(self) -> None:
        return None


def on_files(folder: Path) -> Factory:
    """A factory whose every store is a file of its own."""
    numbers = itertools.count()

    def create(clock: ProviderClock, ids: IdSource) -> SqliteStore:
        return sqlite_store(clock, ids, path=folder / f"{next(numbers)}.db")

    def implicit(clock: ProviderClock, ids: IdSource, content: ImplicitContent) -> ImplicitFile:
        return ImplicitFile(folder / f"implicit-{content}.db", clock, ids, content)

    return Factory(create=create, long_polling=True, durable=True, implicit_store=implicit)


def holds(factory: Factory, id: str) -> None:
    result = asyncio.run(run_check(factory, CHECKS[id]))
    if result.outcome == "skipped":
        pytest.skip(result.detail)
    assert result.outcome == "held", f"{id} {CHECKS[id].name}: {result.detail}"


@pytest.mark.parametrize("id", CHECKS)
def test_sqlite_in_memory_holds(id: str) -> None:
    """PV-30.7, and the clauses that the check's data name."""
    holds(IN_MEMORY, id)


@pytest.mark.parametrize("id", [id for id, check in CHECKS.items() if check.polling == "short"])
def test_sqlite_holds_as_a_short_polling_provider(id: str) -> None:
    """PV-23.2, PV-23.3: for programs that do the waiting themselves."""
    holds(Factory(create=partial(sqlite_store, long_polling=False)), id)


@pytest.mark.parametrize("id", CHECKS)
def test_sqlite_on_a_file_holds(id: str, tmp_path: Path) -> None:
    """PV-30.1 to PV-30.9, and the clauses that the check's data name."""
    holds(dataclasses.replace(on_files(tmp_path), rounds=20), id)
