"""Matrix section 28, what a store does at an end, at a deletion, and when it only looks like one."""

from __future__ import annotations

from typing import Final

from holdfast.core.contract.events import OrchestrationContinuedAsNew
from holdfast.core.contract.ids import Millis
from holdfast.core.contract.management import InstanceFilter, Management, PruneOptions
from holdfast.core.contract.provider import ExecutionStatus, Provider, TagFilter
from holdfast.core.contract.work_items import ContinueAsNewMessage
from holdfast.properties.matrix.parts import turns_by_hand as hand
from holdfast.properties.matrix.parts.turns_by_hand import (
    ITEM_LOCK,
    D,
    acknowledge,
    begin,
    event,
    fetch,
    fetched,
    further_turn,
    ids,
    is_refused,
    item,
    items,
    note,
    records,
    sessions_named,
)
from holdfast.sim.toolkit.bench import Bench
from holdfast.sim.toolkit.scenario import scenario

ENDS: Final[tuple[ExecutionStatus, ...]] = ("Completed", "Failed")


async def _in_every_state(provider: Provider, bench: Bench, instance: str) -> None:
    """Items of s: expired, locked, delayed, waiting; one of t, unclaimed; one plain. Tagged by instance."""
    on_s = [item(id, "s", instance, tag=instance) for id in range(2, 6)]
    rest = [item(6, "t", instance, tag=instance), item(7, None, instance, tag=instance)]
    sessions = sessions_named(f"{instance}/s", f"{instance}/t", f"{instance}/u")
    await begin(provider, instance, opened=sessions, work=[*on_s, *rest])
    worker, tags = f"A-{instance}", TagFilter.only(instance)
    await fetched(provider, worker, tags=tags)
    bench.clock.advance(ITEM_LOCK)
    await provider.renew_session_lock(instance, "s", worker, extend_for=Millis(10 * D))
    again, live, delayed = [await fetched(provider, worker, tags=tags) for _ in range(3)]
    await provider.abandon_work_item(delayed.token, delay=Millis(600_000))
    bench.clock.advance(ITEM_LOCK - 1)
    await provider.renew_work_item_lock(live.token, extend_for=ITEM_LOCK, extend_session_for=D)
    bench.clock.advance(1)
    now = bench.clock.now_ms()
    states = {row.token: row.locked_until for row in items(bench) if row.token is not None}
    assert states[again.token] == now and (states[live.token] or 0) > now, states


@scenario(covers=["28.6", "SS-18.4", "SS-25.17", "SS-18.5"], level="provider")
async def terminal_removes_session_items(bench: Bench) -> None:
    """Queued session work of an ended instance disappears, and nothing else does."""
    provider = bench.provider
    await _in_every_state(provider, bench, "j")
    for status in ENDS:
        instance = f"i {status}"
        await _in_every_state(provider, bench, instance)
        mine = [row for row in items(bench) if row.item is not None and row.item.instance == instance]
        assert len(mine) == 6 and len(records(bench, instance)) == 3, mine
        others = [row for row in items(bench) if row not in mine or row.session_id is None]
        rows = [row for row in records(bench) if row.instance_id != instance]
        new = [item(8, "s", instance), item(9, "v", instance)]
        opened = sessions_named(f"{instance}/v")
        await further_turn(
            provider, instance, note(2, instance), status=status, output="", work=new, opened=opened
        )
        assert records(bench) == rows, (status, records(bench))
        assert items(bench) == others, (status, items(bench))
        held = next(row for row in mine if row.session_id == "s" and row.token is not None)
        assert held.token is not None
        await is_refused(provider.ack_work_item(held.token))
        await is_refused(provider.renew_session_lock(instance, "s", f"A-{instance}", extend_for=D))
    bench.clock.advance(600_000)
    left = []
    while (work := await fetch(provider, "B", tags=TagFilter.any())) is not None:
        left.append(work.item.instance)
    assert sorted(left) == ["i Completed", "i Failed", *["j"] * 6], left


@scenario(covers=["28.10", "SS-18.8", "SS-25.18", "SS-17.4"], level="provider")
async def continue_as_new_is_not_terminal(bench: Bench) -> None:
    """Status continued-as-new triggers no sweep."""
    provider = bench.provider
    await _in_every_state(provider, bench, "i")
    rows, queued = records(bench), items(bench)
    assert {row.worker_id for row in rows} == {"A-i", None} and len(queued) == 6, (rows, queued)
    successor = ContinueAsNewMessage(
        instance="i", orchestration="flow", input="", version="1.0.0", open_sessions=("s", "t", "u")
    )
    end = event(OrchestrationContinuedAsNew, 2, input="", open_sessions=("s", "t", "u"))
    await further_turn(provider, "i", end, status="ContinuedAsNew", output="", messages=[successor])
    assert records(bench) == rows, records(bench)
    assert items(bench) == queued, items(bench)
    turn = await hand.turn_of(provider)
    begun = hand.started(execution_id=2)
    await acknowledge(provider, turn, begun, execution_id=2, work=[item(2, "s", execution_id=2)])
    assert records(bench) == rows, records(bench)
    bench.clock.advance(600_000 - 1)
    await provider.renew_session_lock("i", "s", "A-i", extend_for=D)


@scenario(covers=["28.11", "SS-10.9", "SS-25.17"], level="provider")
async def delete_and_prune(bench: Bench) -> None:
    """Deleting an instance removes its sessions; pruning does not."""
    provider = bench.provider
    management = provider.as_management()
    assert management is not None
    await _in_every_state(provider, bench, "j")
    kept, queued = records(bench), items(bench)
    for way in ("one", "several"):
        await _in_every_state(provider, bench, way)
        assert len(records(bench, way)) == 3
        if way == "one":
            await management.delete_instance(way, force=True)
        else:
            await management.delete_instances_atomic([way], force=True)
        assert records(bench) == kept, (way, records(bench))
        assert items(bench) == queued, (way, items(bench))
    await _in_bulk(bench, management)
    assert records(bench) == kept and items(bench) == queued
    await _pruned(bench, management)


async def _in_bulk(bench: Bench, management: Management) -> None:
    """An ended instance has no session any more, but may have got an item directly."""
    provider = bench.provider
    await begin(provider, "ended", opened=sessions_named("ended/s"), work=[item(2, "s", "ended")])
    await further_turn(provider, "ended", note(2, "ended"), status="Completed", output="")
    await provider.enqueue_for_worker(item(9, "s", "ended"))
    assert ("ended", 9) in ids(bench)
    deleted = await management.delete_instance_bulk(InstanceFilter(instance_ids=["ended"]))
    assert deleted.instances_deleted == 1, deleted


async def _pruned(bench: Bench, management: Management) -> None:
    """Continued twice, so that there is something to prune."""
    provider = bench.provider
    for execution in (1, 2):
        end = note(99, "j", execution)
        await further_turn(provider, "j", end, execution_id=execution, status="ContinuedAsNew", output="")
        await further_turn(provider, "j", hand.started("j", execution + 1), execution_id=execution + 1)
    rows, queued = records(bench), items(bench)
    assert len(rows) == 3 and len(queued) == 6, (rows, queued)
    result = await management.prune_executions("j", PruneOptions(keep_last=1))
    assert result.executions_deleted == 2, result
    assert records(bench) == rows, records(bench)
    assert items(bench) == queued, items(bench)
    await provider.renew_session_lock("j", "s", "A-j", extend_for=D)
