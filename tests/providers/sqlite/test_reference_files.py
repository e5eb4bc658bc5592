"""Files of the reference: adopted unless a session of theirs is in use (PV-27.10)."""

import asyncio
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import apsw
import pytest

from holdfast import ActivityContext, Client, OrchestrationContext, Registry, Runtime
from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import Millis
from holdfast.providers.conformance.harness import CountingIds, SteppedClock
from holdfast.providers.sqlite import sqlite_store
from holdfast.system import SystemClock, SystemIds, provider_clock

Spawn = Callable[..., "subprocess.Popen[str]"]

REFERENCE = Path(__file__).with_name("reference_0_2_2.sql").read_text()
BUSY = Millis(60_000)

EVENT = """
INSERT INTO history (instance_id, execution_id, event_id, event_type, event_data)
VALUES ('q', 1, 2, 'ActivityScheduled', '{"event_id":2,"type":"ActivityScheduled","session_id":%s}')
"""
ITEM = """
INSERT INTO worker_queue (work_item)
VALUES ('{"ActivityExecute":{"instance":"q","execution_id":1,"id":2,"name":"a","input":"","session_id":%s}}')
"""


def make(path: Path, *statements: str) -> None:
    connection = apsw.Connection(str(path))
    for each in (REFERENCE, *statements):
        connection.execute(each)
    connection.close()


def tables(path: Path) -> dict[str, str]:
    with apsw.Connection(str(path)) as connection:
        return dict(connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'table'"))


@pytest.mark.parametrize(
    ("statements", "mentions"),
    [
        pytest.param(["INSERT INTO sessions VALUES ('s', 'w', 1, 1)", EVENT % '"s"'], "'q'", id="row, event"),
        pytest.param(["INSERT INTO sessions VALUES ('s', 'w', 1, 1)"], "'p'", id="row alone"),
        pytest.param([EVENT % '"s"'], "'q'", id="event"),
        pytest.param([EVENT % '""'], "'q'", id="event with the empty text"),
        pytest.param([ITEM % '"s"'], "'q'", id="item"),
        pytest.param(
            [
                "INSERT INTO worker_queue (work_item, instance_id, session_id) VALUES ('not JSON', 'q', 's')",
            ],
            "'q'",
            id="row of an item that cannot be decoded",
        ),
        pytest.param(
            [
                "CREATE TEMP TABLE t AS SELECT 1",
                "INSERT INTO history (instance_id, execution_id, event_id, event_type, event_data) "
                "VALUES ('x', 1, 1, 'Damaged', 'not JSON')",
                EVENT % '"s"',
            ],
            "'q'",
            id="event behind one that cannot be decoded",
        ),
    ],
)
def test_pv_27_10_a_file_with_sessions_in_use_is_refused_and_keeps_every_byte(
    statements: list[str], mentions: str, path: Path
) -> None:
    """The error is permanent and names the table and an instance."""
    make(path, *statements)
    before = path.read_bytes()
    with pytest.raises(ProviderError) as caught:
        sqlite_store(SteppedClock(), CountingIds(), path=path)
    assert path.read_bytes() == before
    assert sorted(each.name for each in path.parent.iterdir()) == [path.name]
    assert not caught.value.retryable
    assert "'sessions'" in caught.value.message
    assert f"instance {mentions}" in caught.value.message


@pytest.mark.parametrize(
    "statements",
    [
        pytest.param([], id="as the reference leaves it"),
        pytest.param([EVENT % "null", ITEM % "null"], id="events and items that name none"),
        pytest.param(["DROP TABLE sessions"], id="from before sessions"),
        pytest.param(
            ["""INSERT INTO worker_queue (work_item) VALUES ('text with "session_id":"s" in it')"""],
            id="a text that only mentions one",
        ),
    ],
)
def test_pv_27_10_a_file_without_sessions_is_adopted(statements: list[str], path: Path) -> None:
    """The table is replaced by ours, in the same transaction as everything else; what is stored stays."""
    make(path, *statements)
    store = sqlite_store(SteppedClock(), CountingIds(), path=path)
    assert store.session_records() == []
    assert store.raw_counts()["history"] == 6 + any("history" in each for each in statements)
    store.close()
    assert "instance_id" in tables(path)["sessions"]
    sqlite_store(SteppedClock(), CountingIds(), path=path).close()


def test_ss_10_7_what_the_reference_began_goes_on_and_what_it_ended_can_be_read(path: Path) -> None:
    """A start that it left in the queue runs, with a session; its completed instance shows its output."""
    make(path)
    registry = Registry()

    @registry.activity("say")
    async def say(ctx: ActivityContext, input: str) -> str:
        return f"hello {input}"

    @registry.orchestration("plain")
    async def plain(ctx: OrchestrationContext, input: str) -> str:
        session = ctx.open_session()
        answer = await ctx.schedule_activity_on_session("say", input, session)
        ctx.close_session(session)
        return answer

    async def body() -> tuple[object, object]:
        store = sqlite_store(provider_clock, SystemIds(), path=path)
        runtime = Runtime(store.open(), registry, clock=SystemClock(), ids=SystemIds())
        client = Client(store.open(), clock=SystemClock())
        await runtime.start()
        ended = [await client.wait_for_orchestration(each, timedelta(seconds=20)) for each in ("p", "h")]
        await runtime.shutdown()
        store.close()
        return getattr(ended[0], "output", ended[0]), getattr(ended[1], "output", ended[1])

    assert asyncio.run(body()) == ('"hi you"', 'hello "you"')


OPENS = """
import sys
from holdfast.providers.sqlite import sqlite_store
from holdfast.system import SystemIds, provider_clock
print("ready", flush=True)
sys.stdin.readline()
try:
    sqlite_store(provider_clock, SystemIds(), path=sys.argv[1]).close()
    print("adopted")
except Exception as error:
    print("refused" if "'sessions'" in str(error) else repr(error))
"""


@pytest.mark.parametrize(("statements", "answer"), [([], "adopted"), ([EVENT % '"s"'], "refused")])
def test_pv_28_11_processes_that_open_a_file_at_once_decide_the_same(
    statements: list[str], answer: str, path: Path, spawn: Spawn
) -> None:
    """Four processes: all adopt it, or all refuse it."""
    make(path, *statements)
    children = [spawn(OPENS, path) for _ in range(4)]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    answers = []
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    for child in children:
        answers.append(child.communicate()[0].strip())
    assert answers == [answer] * 4


def test_pv_27_10_a_session_claimed_between_the_look_and_the_upgrade_is_seen(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The decision is made again under the write lock: a row that another process has put there counts."""
    from holdfast.providers.sqlite import opening

    make(path, "PRAGMA journal_mode = wal")
    upgrade = opening._upgrade

    def upgrade_later(connection: apsw.Connection, path_: str) -> None:
        with apsw.Connection(str(path)) as other:
            other.execute("INSERT INTO sessions VALUES ('s', 'w', 1, 1)")
        upgrade(connection, path_)

    monkeypatch.setattr(opening, "_upgrade", upgrade_later)
    with pytest.raises(ProviderError, match="'sessions'"):
        sqlite_store(SteppedClock(), CountingIds(), path=path)
    assert "instance_id" not in tables(path)["sessions"]
