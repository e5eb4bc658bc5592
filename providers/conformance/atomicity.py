"""An acknowledgement applies all of its effects or none (PV-8)."""

from __future__ import annotations

from functools import partial

from holdfast.providers.conformance import expect
from holdfast.providers.conformance.fixture import Fixture, forged
from holdfast.providers.conformance.messages import (
    activity,
    completed,
    external,
    kv_set,
    named,
    note,
    start,
    started,
    status,
    timer,
)
from holdfast.providers.conformance.racing import succeeded, together
from holdfast.providers.conformance.registry import check


@check("PVC-001")
async def atomicity_failure_rollback(fx: Fixture) -> None:
    """When an acknowledgement is refused for a stored event number, nothing changes and the lock stays."""
    await fx.begin("i", note(2))
    await fx.send(external())
    turn = await fx.turn()
    refusal = fx.ack(
        turn,
        status(3, "busy"),
        kv_set(4, "key", "value"),
        note(2, "again"),
        work=[activity()],
        messages=[external("j")],
        status="Completed",
        output="done",
    )
    await expect.refused(refusal)
    expect.equal(await fx.provider.read("i"), [started(), note(2)], "history")
    expect.equal((await fx.management.get_instance_info("i")).status, "Running", "status")
    expect.nothing(await fx.provider.get_kv_value("i", "key"), "the key")
    expect.nothing(await fx.provider.get_custom_status("i", 0), "the custom status")
    expect.equal(tuple(await fx.management.get_queue_depths()), (0, 0, 0), "queue depths")
    await fx.no_turn()
    await fx.renew_turn(turn)
    await fx.ack(turn, note(3))


@check("PVC-002")
async def multi_operation_atomic_ack(fx: Fixture) -> None:
    """Five events, three activities, a past-due timer and an external event of one turn are all there."""
    await fx.send(start())
    turn = await fx.turn()
    events = [started(), *(note(number) for number in range(2, 6))]
    work = [activity(number) for number in (2, 3, 4)]
    sent = [timer(fire_at_ms=fx.clock() - 1), external()]
    await fx.ack(turn, *events, work=work, messages=sent, name="Flow", version="1")
    expect.equal(await fx.provider.read("i"), events, "history")
    expect.equal((await fx.turn()).item.messages, sent, "messages")
    expect.equal(await fx.all_work(), [2, 3, 4], "activities")


@check("PVC-003")
async def lock_released_only_on_successful_ack(fx: Fixture) -> None:
    """An acknowledgement with a made-up token is refused and frees nothing before the real lock runs out."""
    await fx.send(start())
    turn = await fx.turn()
    await expect.refused(fx.ack(forged(turn), started()))
    fx.clock.advance(fx.lock_timeout - 1)
    await fx.no_turn()
    fx.clock.advance(1)
    await fx.turn("i")


@check("PVC-004")
async def concurrent_ack_prevention(fx: Fixture) -> None:
    """Two tasks acknowledging with the same token at once: exactly one succeeds, the other gets an error."""
    other = fx.open()
    for number in range(fx.rounds):
        instance = f"i{number}"
        await fx.send(start(instance))
        turn = await fx.turn(instance)
        outcomes = await together(
            partial(fx.ack, turn, started(), note(2, "first")),
            partial(fx.ack, turn, started(), note(2, "second"), by=other),
            reverse=number % 2 == 1,
        )
        expect.equal(len(succeeded(outcomes)), 1, f"acknowledgements that succeed in round {number}")
        expect.equal(len(await fx.provider.read(instance)), 2, "events stored")


@check("PVC-303")
async def ack_wrong_variant_refused_atomically(fx: Fixture) -> None:
    """A wrong variant in an acknowledgement's lists fails it and keeps the lock."""
    await fx.send(start())
    turn = await fx.turn()
    misplaced: list[object] = [activity(3)]
    await expect.refused(fx.ack(turn, started(), work=[activity(), completed()]))  # type: ignore[list-item]
    await expect.refused(fx.ack(turn, started(), messages=[external(), *misplaced]))  # type: ignore[list-item]
    expect.nothing(await fx.provider.read("i"), "history")
    await fx.no_work()
    await fx.no_turn()
    await fx.ack(turn, started())
    await fx.no_turn()


@check("PVC-305")
async def event_number_zero_refused(fx: Fixture) -> None:
    """An event numbered 0 fails the acknowledgement, while gaps in the numbers are legal."""
    await fx.send(start())
    turn = await fx.turn()
    await expect.refused(fx.ack(turn, note(0), started()))
    expect.nothing(await fx.provider.read("i"), "history")
    await fx.ack(turn, started(), note(99_999))
    expect.equal(await fx.provider.read("i"), [started(), note(99_999)], "history")


@check("PVC-306")
async def concurrent_ack_without_events(fx: Fixture) -> None:
    """Two simultaneous acknowledgements with empty delta: one succeeds, its activities are enqueued once."""
    other = fx.open()
    for number in range(fx.rounds):
        instance = f"i{number}"
        await fx.send(start(instance))
        turn = await fx.turn(instance)
        work = [activity(2, instance)]
        outcomes = await together(
            partial(fx.ack, turn, work=work),
            partial(fx.ack, turn, work=work, by=other),
            reverse=number % 2 == 1,
        )
        expect.equal(len(succeeded(outcomes)), 1, f"acknowledgements that succeed in round {number}")
        expect.equal(await fx.all_work(), [2], "activities")


@check("PVC-312")
async def large_ack(fx: Fixture) -> None:
    """A thousand events, activities and cancellations in one acknowledgement work."""
    await fx.begin("i", work=[activity(id) for id in range(2, 1_002)])
    events = [note(number) for number in range(2, 1_002)]
    new = [activity(id) for id in range(2_000, 3_000)]
    await fx.step("i", *events, work=new, cancelled=[named(id) for id in range(2, 1_002)])
    expect.equal(len(await fx.provider.read("i")), 1_001, "events")
    expect.equal((await fx.work()).item.id, 2_000, "the first activity left")
    expect.equal((await fx.management.get_queue_depths()).worker_queue, 999, "activities waiting")


@check("PVC-365")
async def empty_ack_consumes_batch(fx: Fixture) -> None:
    """An acknowledgement with nothing in it removes the batch, frees the lock, leaves an execution record."""
    await fx.send(start())
    await fx.ack(await fx.turn())
    await fx.no_turn()
    expect.equal(await fx.management.list_executions("i"), [1], "executions")
    expect.nothing(await fx.management.list_instances(), "instances")
    await fx.send(start())
    await fx.turn("i")


@check("PVC-366")
async def self_message_survives_ack(fx: Fixture) -> None:
    """A message the acknowledgement enqueues for its own instance opens the next turn."""
    await fx.begin("i", messages=[external()])
    expect.equal(await fx.messages(), [external()], "messages")
    await fx.no_turn()
