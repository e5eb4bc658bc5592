"""Matrix section 22, what renewals do at the provider: of an item, with its session, and of a session."""

from __future__ import annotations

from typing import Final

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import Millis
from holdfast.core.contract.provider import Provider
from holdfast.core.contract.store import SessionRecord
from holdfast.core.contract.work_items import ActivityCompletedMessage
from holdfast.properties.matrix.parts.turns_by_hand import (
    AT_ONCE,
    ITEM_LOCK,
    D,
    begin,
    fetch,
    fetched,
    further_turn,
    ids,
    is_refused,
    item,
    item_row,
    items,
    row_of,
    sessions_named,
)
from holdfast.sim.toolkit.bench import Bench
from holdfast.sim.toolkit.scenario import scenario

LONG: Final = Millis(100_000)
"""An item lock that outlives its session's."""


@scenario(covers=["22.5", "SS-7.7", "SS-12.9", "SS-25.12", "SS-10.5"], workers=2, level="provider")
async def item_renewal_refused_when_session_moved(bench: Bench) -> None:
    """Item renewal neither extends nor steals a session that has moved, and does not extend the item."""
    a, b = bench.provider, bench.open()
    await begin(a, opened=sessions_named("s"), work=[item(2, "s"), item(3, "s")])
    held = await fetched(a, "A", lock=LONG)
    bench.clock.advance(D)
    taken = await fetched(b, "B")
    assert taken.item.id == 3, "A's item is locked still"
    moved = SessionRecord("i", "s", "B", bench.clock.now_ms() + D)
    assert row_of(bench, "s") == moved
    for extend_session_for in (D, None, Millis(10 * D)):
        bench.clock.advance(1_000)
        before = items(bench)
        error = await is_refused(
            a.renew_work_item_lock(held.token, extend_for=LONG, extend_session_for=extend_session_for)
        )
        assert error.message == "session i/s not owned by A", error
        assert items(bench) == before, "the item's lock is as it was"
        assert row_of(bench, "s") == moved, "B's row is as it was"
    done = ActivityCompletedMessage(instance="i", execution_id=1, id=2, result="late")
    await a.ack_work_item(held.token, done)
    assert ids(bench) == [("i", 3)]
    assert row_of(bench, "s") == moved
    turn = await a.fetch_orchestration_item(ITEM_LOCK, AT_ONCE)
    assert turn is not None and list(turn.item.messages) == [done], turn


@scenario(covers=["22.6", "SS-7.7", "SS-25.12"], level="provider")
async def item_renewal_refused_after_release_and_close(bench: Bench) -> None:
    """An item renewal is refused for a released session and for a closed one."""
    provider = bench.provider
    await begin(provider, opened=sessions_named("s", "t"), work=[item(2, "s"), item(3, "t")])
    released, closed = await fetched(provider, "A"), await fetched(provider, "A")
    await provider.release_session_lock("i", "s", "A")
    await further_turn(provider, "i", closed=sessions_named("t"))
    bench.clock.advance(1_000)
    before = items(bench)
    assert ids(bench) == [("i", 2)], "a close takes the items of its session along"
    for extend_session_for in (D, None):
        error = await is_refused(
            provider.renew_work_item_lock(
                released.token, extend_for=ITEM_LOCK, extend_session_for=extend_session_for
            )
        )
        assert error.message == "session i/s not owned by A", error
        await is_refused(
            provider.renew_work_item_lock(
                closed.token, extend_for=ITEM_LOCK, extend_session_for=extend_session_for
            )
        )
        assert row_of(bench, "s") == SessionRecord("i", "s", None, None)
        assert row_of(bench, "t") is None
        assert items(bench) == before


@scenario(covers=["22.7", "SS-12.9", "SS-10.1"], level="provider")
async def piggyback_uses_given_session_duration(bench: Bench) -> None:
    """The session part of an item renewal uses the duration passed for it, not the item's."""
    provider, now = bench.provider, bench.clock.now_ms
    await begin(provider, opened=sessions_named("s"), work=[item(2, "s")])
    bound = (await fetched(provider, "A", lock=LONG)).token

    async def renew(extend_for: int, extend_session_for: int | None = None) -> None:
        session = None if extend_session_for is None else Millis(extend_session_for)
        await provider.renew_work_item_lock(bound, extend_for=Millis(extend_for), extend_session_for=session)

    bench.clock.advance(5_000)
    await renew(30_000, 600_000)
    assert item_row(bench, 2).locked_until == now() + 30_000
    far = now() + 600_000
    assert row_of(bench, "s") == SessionRecord("i", "s", "A", far)
    bench.clock.advance(5_000)
    await renew(30_000, 10_000)
    assert item_row(bench, 2).locked_until == now() + 30_000
    assert row_of(bench, "s") == SessionRecord("i", "s", "A", far), "the later expiry stays"
    await renew(700_000)
    assert item_row(bench, 2).locked_until == now() + 700_000
    assert row_of(bench, "s") == SessionRecord("i", "s", "A", now() + 700_000), "one duration serves both"
    await renew(30_000)
    bench.clock.advance(29_999)
    await renew(800_000, 1_000)
    bench.clock.advance(750_000)
    lapsed = row_of(bench, "s")
    assert lapsed is not None and lapsed.locked_until is not None and lapsed.locked_until <= now(), lapsed
    await renew(30_000, 60_000)
    assert row_of(bench, "s") == SessionRecord("i", "s", "A", now() + 60_000), "live again"
    assert item_row(bench, 2).locked_until == now() + 30_000


@scenario(covers=["22.7", "SS-12.9"], level="provider")
async def renewal_of_a_plain_item_touches_no_session(bench: Bench) -> None:
    """A duration for the session has no effect with an item that has none."""
    provider = bench.provider
    await begin(provider, opened=sessions_named("s"), work=[item(2, "s"), item(3)])
    await fetched(provider, "A")
    plain = await fetched(provider, "A")
    assert plain.item.id == 3
    row = row_of(bench, "s")
    bench.clock.advance(5_000)
    for extend_session_for in (Millis(600_000), None):
        await provider.renew_work_item_lock(
            plain.token, extend_for=ITEM_LOCK, extend_session_for=extend_session_for
        )
        assert item_row(bench, 3).locked_until == bench.clock.now_ms() + ITEM_LOCK
        assert row_of(bench, "s") == row


async def _renewed(provider: Provider, worker: str) -> bool:
    """Whether the renewal of session s is accepted."""
    try:
        await provider.renew_session_lock("i", "s", worker, extend_for=D)
    except ProviderError:
        return False
    return True


@scenario(covers=["22.8", "SS-7.17", "SS-25.9"], workers=2, level="provider")
async def late_renewal_revives(bench: Bench) -> None:
    """Renewal after expiry succeeds while nobody else has claimed."""
    a, b = bench.provider, bench.open()
    await begin(a, opened=sessions_named("s"), work=[item(2, "s"), item(3, "s")])
    held = await fetched(a, "A")
    await a.ack_work_item(held.token, ActivityCompletedMessage(instance="i", execution_id=1, id=2, result=""))
    bench.clock.advance(D)
    for late in (0, 1, 100 * D):
        bench.clock.advance(late)
        row = row_of(bench, "s")
        assert row is not None and row.locked_until is not None
        assert row.worker_id == "A" and row.locked_until <= bench.clock.now_ms(), row
        assert await _renewed(a, "A"), f"refused {late} ms late, although nobody else has the session"
        assert row_of(bench, "s") == SessionRecord("i", "s", "A", bench.clock.now_ms() + D)
        assert await fetch(b, "B") is None
        bench.clock.advance(D - 1)
        assert await fetch(b, "B") is None, "live until its expiry"
        bench.clock.advance(1)
    assert (await fetched(b, "B")).item.id == 3, "expired and not renewed"


@scenario(covers=["22.11", "SS-24.5", "SS-20.8"], level="provider")
async def extension_never_shortens(bench: Bench) -> None:
    """A renewal, a fetch or a piggyback with a smaller duration does not pull the expiry in."""
    provider, short = bench.provider, Millis(10_000)
    await begin(provider, opened=sessions_named("s"), work=[item(2, "s"), item(3, "s"), item(4, "s")])
    held = await fetched(provider, "A")
    until = bench.clock.now_ms() + D
    far = SessionRecord("i", "s", "A", until)
    for _ in range(2):  # at once, and a little later
        await provider.renew_session_lock("i", "s", "A", extend_for=short)
        assert row_of(bench, "s") == far, "after a renewal"
        await fetched(provider, "A", duration=short)
        assert row_of(bench, "s") == far, "after a fetch"
        await provider.renew_work_item_lock(held.token, extend_for=short, extend_session_for=short)
        assert row_of(bench, "s") == far, "after a piggyback"
        await provider.renew_work_item_lock(held.token, extend_for=ITEM_LOCK, extend_session_for=short)
        assert row_of(bench, "s") == far, "after a piggyback of two durations"
        bench.clock.advance(7_000)
    bench.clock.advance(-15_000)
    await provider.renew_session_lock("i", "s", "A", extend_for=D)
    assert row_of(bench, "s") == far, "after a jump back"
