"""What must not be in a file, or come of a statement: told by name, and rolled back."""

import asyncio
from pathlib import Path

import apsw
import pytest

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import Millis
from holdfast.providers.conformance.harness import CountingIds, SteppedClock
from holdfast.providers.conformance.messages import activity
from holdfast.providers.sqlite import sqlite_store
from holdfast.providers.sqlite.database import Database, Transaction
from holdfast.providers.sqlite.work import SQL

LOCK = Millis(5_000)


def database() -> Database:
    connection = apsw.Connection(":memory:")
    connection.execute("CREATE TABLE worker_queue (id INTEGER PRIMARY KEY, locked_until INTEGER)")
    return Database(connection, lambda: Millis(0), CountingIds())


def test_an_update_that_must_touch_a_row_and_touches_none_is_told_and_rolled_back() -> None:
    opened = database()

    def effect(transaction: Transaction) -> None:
        transaction.execute("INSERT INTO worker_queue (id) VALUES (1)")
        transaction.change_one(SQL["extend_work"], {"id": 2, "locked_until": 10})

    with pytest.raises(AssertionError, match=r"renew must touch one row and touches 0: .*'id': 2"):
        opened.write("renew", [], effect)
    assert opened.connection.execute("SELECT count(*) FROM worker_queue").fetchall() == [(0,)]
    opened.close()


def test_rows_that_were_not_stored_are_told() -> None:
    opened = database()
    statement = "INSERT OR IGNORE INTO worker_queue (id) VALUES (:id)"
    with pytest.raises(AssertionError, match="enqueue must store 2 rows and stores 1"):
        opened.write("enqueue", [], lambda work: work.insert(statement, [{"id": 1}, {"id": 1}]))
    opened.close()


def test_a_row_with_half_a_lock_is_refused_to_its_token_and_delivered_again(path: Path) -> None:
    """PV-11.2: only another program can have written it, so it is an error of the call, not an assertion."""

    async def story() -> None:
        store = sqlite_store(SteppedClock(), CountingIds(), path=path)
        provider = store.open()
        await provider.enqueue_for_worker(activity(1))
        held = await provider.fetch_work_item(LOCK, Millis(0))
        assert held is not None
        other = apsw.Connection(str(path))
        other.execute("UPDATE worker_queue SET locked_until = NULL")
        other.close()
        with pytest.raises(ProviderError, match="the lock on the work item expired"):
            await provider.renew_work_item_lock(held.token, extend_for=LOCK)
        again = await provider.fetch_work_item(LOCK, Millis(0))
        assert again is not None and again.attempt_count == 2
        store.close()

    asyncio.run(story())
