"""An upgrade of an older file that fails, wherever it does, leaves the file byte for byte."""

import itertools
import random
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest
from tests.providers.sqlite.disk import Change, disk_in_place
from tests.providers.sqlite.test_files import execute, fill_reference

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import Millis
from holdfast.providers.conformance.harness import CountingIds, SteppedClock
from holdfast.providers.sqlite import opening, sqlite_store

Spawn = Callable[..., "subprocess.Popen[str]"]


def large_reference(path: Path) -> None:
    """A file of the reference with more to rewrite than SQLite keeps in memory, so that it writes early."""
    fill_reference(path)
    execute(
        path,
        "WITH RECURSIVE n (n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM n WHERE n < 3000)"
        " INSERT INTO history (instance_id, execution_id, event_id, event_type, event_data)"
        " SELECT 'i', 1, n, 'Note', printf('%.*c', 1500, 'x') FROM n",
    )


def logged_reference(path: Path) -> None:
    """A file of the reference in WAL mode."""
    fill_reference(path)
    execute(path, "PRAGMA journal_mode = wal")


def emptied_by_hand(path: Path) -> None:
    """Tables of the reference without a row."""
    fill_reference(path)
    for table in ("instances", "executions", "history", "orchestrator_queue", "worker_queue"):
        execute(path, f"DELETE FROM {table}")


def everything_beside(path: Path) -> dict[str, bytes]:
    """The file, and what stands beside it and holds something."""
    found = {each.name: each.read_bytes() for each in path.parent.iterdir()}
    return {name: content for name, content in found.items() if content}


@contextmanager
def failing_statement(number: int, error: Exception) -> Iterator[list[str]]:
    """Every new connection fails at its nth statement."""
    seen: list[str] = []

    def hook(connection: apsw.Connection) -> None:
        def trace(_: Any, statement: str, __: Any) -> bool:
            seen.append(statement)
            if len(seen) == number:
                raise error
            return True

        connection.exec_trace = trace

    apsw.connection_hooks.append(hook)
    try:
        yield seen
    finally:
        apsw.connection_hooks.remove(hook)


def open_once(path: Path) -> None:
    sqlite_store(SteppedClock(), CountingIds(), path=path, busy_timeout=Millis(20)).close()


@pytest.mark.parametrize("make", [fill_reference, logged_reference, emptied_by_hand])
def test_an_upgrade_that_fails_at_any_statement_changes_no_byte(
    make: Callable[[Path], None], path: Path
) -> None:
    """PV-28.11: and when the cause is gone it succeeds."""
    make(path)
    before = everything_beside(path)
    for number in itertools.count(1):
        with failing_statement(number, apsw.IOError("made for this test")) as seen:
            try:
                open_once(path)
            except ProviderError as error:
                assert str(path) in error.message
        if "COMMIT" in seen[:-1]:
            break  # what failed came after the upgrade
        assert everything_beside(path) == before, f"statement {number}: {seen[-1]}"
    assert number > 40, "every statement of the upgrade was tried"
    open_once(path)
    assert execute(path, "PRAGMA user_version") == [(opening.SCHEMA_VERSION,)]


@pytest.mark.parametrize("make", [fill_reference, logged_reference, large_reference])
def test_a_disk_that_is_full_at_any_write_of_the_upgrade_changes_no_byte(
    make: Callable[[Path], None], path: Path
) -> None:
    """PV-4.5: retryable; the large one is written to before it is committed, and taken back."""
    make(path)
    before = everything_beside(path)
    counted = 0

    def full_from(first: int) -> Callable[[Change], None]:
        def refuse(change: Change) -> None:
            nonlocal counted
            if change.kind == "write":
                counted += 1
                # What is there may be written over; what would grow may not.
                if counted >= first and (change.file != path.name or change.offset >= len(before[path.name])):
                    raise apsw.FullError("made for this test")

        return refuse

    step = 1 if make is not large_reference else 397
    for first in itertools.count(1, step):
        counted = 0
        with disk_in_place(full_from(first)) as disk:
            try:
                open_once(path)
                break
            except ProviderError as error:
                assert error.retryable
                assert str(path) in error.message
        if any(change.file.endswith("-journal") and change.kind == "delete" for change in disk.changes) and (
            execute(path, "PRAGMA user_version") == [(opening.SCHEMA_VERSION,)]
        ):
            break  # what failed came after the upgrade
        assert everything_beside(path) == before, f"full from write {first} on"
    assert first > 5
    open_once(path)
    assert execute(path, "PRAGMA integrity_check") == [("ok",)]


def test_an_upgrade_that_others_lock_out_changes_no_byte(path: Path) -> None:
    """PV-30.4: retryable."""
    fill_reference(path)
    before = everything_beside(path)
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(ProviderError, match="busy") as caught:
        open_once(path)
    assert caught.value.retryable
    other.close(True)
    assert everything_beside(path) == before


def test_an_upgrade_that_a_reader_keeps_from_committing_changes_no_byte(path: Path) -> None:
    """With a rollback journal a commit waits for readers."""
    fill_reference(path)
    before = everything_beside(path)
    other = apsw.Connection(str(path))
    reading = other.execute("SELECT * FROM instances UNION ALL SELECT * FROM instances")
    next(reading)
    with pytest.raises(ProviderError, match="busy") as caught:
        open_once(path)
    assert caught.value.retryable
    reading.close()
    other.close(True)
    assert everything_beside(path) == before
    open_once(path)


def test_a_refused_file_keeps_the_log_that_others_left(path: Path) -> None:
    """PV-27.10: a log with something in it is copied into the file by whoever closes it last; not by us."""
    fill_reference(path)
    execute(path, "PRAGMA journal_mode = wal")
    writer = apsw.Connection(str(path))
    writer.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    writer.execute("CREATE TABLE songs (title TEXT); PRAGMA application_id = 12345")
    writer.close()
    names = [path, path.with_name(path.name + "-wal")]
    before = [each.read_bytes() for each in names]
    assert before[1]
    with pytest.raises(ProviderError, match="another application"):
        open_once(path)
    assert [each.read_bytes() for each in names] == before


KILLED = """
import itertools, os, signal, sys
import apsw
from holdfast.providers.conformance.harness import CountingIds, SteppedClock
from holdfast.providers.sqlite import sqlite_store
ticks = itertools.count(1)
def tick():
    if next(ticks) == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    return False
apsw.connection_hooks.append(lambda connection: connection.set_progress_handler(tick, 20))
sqlite_store(SteppedClock(), CountingIds(), path=sys.argv[1])
"""


@pytest.mark.parametrize("round_", range(4))
def test_an_upgrade_that_is_killed_changes_no_byte(path: Path, spawn: Spawn, round_: int) -> None:
    """PV-28.5: whatever was under way, no table was changed, and the next opening goes through."""
    make = (fill_reference, logged_reference)[round_ % 2]
    make(path)
    before = path.read_bytes()
    child = spawn(KILLED, path, random.Random(round_).randint(20, 160))
    child.communicate()
    assert child.returncode == -signal.SIGKILL
    assert path.read_bytes() == before
    open_once(path)
    assert execute(path, "PRAGMA user_version") == [(opening.SCHEMA_VERSION,)]
