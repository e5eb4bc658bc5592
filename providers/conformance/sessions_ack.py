"""Explicit sessions: what an acknowledgement opens and closes (PV-25.1 to PV-25.10)."""

from __future__ import annotations

from typing import Any

from holdfast.core.contract.management import PruneOptions
from holdfast.core.contract.provider import ExecutionMetadata, FetchedTurn, ScheduledSessionIdentifier
from holdfast.core.contract.store import SessionRecord
from holdfast.providers.conformance import expect, side_by_side
from holdfast.providers.conformance.fixture import LEASE, Fixture
from holdfast.providers.conformance.messages import (
    activity,
    external,
    note,
    session,
    session_closed,
    session_opened,
    start,
    started,
)
from holdfast.providers.conformance.registry import session_check

UNATTACHED = SessionRecord("i", "s", None, None)


@session_check("PVC-224")
async def ack_orchestration_creates_session_row(fx: Fixture) -> None:
    """An entry in opened_sessions of an acknowledged turn leaves an unattached record, where none was."""
    await fx.begin()
    expect.nothing(fx.sessions(), "records before the turn")
    await fx.step(opened=["s", "t"])
    expect.equal(fx.sessions(), [UNATTACHED, SessionRecord("i", "t", None, None)], "records")


@session_check("PVC-225")
async def ack_orchestration_deletes_session_row(fx: Fixture) -> None:
    """An entry in cancelled_sessions of an acknowledged turn removes the record."""
    await fx.begin(opened=["s", "t"])
    await fx.step(closed=["s", "s"])
    expect.equal(fx.sessions(), [SessionRecord("i", "t", None, None)], "records")


@session_check("PVC-226")
async def ack_orchestration_stores_session_id_on_workitem(fx: Fixture) -> None:
    """A session activity enqueued by a turn is invisible to the plain fetch and routed by session."""
    await fx.begin(opened=["s"], work=[activity(2, session="s"), activity(3, session="s")])
    await fx.no_work()
    expect.equal((await fx.claim("A")).item, activity(2, session="s"), "A's row")
    await fx.no_claim("B")
    await fx.claim("A")


@session_check("PVC-231")
async def open_session_with_id_after_close_in_same_turn(fx: Fixture) -> None:
    """A session named in both lists of one turn ends as a fresh record with this turn's rows only."""
    await fx.begin(opened=["s"], work=[activity(2, session="s"), activity(3, session="s")])
    held = await fx.claim("A")
    await fx.step(closed=["s"], opened=["s"], work=[activity(4, session="s")])
    expect.equal(fx.sessions(), [UNATTACHED], "records")
    await expect.refused(fx.provider.ack_work_item(held.token))
    expect.equal((await fx.claim("B")).item.id, 4, "the row of the new session")
    await fx.no_claim("B")


@session_check("PVC-235")
async def rapid_open_close_cycles(fx: Fixture) -> None:
    """A hundred sessions opened and closed, in two turns and in two hundred, leave no session record."""
    names = [f"s{number}" for number in range(100)]
    await fx.begin()
    await fx.step(opened=names)
    expect.equal(len(fx.sessions()), 100, "records in between")
    await fx.step(closed=names)
    expect.nothing(fx.sessions(), "records after two turns")
    for name in names:
        await fx.step(opened=[name])
        await fx.step(closed=[name])
    expect.nothing(fx.sessions(), "records after two hundred turns")


@session_check("PVC-249")
async def same_session_id_two_instances(fx: Fixture) -> None:
    """One session id in two instances: claim, close and release in one leave the other as it was."""
    for instance in ("i", "j"):
        rows = [activity(id, instance, session="s") for id in (2, 3)]
        await fx.begin(instance, opened=["s"], work=rows)
    await fx.claim("A")
    expect.equal((await fx.claim("B")).item.instance, "j", "B's session")
    await fx.release("A")
    await fx.renew_session("B", instance="j")
    expect.equal((await fx.claim("A")).item.instance, "i", "A's row")
    await fx.step("i", closed=["s"])
    await expect.refused(fx.renew_session("A"))
    await fx.renew_session("B", instance="j")
    await fx.no_claim("A")
    expect.equal((await fx.claim("B")).item, activity(3, "j", session="s"), "B's next row")
    await side_by_side.joined_sessions(fx)


@session_check("PVC-250")
async def cancelled_sessions_scoped_to_key(fx: Fixture) -> None:
    """Cancelling one of three sessions leaves rows and records of the other two."""
    names = ["a", "b", "c"]
    work = [activity(id, session=name) for id, name in enumerate(names, start=2)]
    await fx.begin(opened=names, work=[*work, activity(9)])
    for _ in names:
        await fx.claim("A")
    await fx.step(closed=["b"])
    for name in ("a", "c"):
        await fx.renew_session("A", session_id=name)
    await expect.refused(fx.renew_session("A", session_id="b"))
    fx.clock.advance(fx.lock_timeout)
    ids = [(await fx.claim("A")).item.id for _ in range(3)]
    expect.equal(ids, [2, 4, 9], "rows left")
    await fx.no_claim("A")


@session_check("PVC-251")
async def cancelled_session_of_other_instance_refused(fx: Fixture) -> None:
    """Naming another instance's session in either list fails the whole acknowledgement, without effect."""
    await fx.begin("j", opened=["s"], work=[activity(2, "j", session="s")])
    await fx.claim("A")
    await fx.begin("i")
    await fx.send(external("i"))
    turn = await fx.turn("i")
    foreign = [session("s", "j")]
    await expect.refused(_ack_naming(fx, turn, cancelled_sessions=foreign))
    await expect.refused(_ack_naming(fx, turn, opened_sessions=[session("t", "i"), session("t", "j")]))
    expect.equal(await fx.provider.read("i"), [started()], "history")
    await fx.renew_session("A", instance="j")
    await fx.renew_turn(turn)
    await fx.ack(turn)


async def _ack_naming(fx: Fixture, turn: FetchedTurn, **lists: list[ScheduledSessionIdentifier]) -> None:
    arguments: Any = lists
    await fx.provider.ack_orchestration_item(
        turn.token,
        execution_id=1,
        history_delta=[note(2)],
        worker_items=[],
        orchestrator_items=[],
        metadata=ExecutionMetadata(**arguments),
        cancelled_activities=[],
    )


@session_check("PVC-252")
async def session_events_in_delta_change_nothing(fx: Fixture) -> None:
    """Opening and closing events without list entries do nothing, and list entries work without any event."""
    await fx.begin()
    await fx.step("i", session_opened(2))
    expect.nothing(fx.sessions(), "records after an opening event")
    await fx.step(opened=["s"])
    await fx.step("i", session_closed(3))
    expect.equal(fx.sessions(), [UNATTACHED], "records after a closing event")


@session_check("PVC-254")
async def close_unknown_session_noop(fx: Fixture) -> None:
    """Closing what was never opened succeeds and leaves other sessions and plain rows alone."""
    await fx.begin(opened=["s"], work=[activity(2, session="s"), activity(3)])
    await fx.step(closed=["never", "never"])
    expect.equal([(await fx.claim("A")).item.id for _ in range(2)], [2, 3], "rows")


@session_check("PVC-255")
async def open_is_idempotent_keeps_attachment(fx: Fixture) -> None:
    """Naming an attached session in opened_sessions leaves owner and expiry."""
    await fx.begin(opened=["s"], work=[activity(2, session="s")])
    await fx.claim("A")
    before = fx.session()
    fx.clock.advance(1_000)
    await fx.step(opened=["s", "s"])
    expect.equal(fx.session(), before, "the record")


@session_check("PVC-256")
async def open_then_close_same_turn_drops_rows(fx: Fixture) -> None:
    """Rows brought by a turn for a session that it closes and does not open never enter the queue."""
    await fx.begin(opened=["s"])
    await fx.step(closed=["s"], work=[activity(2, session="s"), activity(3)])
    expect.equal((await fx.claim("A")).item.id, 3, "the plain row")
    await fx.no_claim("A")


@session_check("PVC-257")
async def terminal_status_closes_all_sessions(fx: Fixture) -> None:
    """Completed and Failed each remove all sessions and their rows without any list, and beat an opening."""
    for instance, ending in (("one", "Completed"), ("two", "Failed")):
        rows = [activity(2, instance, session="s"), activity(3, instance, session="t"), activity(4, instance)]
        await fx.begin(instance, opened=["s", "t"], work=rows)
        held = await fx.claim("A")
        expect.equal(held.item.id, 2, "the row held")
        late = activity(5, instance, session="new")
        await fx.step(instance, status=ending, opened=["new"], work=[late])
        await expect.refused(fx.renew_session("A", instance=instance))
        await expect.refused(fx.provider.ack_work_item(held.token))
        expect.equal((await fx.claim("A")).item, activity(4, instance), "the row left")
        await fx.no_claim("A")


@session_check("PVC-258")
async def continued_as_new_keeps_sessions(fx: Fixture) -> None:
    """A continuing turn leaves owner, expiry and waiting rows; the owner's renewal still works."""
    await fx.begin(opened=["s"], work=[activity(2, session="s"), activity(3, session="s")])
    work = await fx.claim("A")
    await fx.step(status="ContinuedAsNew", output="next")
    await fx.step(execution_id=2)
    await fx.no_claim("B")
    await fx.renew_session("A")
    await fx.renew_work(work, session_for=LEASE)
    expect.equal((await fx.claim("A")).item.id, 3, "the waiting row")


@session_check("PVC-259")
async def ack_failure_rolls_back_session_effects(fx: Fixture) -> None:
    """An acknowledgement refused for a duplicate event leaves sessions and rows untouched."""
    await fx.begin(opened=["s"], work=[activity(2, session="s"), activity(3, session="s")])
    held = await fx.claim("A")
    await fx.send(external())
    turn = await fx.turn()
    late = [activity(4, session="t"), activity(5)]
    await expect.refused(fx.ack(turn, started(), closed=["s"], opened=["t"], work=late, status="Completed"))
    await fx.renew_work(held, session_for=LEASE)
    await fx.no_claim("B")
    await expect.refused(fx.renew_session("B", session_id="t"))
    expect.equal((await fx.claim("A")).item.id, 3, "the waiting row")
    await fx.ack(turn, note(2))


@session_check("PVC-277")
async def delete_instance_removes_sessions(fx: Fixture) -> None:
    """Deleting an instance removes its session records; the recreated instance starts free."""
    await fx.begin(opened=["s", "t"], work=[activity(2, session="s")])
    await fx.claim("A")
    await fx.management.delete_instance("i", force=True)
    expect.nothing(fx.sessions(), "records after the deletion")
    await fx.send(start())
    await fx.ack(await fx.turn(), started(), name="Flow", version="1", work=[activity(3, session="s")])
    expect.equal((await fx.claim("B")).item.id, 3, "B's row")


@session_check("PVC-278")
async def prune_keeps_sessions(fx: Fixture) -> None:
    """Pruning leaves session records."""
    await fx.begin(opened=["s"], work=[activity(2, session="s"), activity(3, session="s")])
    await fx.claim("A")
    await fx.step(status="ContinuedAsNew")
    await fx.step(execution_id=2)
    result = await fx.management.prune_executions("i", PruneOptions(keep_last=1))
    expect.equal(result.executions_deleted, 1, "executions pruned")
    await fx.renew_session("A")
    await fx.no_claim("B")
    await fx.claim("A")
