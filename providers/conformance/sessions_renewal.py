"""Explicit sessions: renewing and releasing a session, and when it lapses (PV-26.1 to PV-26.5)."""

from __future__ import annotations

from holdfast.core.contract.store import SessionRecord
from holdfast.providers.conformance import expect, settings, side_by_side
from holdfast.providers.conformance.fixture import LEASE, Fixture
from holdfast.providers.conformance.messages import activity
from holdfast.providers.conformance.registry import session_check


async def _held_by_a(fx: Fixture, *, rows: int = 2) -> None:
    """An instance with one open session, attached to A through the first of its rows."""
    work = [activity(id, session="s") for id in range(2, 2 + rows)]
    await fx.begin(opened=["s"], work=work)
    await fx.claim("A")


@session_check("PVC-219")
async def renew_session_lock_extends(fx: Fixture) -> None:
    """Renewal by the owner moves the stored expiry forward, and a short one never back."""
    await _held_by_a(fx)
    fx.clock.advance(1_000)
    await fx.renew_session("A")
    renewed = SessionRecord("i", "s", "A", fx.clock() + LEASE)
    expect.equal(fx.session(), renewed, "the record after the renewal")
    await fx.renew_session("A", extend_for=1)
    expect.equal(fx.session(), renewed, "the record after a short renewal")
    await settings.alone(fx, settings.session_renewals)


@session_check("PVC-220")
async def renew_session_lock_fails_if_deleted(fx: Fixture) -> None:
    """After the session was closed renewal raises a permanent error and releasing does nothing."""
    await _held_by_a(fx)
    await fx.step(closed=["s"])
    await expect.refused(fx.renew_session("A"), "session i/s not owned by A")
    await fx.release("A")
    await expect.refused(fx.renew_session("A"))


@session_check("PVC-221")
async def renew_session_lock_fails_if_stolen(fx: Fixture) -> None:
    """After another worker took the lapsed session the former owner's renewal raises and changes nothing."""
    await _held_by_a(fx)
    fx.clock.advance(LEASE)
    await fx.claim("B")
    await expect.refused(fx.renew_session("A", extend_for=10 * LEASE), "session i/s not owned by A")
    await fx.no_claim("A")
    fx.clock.advance(LEASE)
    await fx.claim("A")


@session_check("PVC-222")
async def release_session_lock_clears_attachment(fx: Fixture) -> None:
    """Release leaves the record without worker and without expiry."""
    await _held_by_a(fx)
    await fx.release("A")
    expect.equal(fx.session(), SessionRecord("i", "s", None, None), "the record")


@session_check("PVC-223")
async def release_session_lock_noop_if_not_owner(fx: Fixture) -> None:
    """Release by a worker that does not own the session succeeds and changes nothing."""
    await _held_by_a(fx)
    await fx.release("B")
    await fx.release("B", session_id="unknown")
    await fx.release("A", instance="unknown")
    await fx.no_claim("B")
    await fx.renew_session("A")
    await fx.release("B")
    await fx.no_claim("B")
    await fx.release("A")
    await fx.claim("B")


@session_check("PVC-240")
async def very_long_session_id_handled(fx: Fixture) -> None:
    """A session id of 1,024 bytes, of one-byte and of two-byte characters, goes through every call."""
    for instance, long in (("one", "x" * 1_024), ("two", "é" * 512)):
        rows = [activity(2, instance, session=long), activity(3, instance, session=long)]
        await fx.begin(instance, opened=[long], work=rows)
        work = await fx.claim("A")
        expect.equal(work.item.session_id, long, "the session id")
        await fx.renew_work(work, session_for=LEASE)
        await fx.renew_session("A", instance=instance, session_id=long)
        await fx.no_claim("B")
        await fx.release("A", instance=instance, session_id=long)
        await fx.claim("B")
        await fx.step(instance, closed=[long])
        await expect.refused(fx.renew_session("B", instance=instance, session_id=long))
        await fx.no_claim("B")
    await side_by_side.sessions(fx)


@session_check("PVC-247")
async def session_release_reclaim(fx: Fixture) -> None:
    """After release another worker claims the next row at once."""
    await _held_by_a(fx)
    await fx.no_claim("B")
    await fx.release("A")
    expect.equal((await fx.claim("B")).item.id, 3, "B's row")
    await expect.refused(fx.renew_session("A"))
    await fx.no_claim("A")


@session_check("PVC-248")
async def wrong_worker_renewal_rejected(fx: Fixture) -> None:
    """Renewal under a name that does not own the session raises with the prescribed text."""
    await _held_by_a(fx)
    error = await expect.refused(fx.renew_session("a"))
    expect.equal(error.message, "session i/s not owned by a", "the message")
    expect.equal(error.operation, "renew_session_lock", "the operation")
    fx.clock.advance(LEASE)
    await fx.claim("B")


@session_check("PVC-267")
async def renew_lapsed_unclaimed_succeeds(fx: Fixture) -> None:
    """Renewing a lapsed, unclaimed session works and shuts others out again."""
    await _held_by_a(fx)
    fx.clock.advance(LEASE + 1)
    await fx.renew_session("A")
    await fx.no_claim("B")
    fx.clock.advance(LEASE - 1)
    await fx.no_claim("B")
    fx.clock.advance(1)
    await fx.claim("B")


@session_check("PVC-268")
async def renew_never_creates(fx: Fixture) -> None:
    """Renewing a session that does not exist raises and leaves no record."""
    await fx.begin(work=[activity(2, session="s")])
    await expect.refused(fx.renew_session("A"), "session i/s not owned by A")
    await fx.claim("B")
    await expect.refused(fx.renew_session("A"))


@session_check("PVC-269")
async def renew_unattached_raises(fx: Fixture) -> None:
    """Renewing an opened but never claimed session raises."""
    await fx.begin(opened=["s"], work=[activity(2, session="s")])
    await expect.refused(fx.renew_session("A"), "session i/s not owned by A")
    await expect.refused(fx.renew_session(""))
    await fx.claim("B")


@session_check("PVC-281")
async def boundary_expiry_equals_now(fx: Fixture) -> None:
    """At expiry exactly equal to now the session is claimable, and held one millisecond earlier."""
    await _held_by_a(fx)
    fx.clock.advance(LEASE - 1)
    await fx.no_claim("B")
    fx.clock.advance(1)
    await fx.no_claim("A", claim_new=False)
    await fx.claim("B")


@session_check("PVC-282")
async def all_sessions_of_dead_worker_reclaimed(fx: Fixture) -> None:
    """Three sessions of a silent worker are each claimable after their own lapse and not before."""
    names = ("one", "two", "three")
    await fx.put(*(activity(id, session=name) for id, name in enumerate(names)))
    for _ in names:
        await fx.claim("A")
        fx.clock.advance(1_000)
    fx.clock.advance(LEASE - 3_000)
    for id, _ in enumerate(names):
        expect.equal((await fx.claim("B")).item.id, id, "the session that has just lapsed")
        await fx.no_claim("B")
        fx.clock.advance(1_000)
    await fx.no_claim("A")
