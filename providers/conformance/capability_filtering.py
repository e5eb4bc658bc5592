"""A dispatcher gets only executions pinned to a version it can replay (PV-13)."""

from __future__ import annotations

from holdfast.core.contract.provider import DispatcherCapabilityFilter, SemverRange, Version
from holdfast.providers.conformance import expect
from holdfast.providers.conformance.fixture import Fixture, versions
from holdfast.providers.conformance.messages import external, failure, note, started
from holdfast.providers.conformance.registry import check

V1, V2 = Version(1, 2, 3), Version(2, 0, 0)
ONLY_V1 = versions((1, 0, 0), (1, 999, 999))
ONLY_V2 = versions((2, 0, 0), (2, 999, 999))


async def _pinned(fx: Fixture, instance: str = "i", pin: Version | None = V1) -> None:
    """An instance with this pin and a message waiting."""
    await fx.begin(instance, pin=pin)
    await fx.send(external(instance))


@check("PVC-109")
async def fetch_with_filter_none_returns_any_item(fx: Fixture) -> None:
    """Without a filter any pinned instance is handed out."""
    await _pinned(fx, pin=Version(99, 99, 99))
    await fx.turn("i")


@check("PVC-110")
async def fetch_with_compatible_filter_returns_item(fx: Fixture) -> None:
    """A range that contains the pinned version lets it through."""
    await _pinned(fx)
    await fx.turn("i", filter=ONLY_V1)


@check("PVC-111")
async def fetch_with_incompatible_filter_skips_item(fx: Fixture) -> None:
    """A range that does not contain it gives nothing."""
    await _pinned(fx)
    await fx.no_turn(filter=ONLY_V2)
    expect.equal((await fx.turn()).attempt_count, 1, "attempts")


@check("PVC-112")
async def fetch_filter_skips_incompatible_selects_compatible(fx: Fixture) -> None:
    """Of two instances with different pins each range gets its own, whatever the queue order."""
    await _pinned(fx, "one", V1)
    await _pinned_behind(fx, "two", V2)
    await fx.turn("two", filter=ONLY_V2)
    await fx.turn("one", filter=ONLY_V1)


async def _pinned_behind(fx: Fixture, instance: str, pin: Version) -> None:
    """As `_pinned`, while an older instance is waiting too, which must keep its place."""
    waiting = await fx.turn()
    await _pinned(fx, instance, pin)
    await fx.abandon_turn(waiting, ignore_attempt=True)


@check("PVC-113")
async def fetch_filter_does_not_lock_skipped_instances(fx: Fixture) -> None:
    """An instance passed over by one filter is free for another."""
    await _pinned(fx)
    await fx.no_turn(filter=ONLY_V2)
    await fx.turn("i", filter=ONLY_V1)


@check("PVC-114")
async def fetch_filter_null_pinned_version_always_compatible(fx: Fixture) -> None:
    """An execution without pin passes a filter far away from any real version."""
    await _pinned(fx, pin=None)
    await fx.turn("i", filter=versions((900, 0, 0), (901, 0, 0)))


@check("PVC-115")
async def fetch_filter_boundary_versions(fx: Fixture) -> None:
    """Both ends of a range are inside, the next version is outside."""
    bounds = versions((1, 2, 3), (1, 4, 5))
    for instance, pin in (("low", (1, 2, 3)), ("high", (1, 4, 5))):
        await _pinned(fx, instance, Version(*pin))
        await fx.ack(await fx.turn(instance, filter=bounds))
    for instance, pin in (("below", (1, 2, 2)), ("above", (1, 4, 6)), ("far", (2, 0, 0)), ("old", (0, 9, 9))):
        await _pinned(fx, instance, Version(*pin))
        await fx.no_turn(filter=bounds)
        await fx.ack(await fx.turn(instance))


@check("PVC-116")
async def pinned_version_stored_via_ack_metadata(fx: Fixture) -> None:
    """The pin comes from acknowledgement metadata."""
    await fx.begin("i", started(2, version="2.0.0"), pin=V1)
    await fx.send(external())
    await fx.no_turn(filter=ONLY_V2)
    await fx.turn("i", filter=ONLY_V1)


@check("PVC-117")
async def pinned_version_immutable_across_ack_cycles(fx: Fixture) -> None:
    """A later acknowledgement without pin leaves it as it was."""
    await _pinned(fx)
    for number in (2, 3):
        await fx.ack(await fx.turn("i", filter=ONLY_V1), note(number), status="Running")
        await fx.send(external())
        await fx.no_turn(filter=ONLY_V2)


@check("PVC-118")
async def continue_as_new_execution_gets_own_pinned_version(fx: Fixture) -> None:
    """After continuing, the new execution's pin decides and the old one no longer matches."""
    await fx.begin(pin=V1, status="ContinuedAsNew")
    await fx.step(execution_id=2, pin=V2)
    await fx.send(external())
    await fx.no_turn(filter=ONLY_V1)
    await fx.ack(await fx.turn("i", filter=ONLY_V2), status="ContinuedAsNew")
    await fx.step(execution_id=3)
    await fx.send(external())
    await fx.turn("i", filter=ONLY_V1)


@check("PVC-119")
async def filter_with_empty_supported_versions_returns_nothing(fx: Fixture) -> None:
    """A filter with no range matches nothing."""
    await _pinned(fx, "one", V1)
    await fx.no_turn(filter=DispatcherCapabilityFilter(()))
    await fx.ack(await fx.turn("one"))
    await _pinned(fx, "two", None)
    await fx.no_turn(filter=DispatcherCapabilityFilter(()))


@check("PVC-120")
async def concurrent_filtered_fetch_no_double_lock(fx: Fixture) -> None:
    """A second fetch with the same filter finds the instance locked."""
    await _pinned(fx)
    await fx.turn("i", filter=ONLY_V1)
    await fx.no_turn(filter=ONLY_V1)
    await fx.no_turn()


@check("PVC-121")
async def ack_stores_pinned_version_via_metadata_update(fx: Fixture) -> None:
    """A pin can be added by a later acknowledgement."""
    await fx.begin()
    await fx.step(pin=V1)
    await fx.send(external())
    await fx.no_turn(filter=ONLY_V2)
    await fx.turn("i", filter=ONLY_V1)


@check("PVC-122")
async def provider_updates_pinned_version_when_told(fx: Fixture) -> None:
    """A different pin replaces the stored one."""
    await fx.begin(pin=V1)
    await fx.step(pin=V2)
    await fx.send(external())
    await fx.no_turn(filter=ONLY_V1)
    await fx.turn("i", filter=ONLY_V2)


@check("PVC-127")
async def fetch_single_range_only_uses_first_range(fx: Fixture) -> None:
    """Of a filter with two ranges only the first counts."""
    two_ranges = DispatcherCapabilityFilter(
        (SemverRange(Version(1, 0, 0), Version(1, 9, 9)), SemverRange(Version(2, 0, 0), Version(2, 9, 9)))
    )
    await _pinned(fx, "second", V2)
    await fx.no_turn(filter=two_ranges)
    await _pinned_behind(fx, "first", V1)
    await fx.turn("first", filter=two_ranges)


@check("PVC-336")
async def version_triples_above_999(fx: Fixture) -> None:
    """Pins with parts of 1,000 and more compare correctly."""
    bounds = versions((1, 1_000, 5), (1, 2_000_000, 0))
    for instance, pin in (("a", (1, 1_000, 5)), ("b", (1, 1_000_001, 10**6))):
        await _pinned(fx, instance, Version(*pin))
        await fx.ack(await fx.turn(instance, filter=bounds))
    for instance, pin in (("c", (2, 0, 0)), ("d", (1, 999, 99_999)), ("e", (0, 5_000_000, 0))):
        await _pinned(fx, instance, Version(*pin))
        await fx.no_turn(filter=bounds)
        await fx.ack(await fx.turn(instance))


@check("PVC-123")
async def fetch_corrupted_history_filtered_vs_unfiltered(fx: Fixture) -> None:
    """Broken history is invisible to a filter that excludes the instance, else reported by history_error."""
    await _pinned(fx)
    fx.corrupt_history()
    await fx.no_turn(filter=ONLY_V2)
    turn = await fx.turn("i", filter=ONLY_V1)
    expect.present(turn.item.history_error, "history_error")
    expect.nothing(list(turn.item.history), "history")
    expect.equal(turn.item.messages, [external()], "messages")


@check("PVC-124")
async def fetch_deserialization_error_increments_attempt_count(fx: Fixture) -> None:
    """Two fetch and abandon rounds on broken history raise the count to at least 2."""
    await _broken_rounds(fx, 2)


@check("PVC-125")
async def fetch_deserialization_error_eventually_reaches_poison(fx: Fixture) -> None:
    """Five rounds on broken history each carry history_error and bring the count to at least 5."""
    await _broken_rounds(fx, 5)


async def _broken_rounds(fx: Fixture, rounds: int) -> None:
    await _pinned(fx)
    fx.attempts()
    fx.corrupt_history()
    for attempt in range(1, rounds + 1):
        turn = await fx.turn("i")
        expect.present(turn.item.history_error, "history_error")
        expect.equal(turn.attempt_count, attempt, "attempts reported")
        await fx.abandon_turn(turn)
    expect.true(fx.attempts() >= rounds, f"attempts stored are at least {rounds}: {fx.attempts()}")


@check("PVC-126")
async def fetch_filter_applied_before_history_deserialization(fx: Fixture) -> None:
    """An excluded instance with broken history causes neither item nor error, and hides no other."""
    await _pinned(fx)
    fx.corrupt_history()
    await fx.no_turn(filter=ONLY_V2)
    await _pinned_behind(fx, "two", V2)
    turn = await fx.turn("two", filter=ONLY_V2)
    expect.nothing(turn.item.history_error, "history_error")


@check("PVC-128")
async def ack_appends_event_to_corrupted_history(fx: Fixture) -> None:
    """An item with broken history can be acknowledged with a failure event, then is Failed with output."""
    await _pinned(fx)
    fx.corrupt_history()
    await fx.ack(await fx.turn("i"), failure(2), status="Failed", output="unreadable")
    info = await fx.management.get_instance_info("i")
    expect.equal((info.status, info.output), ("Failed", "unreadable"), "status and output")
    expect.equal((await fx.management.get_execution_info("i", 1)).event_count, 2, "events stored")
