"""Explicit sessions: which rows a fetch considers, and what fetching one does to its session (PV-24)."""

from __future__ import annotations

from holdfast.core.contract.provider import TagFilter
from holdfast.core.contract.store import SessionRecord
from holdfast.providers.conformance import expect, settings, side_by_side
from holdfast.providers.conformance.fixture import LEASE, NOW, Fixture
from holdfast.providers.conformance.messages import activity, failed
from holdfast.providers.conformance.registry import session_check


@session_check("PVC-214")
async def fetch_work_item_skips_session_items(fx: Fixture) -> None:
    """The plain fetch returns only rows without session although session rows are older."""
    await fx.put(activity(2, session="s"), activity(3))
    expect.equal((await fx.work()).item, activity(3), "the plain fetch")
    await fx.no_work()
    expect.equal((await fx.claim("A")).attempt_count, 1, "attempts of the row passed over")


@session_check("PVC-215")
async def fetch_session_work_item_returns_both(fx: Fixture) -> None:
    """The session fetch returns claimable session rows and plain rows over successive calls."""
    await fx.put(activity(2, session="s"), activity(3), activity(4, session="t"))
    ids = [(await fx.claim("A")).item.id for _ in range(3)]
    expect.equal(ids, [2, 3, 4], "rows handed out")
    await fx.no_claim("A")


@session_check("PVC-216")
async def fetch_session_claims_unclaimed(fx: Fixture) -> None:
    """Fetching a row of a session without record returns it and leaves a record naming the worker."""
    await fx.put(activity(2, session="s"))
    expect.nothing(fx.session("s"), "the record before the claim")
    await fx.claim("A")
    expect.equal(fx.session("s"), SessionRecord("i", "s", "A", fx.clock() + LEASE), "the record")


@session_check("PVC-217")
async def fetch_session_skips_other_workers_session(fx: Fixture) -> None:
    """Rows of a session attached to another worker are not returned."""
    await fx.put(activity(2, session="s"), activity(3, session="s"))
    await fx.claim("A")
    await fx.no_claim("B")
    expect.equal((await fx.claim("A")).item.id, 3, "the owner's next row")
    await side_by_side.workers(fx)


@session_check("PVC-218")
async def fetch_session_reclaims_expired_lock(fx: Fixture) -> None:
    """When the owner's lock has lapsed another worker's fetch takes session and row."""
    await fx.put(activity(2, session="s"), activity(3, session="s"))
    await fx.claim("A")
    fx.clock.advance(LEASE - 1)
    await fx.no_claim("B")
    fx.clock.advance(1)
    taken = await fx.claim("B")
    expect.equal((taken.item.id, taken.attempt_count), (2, 2), "row and attempt taken over")
    await fx.no_claim("A")
    expect.equal((await fx.claim("B")).item.id, 3, "the new owner's next row")


@session_check("PVC-236")
async def session_activity_on_worker_with_no_registry(fx: Fixture) -> None:
    """A session row abandoned with a delay and no ignore-attempt comes back to its worker, counting up."""
    await fx.put(activity(2, session="s"))
    for attempt in (1, 2, 3):
        work = await fx.claim("A")
        expect.equal(work.attempt_count, attempt, "attempt")
        await fx.provider.abandon_work_item(work.token, delay=fx.lock_timeout)
        await fx.no_claim("A")
        fx.clock.advance(fx.lock_timeout)
        await fx.no_claim("B")


@session_check("PVC-237")
async def poison_message_in_session(fx: Fixture) -> None:
    """Acknowledging a much-tried session row with a failure leaves the session and its other rows working."""
    await fx.begin(opened=["s"], work=[activity(2, session="s"), activity(3, session="s")])
    for _ in range(10):
        await fx.provider.abandon_work_item((await fx.claim("A")).token)
    poisoned = await fx.claim("A")
    expect.equal(poisoned.attempt_count, 11, "attempts")
    await fx.provider.ack_work_item(poisoned.token, failed(id=2))
    await fx.no_claim("B")
    other = await fx.claim("A")
    expect.equal((other.item.id, other.attempt_count), (3, 1), "the other row and its attempt")
    await fx.renew_session("A")


@session_check("PVC-239")
async def empty_session_id_string_rejected(fx: Fixture) -> None:
    """An empty worker name is refused; an empty session id is stored as text and disturbs no plain row."""
    await fx.put(activity(2, session=""), activity(3))
    await expect.refused(fx.try_claim(""))
    expect.equal((await fx.work()).item.id, 3, "the plain fetch")
    await fx.no_work()
    expect.equal((await fx.claim("A")).item, activity(2, session=""), "the session fetch")
    await fx.renew_session("A", session_id="")


@session_check("PVC-242")
async def session_fifo_no_starvation(fx: Fixture) -> None:
    """Plain, session, plain come out in exactly that order."""
    await fx.put(activity(2), activity(3, session="s"), activity(4))
    ids = [(await fx.claim("A")).item.id for _ in range(3)]
    expect.equal(ids, [2, 3, 4], "order")


@session_check("PVC-243")
async def session_lock_extended_on_fetch(fx: Fixture) -> None:
    """Fetching a second row of an own session keeps others out for a full further session time."""
    await fx.put(activity(2, session="s"), activity(3, session="s"))
    await fx.claim("A")
    fx.clock.advance(LEASE - 1)
    await fx.claim("A")
    fx.clock.advance(LEASE - 1)
    await fx.no_claim("B")
    fx.clock.advance(1)
    await fx.claim("B")
    await settings.alone(fx, settings.claims, settings.claimed_item_locks)


@session_check("PVC-244")
async def session_item_skipped_when_owned_by_other(fx: Fixture) -> None:
    """A worker passes over an older foreign session row and gets the younger plain one."""
    await fx.put(activity(2, session="s"), activity(3, session="s"), activity(4))
    await fx.claim("A")
    expect.equal((await fx.claim("B")).item.id, 4, "what the other worker gets")
    passed_over = await fx.claim("A")
    expect.equal((passed_over.item.id, passed_over.attempt_count), (3, 1), "the row passed over")


@session_check("PVC-272")
async def many_blocked_rows_do_not_hide_plain_row(fx: Fixture) -> None:
    """Behind 200 rows of foreign sessions a plain row is found."""
    blocked = [activity(id, session="s" if id % 2 else "t") for id in range(2, 204)]
    await fx.put(*blocked)
    await fx.claim("A")
    await fx.claim("A")
    await fx.put(activity(500))
    expect.equal((await fx.claim("B")).item.id, 500, "what the other worker gets")
    await fx.no_claim("B")
    expect.equal((await fx.claim("A")).attempt_count, 1, "attempts of a row passed over")


async def _at_the_limit(fx: Fixture) -> None:
    """A holds `own` and once held `lapsed`, B holds `foreign`; a row waits in each, in `free` and in none."""
    await fx.put(activity(2, session="lapsed"))
    await fx.claim("A", lease=1)
    fx.clock.advance(1)
    await fx.put(activity(3, session="own"))
    await fx.claim("A")
    await fx.put(activity(4, session="foreign"))
    await fx.claim("B")
    waiting = ["free", "foreign", "lapsed", "own", None]
    await fx.put(*(activity(10 + rank, session=name) for rank, name in enumerate(waiting)))


@session_check("PVC-273")
async def claim_new_false_serves_own_and_plain_only(fx: Fixture) -> None:
    """At its limit a worker gets plain rows and rows of its live sessions; of a lapsed one after renewal."""
    await _at_the_limit(fx)
    expect.equal((await fx.claim("A", claim_new=False)).item.id, 13, "the row of the own session")
    expect.equal((await fx.claim("A", claim_new=False)).item.id, 14, "the plain row")
    await fx.no_claim("A", claim_new=False)
    await fx.renew_session("A", session_id="lapsed")
    expect.equal((await fx.claim("A", claim_new=False)).item.id, 12, "the row of the renewed session")
    expect.equal((await fx.claim("B", claim_new=False)).item.id, 11, "the other worker's own row")
    expect.equal((await fx.claim("B")).item.id, 10, "the free row, for one with room")


@session_check("PVC-274")
async def claim_new_false_changes_no_owner(fx: Fixture) -> None:
    """Whatever a fetch at the limit returns, no record's worker changes and none is created."""
    await _at_the_limit(fx)
    owners = [(record.session_id, record.worker_id) for record in fx.sessions()]
    expect.equal(len(owners), 3, "sessions with a record")
    for worker in ("A", "A", "A", "C", "C"):
        await fx.try_claim(worker, claim_new=False)
        after = [(record.session_id, record.worker_id) for record in fx.sessions()]
        expect.equal(after, owners, f"owners after a fetch of {worker} at its limit")


@session_check("PVC-275")
async def session_and_tag_filters_combine(fx: Fixture) -> None:
    """A session is not claimed through a row of another tag."""
    await fx.put(activity(2, session="s", tag="gpu"), activity(3, session="s", tag="cpu"))
    await fx.no_claim("A")
    await fx.no_claim("A", tags=TagFilter.only("tpu"))
    expect.equal((await fx.claim("B", tags=TagFilter.only("cpu"))).item.id, 3, "B's row")
    await fx.no_claim("A", tags=TagFilter.any())
    passed_over = await fx.claim("B", tags=TagFilter.default_and("gpu"))
    expect.equal((passed_over.item.id, passed_over.attempt_count), (2, 1), "the row passed over")


@session_check("PVC-276")
async def concurrent_rows_of_one_session(fx: Fixture) -> None:
    """One worker can hold three rows of one session at once."""
    await fx.put(*(activity(id, session="s") for id in (2, 3, 4)))
    held = [await fx.claim("A") for _ in range(3)]
    for work in held:
        await fx.renew_work(work)
    for work in reversed(held):
        await fx.provider.ack_work_item(work.token)
    await fx.no_claim("A")


@session_check("PVC-384")
async def claimed_row_names_worker(fx: Fixture) -> None:
    """A held session row names its worker, an abandoned one none, a refetched one the new, a plain one no."""
    await fx.put(activity(2, session="s"), activity(3))
    fx.rows()
    work = await fx.claim("A")
    await fx.claim("A")
    expect.equal([row.claimed_by for row in fx.rows()], ["A", None], "claimed_by while held")
    await fx.provider.abandon_work_item(work.token)
    expect.equal([row.claimed_by for row in fx.rows()], [None, None], "claimed_by after the abandon")
    await fx.release("A")
    await fx.claim("B")
    expect.equal([row.claimed_by for row in fx.rows()], ["B", None], "claimed_by after the refetch")


@session_check("PVC-385")
async def session_claim_without_instance(fx: Fixture) -> None:
    """A session row of an unknown instance can be claimed, and the record stays when the row is gone."""
    await fx.put(activity(2, "ghost", session="s"))
    work = await fx.claim("A")
    await fx.provider.ack_work_item(work.token)
    expect.equal(
        fx.session("s", "ghost"), SessionRecord("ghost", "s", "A", fx.clock() + LEASE), "the record left"
    )
    expect.nothing(await fx.management.list_instances(), "instances")


@session_check("PVC-386")
async def abandoned_row_stays_with_owner_until_release(fx: Fixture) -> None:
    """Others get an abandoned row only after the session is released."""
    await fx.put(activity(2, session="s"))
    await fx.provider.abandon_work_item((await fx.claim("A")).token, delay=NOW)
    await fx.no_claim("B")
    await fx.provider.abandon_work_item((await fx.claim("A")).token)
    await fx.no_claim("B")
    await fx.release("A")
    expect.equal((await fx.claim("B")).attempt_count, 3, "attempts")
