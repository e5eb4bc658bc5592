"""What the tests of the SQLite provider share: a clock that stands still, counted ids, child processes."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holdfast.providers.conformance.harness import CountingIds, SteppedClock
from holdfast.providers.sqlite import SqliteStore, sqlite_store

Spawn = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def ids() -> CountingIds:
    return CountingIds()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def memory(clock: SteppedClock, ids: CountingIds) -> Iterator[SqliteStore]:
    """An in-memory store."""
    store = sqlite_store(clock, ids)
    yield store
    store.close()


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    """Start Python programs in processes of their own; those still running at the end are killed."""
    children: list[subprocess.Popen[str]] = []

    def start(program: str, *arguments: object) -> "subprocess.Popen[str]":
        child = subprocess.Popen(
            [sys.executable, "-c", program, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": ":".join(filter(None, sys.path))},
        )
        children.append(child)
        return child

    yield start
    for child in children:
        child.kill()
        child.communicate()
