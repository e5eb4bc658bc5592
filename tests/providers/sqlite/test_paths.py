"""Whatever a path looks like, it is the path of one file."""

import asyncio
import os
from pathlib import Path

import apsw
import pytest

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import Millis
from holdfast.providers.conformance.harness import CountingIds, SteppedClock
from holdfast.providers.conformance.messages import activity
from holdfast.providers.sqlite import sqlite_store

ODD_NAMES = [
    "with space.db",
    "what?mode=ro",
    "immutable?immutable=1",
    "hash#fragment.db",
    "percent%20%00.db",
    "new\nline.db",
    "tab\tand\\backslash",
    "quote'\"quote",
    "semi;colon&ampersand",
    "umläut-日本語-🗄.db",
    "-leading-dash",
    ".hidden",
    "x" * 200,
    "name-wal",
    "name-journal",
    "file:relative.db",
    "file:memory?mode=memory",
    ":memory",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_name_is_taken_as_it_is(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: SteppedClock, ids: CountingIds
) -> None:
    """Not as a URI, not with escapes; alone, as a relative path and in a folder of that name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder" / name).mkdir(parents=True)
    for path in (name, tmp_path / "folder" / name / name):
        store = sqlite_store(clock, ids, path=path)
        asyncio.run(store.open().enqueue_for_worker(activity()))
        store.close()
        again = sqlite_store(clock, ids, path=os.path.abspath(path))
        assert len(again.worker_rows()) == 1
        again.close()
    assert {each.name for each in tmp_path.iterdir()} == {name, "folder"}
    assert [each.name for each in (tmp_path / "folder" / name).iterdir()] == [name]


def test_a_file_and_a_link_to_it_are_one_store(tmp_path: Path, clock: SteppedClock, ids: CountingIds) -> None:
    """SQLite keeps the log beside the file, whichever name it was opened by."""
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "link.db"
    link.symlink_to("../store.db")
    by_link = sqlite_store(clock, ids, path=link)
    by_name = sqlite_store(clock, ids, path=tmp_path / "store.db")
    asyncio.run(by_link.open().enqueue_for_worker(activity()))
    assert len(by_name.worker_rows()) == 1
    assert [each.name for each in (tmp_path / "links").iterdir()] == ["link.db"]
    by_link.close()
    by_name.close()


def test_a_link_that_leads_nowhere_is_one_clear_error(
    tmp_path: Path, clock: SteppedClock, ids: CountingIds
) -> None:
    """Into a folder that does not exist."""
    link = tmp_path / "link.db"
    link.symlink_to(tmp_path / "nowhere" / "store.db")
    with pytest.raises(ProviderError, match="cannot be opened") as caught:
        sqlite_store(clock, ids, path=link)
    assert str(link) in caught.value.message


def test_a_file_that_others_lock_for_long_is_a_retryable_error_at_opening(
    path: Path, clock: SteppedClock, ids: CountingIds
) -> None:
    """PV-30.4: locked as by a backup or a VACUUM, before and after the store was made."""
    store = sqlite_store(clock, ids, path=path, busy_timeout=Millis(1))
    other = apsw.Connection(str(path))
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(ProviderError, match="Busy") as caught:
        asyncio.run(store.open().enqueue_for_worker(activity()))
    assert caught.value.retryable
    store.close()
    other.execute("ROLLBACK")
    other.pragma("journal_mode", "delete")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(ProviderError, match="stayed busy") as caught:
        sqlite_store(clock, ids, path=path, busy_timeout=Millis(1))
    assert caught.value.retryable
    assert str(path) in caught.value.message
    other.close(True)
