"""Key-value entries in two layers: settled values, overlaid by the running execution's (PV-17)."""

from __future__ import annotations

from functools import partial

from holdfast.core.contract.management import PruneOptions
from holdfast.core.contract.provider import FetchedTurn, KvEntry
from holdfast.providers.conformance import expect
from holdfast.providers.conformance.fixture import Fixture
from holdfast.providers.conformance.messages import external, kv_clear, kv_clear_all, kv_set
from holdfast.providers.conformance.racing import together
from holdfast.providers.conformance.registry import check


async def _snapshot(fx: Fixture, instance: str = "i") -> dict[str, str]:
    """The settled values that the next fetch brings; the turn is given back."""
    await fx.send(external(instance))
    turn = await fx.turn(instance)
    await fx.abandon_turn(turn, ignore_attempt=True)
    return {key: entry.value for key, entry in turn.item.kv_snapshot.items()}


async def _values(fx: Fixture, expected: dict[str, str]) -> None:
    """All keys as clients see them."""
    expect.equal(await fx.provider.get_kv_all_values("i"), expected, "all keys")


async def _two_executions(fx: Fixture) -> None:
    """Execution 1 set "old" and "both", the running execution 2 set "both" again."""
    await fx.begin("i", kv_set(2, "old", "1"), kv_set(3, "both", "1"), status="ContinuedAsNew")
    await fx.step("i", kv_set(1, "both", "2"), execution_id=2)


async def _pruned(fx: Fixture) -> None:
    """Only the current execution is left."""
    await fx.management.prune_executions("i", PruneOptions(keep_last=1))


@check("PVC-151")
async def kv_snapshot_in_fetch(fx: Fixture) -> None:
    """After completion the next fetch's snapshot has the values."""
    await fx.begin("i", kv_set(2, "a", "1"), kv_set(3, "b", ""), status="Completed")
    expect.equal(await _snapshot(fx), {"a": "1", "b": ""}, "the snapshot")


@check("PVC-152")
async def kv_snapshot_after_clear_single(fx: Fixture) -> None:
    """A key cleared before completion is missing from the next snapshot."""
    await fx.begin("i", kv_set(2, "a", "1"), kv_set(3, "b", "2"))
    await fx.step("i", kv_clear(4, "a"), status="Completed")
    expect.equal(await _snapshot(fx), {"b": "2"}, "the snapshot")


@check("PVC-153")
async def kv_snapshot_after_clear_all(fx: Fixture) -> None:
    """After clear-all the snapshot is empty."""
    await fx.begin("i", kv_set(2, "a", "1"), status="ContinuedAsNew")
    await fx.step("i", kv_set(1, "b", "2"), kv_clear_all(2), execution_id=2, status="Completed")
    expect.equal(await _snapshot(fx), {}, "the snapshot")


@check("PVC-154")
async def kv_execution_id_tracking(fx: Fixture) -> None:
    """A key rewritten by a newer execution survives pruning of the older."""
    await _two_executions(fx)
    await _pruned(fx)
    expect.equal(await fx.provider.get_kv_value("i", "both"), "2", "the value")


@check("PVC-155")
async def kv_cross_execution_overwrite(fx: Fixture) -> None:
    """A newer execution's value is read instead of the older one's."""
    await _two_executions(fx)
    await _values(fx, {"old": "1", "both": "2"})


@check("PVC-156")
async def kv_cross_execution_remove_readd(fx: Fixture) -> None:
    """Set, cleared and set again over three executions reads as the last value."""
    await fx.begin("i", kv_set(2, "k", "1"), status="ContinuedAsNew")
    await fx.step("i", kv_clear(1, "k"), execution_id=2, status="ContinuedAsNew")
    expect.nothing(await fx.provider.get_kv_value("i", "k"), "the value in between")
    await fx.step("i", kv_set(1, "k", "3"), execution_id=3, status="Completed")
    await _values(fx, {"k": "3"})
    expect.equal(await _snapshot(fx), {"k": "3"}, "the snapshot")


@check("PVC-157")
async def kv_prune_preserves_overwritten(fx: Fixture) -> None:
    """Pruning keeps a key that both executions wrote."""
    await _two_executions(fx)
    await fx.step(execution_id=2, status="Completed")
    await _pruned(fx)
    await _values(fx, {"old": "1", "both": "2"})


@check("PVC-158")
async def kv_prune_preserves_all_keys(fx: Fixture) -> None:
    """Pruning keeps a key only the pruned execution wrote."""
    await _two_executions(fx)
    await _pruned(fx)
    expect.equal(await fx.provider.get_kv_value("i", "old"), "1", "the value")


@check("PVC-167")
async def kv_snapshot_empty(fx: Fixture) -> None:
    """An instance without keys has an empty snapshot."""
    await fx.begin()
    expect.equal(await _snapshot(fx), {}, "the snapshot")


@check("PVC-168")
async def kv_snapshot_cross_execution(fx: Fixture) -> None:
    """The snapshot has the finished execution's key and not the running one's."""
    await fx.begin("i", kv_set(2, "old", "1"), status="ContinuedAsNew")
    await fx.step("i", kv_set(1, "new", "2"), execution_id=2)
    expect.equal(await _snapshot(fx), {"old": "1"}, "the snapshot")


@check("PVC-169")
async def kv_prune_current_execution_protected(fx: Fixture) -> None:
    """Pruning a single-execution instance changes no key."""
    await fx.begin("i", kv_set(2, "k", "v"))
    await _pruned(fx)
    await _values(fx, {"k": "v"})


@check("PVC-172")
async def kv_delta_snapshot_excludes_current_execution(fx: Fixture) -> None:
    """A value set by the running execution is readable by clients but not in the snapshot."""
    await fx.begin("i", kv_set(2, "k", "v"))
    await fx.step()
    expect.equal(await _snapshot(fx), {}, "the snapshot")
    await _values(fx, {"k": "v"})


@check("PVC-173")
async def kv_delta_snapshot_includes_completed_execution(fx: Fixture) -> None:
    """After continue-as-new the value is in the snapshot."""
    await fx.begin("i", kv_set(2, "k", "v"), status="ContinuedAsNew")
    expect.equal(await _snapshot(fx), {"k": "v"}, "the snapshot")


@check("PVC-174")
async def kv_delta_client_reads_merged(fx: Fixture) -> None:
    """Clients see changed, untouched and new keys of both layers together."""
    await _two_executions(fx)
    await fx.step("i", kv_set(2, "new", "3"), execution_id=2)
    await _values(fx, {"old": "1", "both": "2", "new": "3"})
    expect.equal(await _snapshot(fx), {"old": "1", "both": "1"}, "the snapshot")


@check("PVC-175")
async def kv_delta_tombstone_overrides_store(fx: Fixture) -> None:
    """A key settled earlier and cleared now reads as absent."""
    await _two_executions(fx)
    await fx.step("i", kv_clear(2, "old"), execution_id=2)
    await _values(fx, {"both": "2"})
    expect.nothing(await fx.provider.get_kv_value("i", "old"), "the cleared key")
    expect.equal(await _snapshot(fx), {"old": "1", "both": "1"}, "the snapshot, unchanged")


@check("PVC-176")
async def kv_delta_clear_all_tombstones_store(fx: Fixture) -> None:
    """Clear-all hides settled keys, and a key set after it is visible."""
    await _two_executions(fx)
    await fx.step("i", kv_clear_all(2), kv_set(3, "new", "3"), execution_id=2)
    await _values(fx, {"new": "3"})
    expect.nothing(await fx.provider.get_kv_value("i", "old"), "a settled key")
    await fx.step(execution_id=2, status="Completed")
    expect.equal(await _snapshot(fx), {"new": "3"}, "the snapshot after completion")


@check("PVC-177")
async def kv_delta_merged_on_completion(fx: Fixture) -> None:
    """A value survives completion."""
    await fx.begin("i", kv_set(2, "k", "v"))
    await fx.step(status="Completed")
    await _values(fx, {"k": "v"})


@check("PVC-178")
async def kv_delta_merged_on_can(fx: Fixture) -> None:
    """Values of two turns, the later winning, are in the snapshot after continue-as-new."""
    await fx.begin("i", kv_set(2, "a", "1"), kv_set(3, "b", "1"))
    await fx.step("i", kv_set(4, "b", "2"), status="ContinuedAsNew")
    expect.equal(await _snapshot(fx), {"a": "1", "b": "2"}, "the snapshot")


@check("PVC-180")
async def kv_delta_prune_untouched_key_survives(fx: Fixture) -> None:
    """A key of execution 1 nobody touched again survives pruning in reads and in the snapshot."""
    await _two_executions(fx)
    await _pruned(fx)
    await _values(fx, {"old": "1", "both": "2"})
    expect.equal(await _snapshot(fx), {"old": "1", "both": "1"}, "the snapshot")


@check("PVC-332")
async def kv_merge_with_empty_delta(fx: Fixture) -> None:
    """A terminal acknowledgement without events still settles earlier values."""
    await fx.begin("i", kv_set(2, "k", "v"))
    await fx.step(status="Completed")
    expect.equal(await _snapshot(fx), {"k": "v"}, "the snapshot")


@check("PVC-333")
async def kv_merge_on_failed(fx: Fixture) -> None:
    """A failing execution settles its values too."""
    await fx.begin("i", kv_set(2, "k", "v"), status="Failed")
    expect.equal(await _snapshot(fx), {"k": "v"}, "the snapshot")


@check("PVC-334")
async def kv_timestamp_round_trip(fx: Fixture) -> None:
    """The snapshot carries the time of the event that set the value."""
    await fx.begin("i", kv_set(2, "a", "1", at_ms=1_111), kv_set(3, "b", "1", at_ms=2_222))
    await fx.step("i", kv_set(4, "b", "2", at_ms=3_333), status="ContinuedAsNew")
    await fx.send(external())
    snapshot = (await fx.turn()).item.kv_snapshot
    expect.equal(dict(snapshot), {"a": KvEntry("1", 1_111), "b": KvEntry("2", 3_333)}, "the snapshot")


@check("PVC-335")
async def kv_reads_consistent_during_merge(fx: Fixture) -> None:
    """Readers hammering a key during completion never see it missing."""
    reader = fx.open()
    for number in range(fx.rounds):
        instance = f"i{number}"
        await fx.begin(instance, kv_set(2, "k", "v"))
        await fx.send(external(instance))
        turn = await fx.turn(instance)

        reads = [partial(reader.get_kv_value, instance, "k") for _ in range(4)]
        outcomes = await together(
            *reads[:2], partial(_settled, fx, turn), *reads[2:], reverse=number % 2 == 1
        )
        expect.equal(outcomes, ["v"] * 5, f"what readers see in round {number}")


async def _settled(fx: Fixture, turn: FetchedTurn) -> str:
    """Complete the instance; the answer is what readers are to see."""
    await fx.ack(turn, status="Completed")
    return "v"
