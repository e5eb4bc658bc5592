"""Matrix section 31, what is stored: the shape of the tables, the names in them, and an older database."""

from __future__ import annotations

from typing import Final

from holdfast.core.contract import events
from holdfast.core.contract.codec import encode_event, encode_work_item
from holdfast.core.contract.ids import Millis
from holdfast.core.contract.store import SessionRecord, WorkerRow, inspectable
from holdfast.core.contract.work_items import QueueMessage
from holdfast.properties.matrix.parts.turns_by_hand import (
    AT_ONCE,
    ITEM_LOCK,
    D,
    begin,
    event,
    fetched,
    further_turn,
    held_now,
    ids,
    item,
    items,
    note,
    records,
    sessions_named,
    turn_of,
)
from holdfast.sim.toolkit.bench import Bench
from holdfast.sim.toolkit.scenario import scenario

SESSION_COLUMNS: Final = {
    "instance_id": "text",
    "session_id": "text",
    "worker_id": "text",
    "locked_until": "integer",
}


@scenario(covers=["31.1", "SS-10.1", "SS-10.3", "SS-10.5", "SS-10.6", "SS-10.8"], workers=0, level="provider")
async def schema_shape(bench: Bench) -> None:
    """Tables, columns, key and indexes are as described."""
    shapes = inspectable(bench.store, "table_shapes").table_shapes()
    sessions, queue = shapes["sessions"], shapes["worker_queue"]
    assert sessions.key == ("instance_id", "session_id"), sessions
    assert sessions.columns == SESSION_COLUMNS, f"no duration, no flag, nothing else: {sessions.columns}"
    assert sessions.nullable == frozenset({"worker_id", "locked_until"}), sessions
    for column, kind in (("session_id", "text"), ("claimed_by", "text"), ("locked_until", "integer")):
        assert queue.columns.get(column) == kind, (column, queue)
    for column in ("session_id", "claimed_by"):
        assert column in queue.nullable, (column, queue)
    if sessions.lookups is not None and queue.lookups is not None:
        assert ("worker_id",) in sessions.lookups and ("locked_until",) in sessions.lookups, sessions
        assert ("instance_id", "session_id") in queue.lookups, queue
    await begin(bench.provider, opened=sessions_named("s"), work=[item(2, "s")])
    await fetched(bench.provider, "A")
    now = bench.clock.now_ms()
    times = [records(bench)[0].locked_until, items(bench)[0].locked_until, items(bench)[0].visible_from]
    assert times == [now + D, now + ITEM_LOCK, now], times
    assert all(type(time) is int for time in times), times


@scenario(covers=["31.7", "SS-1.4"], workers=0, level="provider")
async def no_state_stored(bench: Bench) -> None:
    """Nothing but identity, owner and expiry is stored."""
    provider = bench.provider
    assert inspectable(bench.store, "table_shapes").table_shapes()["sessions"].columns == SESSION_COLUMNS
    await begin(provider, opened=sessions_named("s"), work=[item(2, "s"), item(3, "s")])
    first = await fetched(provider, "A")
    counts, history = inspectable(bench.store, "raw_counts").raw_counts(), await provider.read("i")
    queued = [row for row in items(bench) if row.item == item(3, "s")]
    bench.clock.advance(D)
    await provider.ack_work_item((await fetched(bench.open(), "B")).token)
    assert first.item == item(2, "s")
    assert records(bench) == [held_now(bench, "B")], records(bench)
    after = inspectable(bench.store, "raw_counts").raw_counts()
    assert after == {**counts, "worker_queue": counts["worker_queue"] - 1}, (counts, after)
    assert await provider.read("i") == history, "a take-over wrote history"
    assert items(bench) == queued, "a take-over touched another item"


@scenario(covers=["31.3", "SS-10.7", "SS-11.4"], level="provider")
async def upgrade_in_place(bench: Bench) -> None:
    """An older database keeps working."""
    await begin(bench.provider, work=[item(2), item(3)])
    await begin(bench.provider, "j", work=[item(2, None, "j")])
    scheduled = event(events.ActivityScheduled, 2, name="x", input="")
    await further_turn(bench.provider, "i", scheduled, note(3))
    running = await bench.provider.fetch_work_item(ITEM_LOCK, AT_ONCE)
    assert running is not None and b"session_id" not in encode_work_item(running.item), running
    histories = [await bench.provider.read(instance) for instance in ("i", "j")]
    seqs = [row.seq for row in items(bench)]
    inspectable(bench.store, "age").age()

    provider = bench.open()
    assert [await provider.read(instance) for instance in ("i", "j")] == histories
    assert [row.session_id for row in items(bench)] == [None, None, None], items(bench)
    assert [row.seq for row in items(bench)] == seqs and records(bench) == [], items(bench)
    assert (await fetched(provider, "A")).item == item(3)
    plain = await provider.fetch_work_item(ITEM_LOCK, AT_ONCE)
    assert plain is not None and plain.item == item(2, None, "j"), plain
    bench.clock.advance(ITEM_LOCK)
    again = await fetched(provider, "A")
    assert (again.item, again.attempt_count) == (item(2), 2), again
    await provider.ack_work_item(again.token)
    await further_turn(provider, "i", note(4), opened=sessions_named("s"), work=[item(5, "s"), item(6)])
    history = await provider.read("i")
    assert [one.event_id for one in history] == [1, 2, 3, 4], history
    (kept,) = (one for one in history if isinstance(one, events.ActivityScheduled))
    assert kept == scheduled and kept.session_id is None and b"session_id" not in encode_event(kept), kept
    assert records(bench) == [SessionRecord("i", "s", None, None)], records(bench)
    assert ids(bench) == [("i", 3), ("j", 2), ("i", 5), ("i", 6)], items(bench)
    for expected in (item(3), item(2, None, "j"), item(5, "s"), item(6)):
        assert (await fetched(provider, "A")).item == expected
    assert records(bench) == [held_now(bench, "A")], records(bench)
    assert [row.claimed_by for row in items(bench)] == [None, None, "A", None], items(bench)


def _without_rank(row: WorkerRow) -> WorkerRow:
    return row._replace(seq=0, visible_from=0)


@scenario(covers=["31.4", "SS-10.4"], level="provider")
async def direct_enqueue_fills_column(bench: Bench) -> None:
    """Direct enqueueing and ack write the same columns."""
    provider = bench.provider
    kinds = [item(2, "s"), item(3), item(4, "t", tag="gpu"), item(5, None, tag="gpu")]
    await begin(provider, opened=sessions_named("s", "t"), work=kinds)
    by_ack = items(bench)
    bench.clock.advance(1_000)
    for one in kinds:
        await provider.enqueue_for_worker(one)
    direct = items(bench)[len(kinds) :]
    assert [_without_rank(row) for row in direct] == [_without_rank(row) for row in by_ack], (by_ack, direct)
    for rows in (by_ack, direct):
        assert [row.session_id for row in rows] == ["s", None, "t", None], rows
        assert [row.item for row in rows] == kinds, rows
    assert [row.visible_from - 1_000 for row in direct] == [row.visible_from for row in by_ack]
    assert [row.seq for row in (*by_ack, *direct)] == sorted(row.seq for row in (*by_ack, *direct))


@scenario(covers=["31.10", "SS-11.1"], workers=0, level="provider")
async def event_type_names(bench: Bench) -> None:
    """Events are stored under their names."""
    provider = bench.provider
    delta = [
        event(events.SessionOpened, 2, session_id="s"),
        event(events.ActivityScheduled, 3, name="x", input="", session_id="s"),
        event(events.SessionClosed, 4, session_id="s"),
    ]
    await begin(provider)
    await further_turn(provider, "i", *delta, opened=sessions_named("s"), closed=sessions_named("s"))
    await provider.append_with_execution("i", 1, [event(events.SessionOpened, 5, session_id="u")])
    names = ["SessionOpened", "ActivityScheduled", "SessionClosed"]
    stored = inspectable(bench.store, "event_types").event_types("i")
    assert stored == ["OrchestrationStarted", *names, "SessionOpened"], stored
    assert (await provider.read("i"))[1:4] == delta, "they are read as they were written"
    await provider.enqueue_for_orchestrator(QueueMessage(instance="i", name="go", data=""))
    turn = await turn_of(provider, lock=Millis(1_000))
    assert list(turn.item.history)[1:4] == delta, turn
