"""A file of ours that lacks something, and a path that names no file, are refused on opening."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NoReturn

import apsw
import pytest

from holdfast.core.contract.errors import ConfigurationError, ProviderError
from holdfast.providers.conformance.harness import CountingIds, SteppedClock
from holdfast.providers.sqlite import sqlite_store

TABLES = [
    "instances",
    "executions",
    "history",
    "orchestrator_queue",
    "worker_queue",
    "instance_locks",
    "sessions",
    "kv_store",
    "kv_delta",
]


@pytest.mark.parametrize("table", TABLES)
def test_pv_28_11_a_file_that_lacks_a_table_is_refused_and_named(
    tmp_path: Path, clock: SteppedClock, ids: CountingIds, table: str
) -> None:
    """PV-28.11: at once, before anything is written."""
    path = tmp_path / "store.db"
    sqlite_store(clock, ids, path=path).close()
    connection = apsw.Connection(str(path))
    connection.execute(f"DROP TABLE {table}")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(ProviderError, match=rf"store\.db lacks table {table}; ") as refused:
        sqlite_store(clock, ids, path=path)
    assert not refused.value.retryable
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("instances", "custom_status"),
        ("executions", "output"),
        ("history", "event_data"),
        ("orchestrator_queue", "work_item"),
        ("worker_queue", "claimed_by"),
        ("kv_delta", "value"),
    ],
)
def test_pv_28_11_a_file_that_lacks_a_column_is_refused_and_named(
    tmp_path: Path, clock: SteppedClock, ids: CountingIds, table: str, column: str
) -> None:
    """PV-28.11."""
    path = tmp_path / "store.db"
    sqlite_store(clock, ids, path=path).close()
    connection = apsw.Connection(str(path))
    connection.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    connection.close()
    with pytest.raises(ProviderError, match=rf"store\.db lacks column {table}\.{column}; ") as refused:
        sqlite_store(clock, ids, path=path)
    assert not refused.value.retryable


def test_what_a_file_has_beyond_the_tables_does_no_harm(
    tmp_path: Path, clock: SteppedClock, ids: CountingIds
) -> None:
    path = tmp_path / "store.db"
    sqlite_store(clock, ids, path=path).close()
    connection = apsw.Connection(str(path))
    connection.execute("ALTER TABLE history ADD COLUMN note TEXT; CREATE TABLE notes (text TEXT)")
    connection.close()
    sqlite_store(clock, ids, path=path).close()


class NoPath:
    def __fspath__(self) -> NoReturn:
        raise RuntimeError("no path")


class BytesPath:
    def __fspath__(self) -> bytes:
        return b"store.db"


@pytest.mark.parametrize(
    "path",
    ["", ":memory:", 5, 1.5, True, b"store.db", object(), NoPath(), BytesPath(), "a\0b", "a\ud800b", []],
)
def test_what_is_no_path_is_refused_by_name(path: Any, clock: SteppedClock, ids: CountingIds) -> None:
    with pytest.raises(ConfigurationError, match=r"^path "):
        sqlite_store(clock, ids, path=path)


@pytest.mark.parametrize("timeout", [-1, 1.5, None, "1", True, 2**31])
def test_a_timeout_that_sqlite_cannot_take_is_refused_by_name(
    tmp_path: Path, timeout: Any, clock: SteppedClock, ids: CountingIds
) -> None:
    with pytest.raises(ConfigurationError, match=r"^busy_timeout "):
        sqlite_store(clock, ids, path=tmp_path / "store.db", busy_timeout=timeout)
    assert not (tmp_path / "store.db").exists()


@pytest.mark.parametrize("kind", ["folder", "missing folder", "no database", "a folder in the way"])
def test_a_path_of_something_else_is_a_permanent_error_that_names_it(
    tmp_path: Path, kind: str, clock: SteppedClock, ids: CountingIds
) -> None:
    path = tmp_path / "store.db"
    match kind:
        case "folder":
            path.mkdir()
        case "missing folder":
            path = tmp_path / "missing" / "store.db"
        case "no database":
            path.write_text("this is no database" * 100)
        case _:
            (tmp_path / "file").write_text("")
            path = tmp_path / "file" / "store.db"
    with pytest.raises(ProviderError, match=r"store\.db ") as refused:
        sqlite_store(clock, ids, path=path)
    assert not refused.value.retryable
