"""Which mistakes are refused, with which messages, and that nothing else raises (PV-4)."""

from __future__ import annotations

from typing import Any

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import LockToken, Millis
from holdfast.providers.conformance import expect
from holdfast.providers.conformance.fixture import LEASE, Fixture, forged
from holdfast.providers.conformance.messages import (
    activity,
    completed,
    external,
    named,
    note,
    start,
    started,
    timer,
)
from holdfast.providers.conformance.registry import check


@check("PVC-005")
async def invalid_lock_token_on_ack(fx: Fixture) -> None:
    """Acknowledging a turn with an unknown token raises, and the message speaks of the lock token."""
    await fx.send(start())
    turn = await fx.turn()
    error = await expect.refused(fx.ack(forged(turn)), "invalid lock token", "lock_token", "expired")
    expect.equal(error.operation, "ack_orchestration_item", "the operation")


@check("PVC-006")
async def duplicate_event_id_rejection(fx: Fixture) -> None:
    """Storing a second event under a used number raises and the first event is still the one read back."""
    await fx.begin("i", note(2, "first"))
    await fx.send(external())
    await expect.refused(fx.ack(await fx.turn(), note(2, "second")))
    expect.equal(await fx.provider.read("i"), [started(), note(2, "first")], "history")


@check("PVC-007")
async def missing_instance_metadata(fx: Fixture) -> None:
    """Reading the history of an instance nobody ever created gives an empty list."""
    expect.equal(await fx.provider.read("nobody"), [], "read")
    expect.equal(await fx.provider.read_with_execution("nobody", 3), [], "read_with_execution")


@check("PVC-008")
async def corrupted_serialization_data(fx: Fixture) -> None:
    """Fetching on a store with undecodable or no data ends normally, with or without an item."""
    await fx.no_turn()
    await fx.no_work()
    await fx.begin()
    await fx.send(external())
    if hasattr(fx.store, "corrupt_instance_history"):
        fx.corrupt_history()
    await fx.turn("i")


@check("PVC-009")
async def lock_expiration_during_ack(fx: Fixture) -> None:
    """An acknowledgement that arrives after the instance lock has run out is refused."""
    await fx.send(start())
    turn = await fx.turn()
    fx.clock.advance(fx.lock_timeout + 1)
    await expect.refused(fx.ack(turn, started()), "lock_token", "lock token", "expired")
    expect.nothing(await fx.provider.read("i"), "history")
    expect.equal((await fx.turn()).item.messages, [start()], "messages")


@check("PVC-302")
async def enqueue_wrong_variant_refused(fx: Fixture) -> None:
    """An activity offered to orchestrators and a completion offered to workers are refused."""
    wrong: Any = activity()
    await expect.refused(fx.provider.enqueue_for_orchestrator(wrong))
    wrong = completed()
    await expect.refused(fx.provider.enqueue_for_worker(wrong))
    await fx.no_work()
    depths = await fx.management.get_queue_depths()
    expect.equal((depths.orchestrator_queue, depths.worker_queue), (0, 0), "queue depths")


@check("PVC-304")
async def ack_work_item_wrong_completion_refused(fx: Fixture) -> None:
    """A completion of another variant is refused and the item stays held."""
    await fx.put(activity())
    work = await fx.work()
    for wrong in (external(), start(), timer(fire_at_ms=1)):
        await expect.refused(fx.provider.ack_work_item(work.token, wrong))
    await fx.no_work()
    await fx.renew_work(work)
    await fx.provider.ack_work_item(work.token, completed())
    expect.equal((await fx.management.get_queue_depths()).orchestrator_queue, 1, "messages queued")


@check("PVC-300")
async def negative_duration_refused(fx: Fixture) -> None:
    """Negative durations and durations that are not integers raise everywhere and change nothing."""
    await fx.send(start())
    turn = await fx.turn()
    await fx.send(start("j"))
    await fx.put(activity(2), activity(3))
    work = await fx.work()
    p = fx.provider
    wrongs: list[Any] = [-1, 1.5, "5"]
    for wrong in wrongs:
        await expect.refused(p.enqueue_for_orchestrator(external(), delay=wrong))
        await expect.refused(p.fetch_orchestration_item(wrong, Millis(0)))
        await expect.refused(p.fetch_orchestration_item(fx.lock_timeout, wrong))
        await expect.refused(p.fetch_work_item(wrong, Millis(0)))
        await expect.refused(p.fetch_work_item(fx.lock_timeout, wrong))
        await expect.refused(p.abandon_orchestration_item(turn.token, delay=wrong))
        await expect.refused(p.renew_orchestration_item_lock(turn.token, extend_for=wrong))
        await expect.refused(p.abandon_work_item(work.token, delay=wrong))
        await expect.refused(p.renew_work_item_lock(work.token, extend_for=wrong))
        await _refused_with_sessions(fx, work.token, wrong)
    await fx.renew_turn(turn)
    await fx.renew_work(work)
    expect.equal((await fx.turn()).attempt_count, 1, "attempts of the other instance")
    expect.equal((await fx.work()).attempt_count, 1, "attempts of the other item")
    await fx.ack(turn)
    await fx.no_turn()


async def _refused_with_sessions(fx: Fixture, token: LockToken, wrong: Millis) -> None:
    p = fx.provider
    if not p.supports_sessions():
        return
    for times in ((wrong, 0, LEASE), (fx.lock_timeout, wrong, LEASE), (fx.lock_timeout, 0, wrong)):
        lock, poll, lease = (Millis(each) for each in times)
        await expect.refused(
            p.fetch_session_work_item(lock, poll, worker_id="A", session_lock_duration=lease)
        )
    await expect.refused(p.renew_work_item_lock(token, extend_for=fx.lock_timeout, extend_session_for=wrong))
    await expect.refused(p.renew_session_lock("i", "s", "A", extend_for=wrong))


@check("PVC-301")
async def huge_delay_clamped(fx: Fixture) -> None:
    """A delay of ten thousand years, or of 2^63 - 1 ms, does not wrap around into the past."""
    ten_thousand_years = 10_000 * 365 * 86_400_000
    for delay in (ten_thousand_years, 2**63 - 1):
        await fx.send(start(f"i{delay}"), delay=delay)
    await fx.no_turn()
    await fx.send(start("j"))
    turn = await fx.turn("j", lock=2**63 - 1)
    fx.clock.advance(ten_thousand_years - 1)
    await fx.no_turn()
    await fx.ack(turn)
    await fx.put(activity())
    await fx.provider.abandon_work_item((await fx.work()).token, delay=Millis(2**63 - 1))
    await fx.no_work()


@check("PVC-363")
async def numbers_out_of_range_refused(fx: Fixture) -> None:
    """Negative numbers and numbers above the 63-bit limit raise permanent errors; the limit is stored."""
    largest = 2**63 - 1
    await fx.send(start())
    turn = await fx.turn()
    for wrong in (-1, 2**63):
        await expect.refused(fx.ack(turn, started(), execution_id=wrong))
        await expect.refused(fx.ack(turn, note(wrong)))
        await expect.refused(fx.ack(turn, work=[activity(wrong)]))
        await expect.refused(fx.ack(turn, work=[activity(execution_id=wrong)]))
        await expect.refused(fx.ack(turn, cancelled=[named(wrong)]))
        await expect.refused(fx.provider.enqueue_for_worker(activity(wrong)))
        await expect.refused(fx.provider.append_with_execution("i", wrong, [note(1)]))
    await fx.ack(turn, started(), note(largest), work=[activity(largest)])
    expect.equal(await fx.provider.read("i"), [started(), note(largest)], "history")
    expect.equal(await fx.all_work(), [largest], "activities")


@check("PVC-353")
async def error_classes_and_text(fx: Fixture) -> None:
    """Errors carry operation, message and class, print as operation and message, and compare by all three."""
    token = LockToken("made-up-token")
    first = await expect.refused(fx.provider.ack_work_item(token))
    second = await expect.refused(fx.provider.ack_work_item(token))
    expect.equal(first.operation, "ack_work_item", "the operation")
    expect.equal(str(first), f"ack_work_item: {first.message}", "the text")
    expect.equal(first, second, "two errors of one cause")
    expect.different(first, ProviderError("ack_work_item", first.message, retryable=True), "other class")
    expect.different(first, ProviderError("other", first.message, retryable=False), "other operation")
    bare = ProviderError.from_text("busy")
    expect.equal((bare.operation, bare.message, bare.retryable), ("unknown", "busy", True), "a bare text")
