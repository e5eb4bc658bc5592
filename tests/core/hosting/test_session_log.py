"""The session records of a runtime as a whole (SS-22)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.observe import Logged
from holdfast.core.contract.work_items import ActivityCompletedMessage
from holdfast.core.hosting.metrics import SESSION_RENEWALS, SESSIONS_ACTIVE, Metrics
from holdfast.core.program.registry import Registry

MINUTE = timedelta(minutes=10)


def registry() -> Registry:
    registry = Registry()

    @registry.orchestration()
    async def twice(ctx: Any, input: str) -> None:
        session = ctx.open_session_with_id("s")
        for _ in range(2):
            await ctx.schedule_activity_on_session("nothing", "", session)
            await ctx.dequeue_event("go")
        ctx.close_session(session)

    @registry.orchestration()
    async def leaves_one_behind(ctx: Any, input: str) -> None:
        session = ctx.open_session_with_id("s")
        ctx.schedule_activity_on_session("unknown", "", session)
        ctx.close_session(session)
        await ctx.dequeue_event("go")

    @registry.activity()
    async def nothing(ctx: Any, input: str) -> str:
        return ""

    return registry


def levels(host: Any) -> dict[str, set[str]]:
    records = [event for event in host.seen.of(Logged) if event.event.startswith("session.")]
    return {
        record.event: {other.level for other in records if other.event == record.event} for record in records
    }


def counted(host: Any) -> dict[str, int]:
    metrics = Metrics()
    for event in host.seen.events:
        metrics.notify(event)
    return metrics.snapshot()


def test_ss_22_a_session_from_its_open_to_its_close(world: Any) -> None:
    """SS-22.1 to SS-22.7: every record once, by the table, and the counts."""

    async def scenario() -> None:
        first = await world.start(registry())
        await world.client.start_orchestration("i", "twice")
        await world.until(lambda: first.probe.times("ack_work_item"))
        await first.runtime.shutdown(timedelta(0))
        await world.sleep(61)
        second = await world.start(registry())
        await world.client.enqueue_event("i", "go", "")
        await world.until(lambda: second.probe.times("ack_work_item"))
        await world.sleep(31)
        assert counted(second)[SESSIONS_ACTIVE] == len(second.runtime.leases()) == 1
        await world.client.enqueue_event("i", "go", "")
        await world.client.wait_for_orchestration("i", MINUTE)
        await world.sleep(60)

        in_history = {"instance_id": "i", "execution_id": 1, "session_id": "s"}
        named = {"instance_id": "i", "session_id": "s"}
        old, new = first.runtime.owner_identity, second.runtime.owner_identity
        assert first.seen.logged("session.opened") == [in_history]
        assert first.seen.logged("session.claimed") == [{**named, "worker_id": old}]
        assert not first.seen.logged("session.migrated") and not second.seen.logged("session.opened")
        assert second.seen.logged("session.claimed") == [{**named, "worker_id": new}]
        migrated = {**named, "worker_id": new, "previous_worker_id": old}
        assert second.seen.logged("session.migrated") == [migrated]
        assert second.seen.logged("session.closed") == [in_history]
        error = f"session i/s not owned by {new}"
        (failed,) = second.seen.logged("session.renewal_failed")
        assert error in str(failed["error"]) and {**named, "worker_id": new}.items() <= failed.items()
        (lost,) = second.seen.logged("session.lost")
        assert {**named, "worker_id": new, "in_flight": 0}.items() <= lost.items()
        assert levels(second) == {
            "session.claimed": {"info"},
            "session.migrated": {"info"},
            "session.closed": {"info"},
            "session.renewal_failed": {"warning"},
            "session.lost": {"warning"},
        }
        snapshot = counted(second)
        assert (snapshot[SESSION_RENEWALS], snapshot[SESSIONS_ACTIVE]) == (1, 0)
        counts = [
            snapshot[f"holdfast_sessions_{name}_total"]
            for name in ("claimed", "expired", "renewal_failed", "released")
        ]
        assert counts == [1, 1, 1, 0]

    world.run(scenario())


def test_ss_22_8_a_late_completion_is_told_once_though_its_turn_is_run_twice(world: Any) -> None:
    """SS-22.8: only a stored turn has dropped it; until then it comes again."""

    async def scenario() -> None:
        host = await world.start(registry())
        await world.client.start_orchestration("i", "leaves_one_behind")
        await world.until(lambda: host.seen.logged("session.closed"))
        await world.sleep(1)
        host.probe.failures["ack_orchestration_item"] = [ProviderError.transient("ack", "busy")] * 6
        (id,) = [
            event.event_id
            for event in await world.client.read_history("i")
            if type(event).__name__ == "ActivityScheduled"
        ]
        await world.provider.enqueue_for_orchestrator(
            ActivityCompletedMessage(instance="i", execution_id=1, id=id, result="late")
        )
        await world.sleep(5)
        assert host.probe.times("abandon_orchestration_item"), "the turn was given back once"
        assert host.seen.logged("session.late_completion_dropped") == [
            {"instance_id": "i", "execution_id": 1, "activity_id": id, "session_id": "s"}
        ]

    world.run(scenario())
