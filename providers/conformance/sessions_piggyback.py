"""Explicit sessions: renewing a session-bound item renews its session too, or neither (PV-26.6, PV-26.7)."""

from __future__ import annotations

from holdfast.core.contract.provider import FetchedWork
from holdfast.core.contract.store import SessionRecord
from holdfast.providers.conformance import expect, settings
from holdfast.providers.conformance.fixture import LEASE, Fixture
from holdfast.providers.conformance.messages import activity
from holdfast.providers.conformance.registry import session_check

REFUSED = "session i/s not owned by A"


async def _held(fx: Fixture, *, lock: int | None = None, lease: int = LEASE) -> FetchedWork:
    """The first of two rows of session "s", held by A."""
    await fx.put(activity(2, session="s"), activity(3, session="s"))
    return await fx.claim("A", lock=lock, lease=lease)


@session_check("PVC-227")
async def renew_work_item_lock_piggybacks_session(fx: Fixture) -> None:
    """Item renewal moves the row's expiry by the first extension, the session's by the second, if later."""
    work = await _held(fx)
    fx.clock.advance(1_000)
    await fx.renew_work(work, 2_000, session_for=LEASE)
    expect.equal(fx.session(), SessionRecord("i", "s", "A", fx.clock() + LEASE), "the record")
    later = fx.session()
    await fx.renew_work(work, 2_000, session_for=LEASE - 1)
    expect.equal(fx.session(), later, "the record after a renewal that ends earlier")
    fx.clock.advance(1_999)
    await fx.renew_work(work, 2_000, session_for=LEASE)
    fx.clock.advance(2_000)
    await expect.refused(fx.renew_work(work, 2_000, session_for=LEASE))


@session_check("PVC-234")
async def session_lock_expires_during_activity(fx: Fixture) -> None:
    """With the row renewed often enough, no other worker can claim the session for several durations."""
    work = await _held(fx)
    for _ in range(int(4 * LEASE / 4_000)):
        fx.clock.advance(4_000)
        await fx.renew_work(work, session_for=LEASE)
        await fx.no_claim("B")
    await fx.provider.ack_work_item(work.token)
    fx.clock.advance(LEASE - 1)
    await fx.no_claim("B")
    fx.clock.advance(1)
    await fx.claim("B")


@session_check("PVC-260")
async def piggyback_checks_owner(fx: Fixture) -> None:
    """After a take-over the former owner's item renewal raises and moves nothing; it may acknowledge."""
    work = await _held(fx, lock=2 * LEASE)
    fx.clock.advance(LEASE)
    await fx.claim("B")
    owned = fx.session()
    error = await expect.refused(fx.renew_work(work, 4 * LEASE, session_for=4 * LEASE))
    expect.equal(error.message, REFUSED, "the message")
    expect.equal(fx.session(), owned, "the new owner's record")
    fx.clock.advance(LEASE - 1)
    await fx.provider.ack_work_item(work.token)


@session_check("PVC-261")
async def piggyback_never_shortens(fx: Fixture) -> None:
    """An item renewal with a short extension never pulls the session expiry in."""
    work = await _held(fx)
    before = fx.session()
    await fx.renew_work(work, 1, session_for=1)
    expect.equal(fx.session(), before, "the record")
    await settings.alone(fx, settings.item_renewals)


@session_check("PVC-262")
async def piggyback_does_not_reattach_released(fx: Fixture) -> None:
    """After a release the former owner's item renewal raises, neither lock changes."""
    work = await _held(fx)
    await fx.release("A")
    fx.clock.advance(1_000)
    await expect.refused(fx.renew_work(work, LEASE, session_for=LEASE), REFUSED)
    expect.equal(fx.session(), SessionRecord("i", "s", None, None), "the record")
    fx.clock.advance(fx.lock_timeout - 1_000)
    expect.equal((await fx.claim("B")).item.id, 2, "the row, free at its old expiry")


@session_check("PVC-263")
async def piggyback_default_duration(fx: Fixture) -> None:
    """Without third argument the item duration extends the session too; a plain row ignores the argument."""
    work = await _held(fx, lease=1_000)
    await fx.renew_work(work, 7_000)
    expect.equal(fx.session(), SessionRecord("i", "s", "A", fx.clock() + 7_000), "the record")
    before = fx.sessions()
    await fx.put(activity(9))
    plain = await fx.work()
    await fx.renew_work(plain, 1_000, session_for=LEASE)
    expect.equal(fx.sessions(), before, "records after renewing a plain row")
    fx.clock.advance(1_000)
    await expect.refused(fx.renew_work(plain))


@session_check("PVC-264")
async def holder_name_replaced_on_refetch(fx: Fixture) -> None:
    """A row abandoned by one worker and refetched by another is renewed by the second, not the first."""
    first = await _held(fx)
    await fx.provider.abandon_work_item(first.token)
    await fx.release("A")
    second = await fx.claim("B")
    expect.equal(second.item.id, first.item.id, "the row")
    await fx.renew_work(second, session_for=LEASE)
    await expect.refused(fx.renew_work(first, session_for=LEASE))


@session_check("PVC-265")
async def piggyback_revives_lapsed_unclaimed(fx: Fixture) -> None:
    """Item renewal by the last owner of a lapsed, unclaimed session succeeds and shuts others out again."""
    work = await _held(fx, lock=2 * LEASE)
    fx.clock.advance(LEASE)
    await fx.renew_work(work, session_for=LEASE)
    await fx.no_claim("B")
    fx.clock.advance(LEASE - 1)
    await fx.no_claim("B")


@session_check("PVC-404")
async def item_renewal_after_item_expiry_leaves_session(fx: Fixture) -> None:
    """An item renewal whose item lock has run out raises and leaves the attached session's expiry alone."""
    work = await _held(fx)
    before = fx.session()
    fx.clock.advance(fx.lock_timeout)
    await expect.refused(fx.renew_work(work, session_for=LEASE))
    expect.equal(fx.session(), before, "the record")
