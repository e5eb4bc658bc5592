"""Explicit sessions: two calls at the same moment end as one after the other would (PV-24.14, PV-26.14)."""

from __future__ import annotations

from functools import partial

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.provider import FetchedWork
from holdfast.providers.conformance import expect
from holdfast.providers.conformance.fixture import LEASE, Fixture, refused_by
from holdfast.providers.conformance.messages import activity, external
from holdfast.providers.conformance.racing import succeeded, together
from holdfast.providers.conformance.registry import session_check


async def _race_to_claim(fx: Fixture, instance: str, *, reverse: bool) -> list[FetchedWork | None]:
    """A and B fetch at once, through provider objects of their own; what each was handed."""
    other = fx.open()
    outcomes = await together(
        partial(fx.try_claim, "A"), partial(fx.try_claim, "B", by=other), reverse=reverse
    )
    handed_out = succeeded(outcomes)
    expect.equal(len(handed_out), 2, f"fetches of {instance} that raised nothing")
    return handed_out


@session_check("PVC-229")
async def two_workers_race_to_claim_same_session(fx: Fixture) -> None:
    """Of two simultaneous session fetches one gets the free session's row, the other nothing or another."""
    for number in range(fx.rounds):
        instance = f"i{number}"
        rows = [activity(2, instance, session="s"), activity(3, instance, session="s")]
        plain = [activity(4, instance)] if number % 3 else []
        await fx.put(*rows, *plain)
        handed_out = await _race_to_claim(fx, instance, reverse=number % 2 == 1)
        ids = [work.item.id for work in handed_out if work is not None]
        expect.equal(sorted(ids), [2, 4] if plain else [2], f"rows handed out in round {number}")
        while (rest := await fx.try_claim("A") or await fx.try_claim("B")) is not None:
            await fx.provider.ack_work_item(rest.token)


@session_check("PVC-245")
async def session_claim_race_single_winner(fx: Fixture) -> None:
    """Fifty rounds of two racing workers on one row each: always exactly one winner."""
    for number in range(fx.rounds):
        await fx.put(activity(2, f"i{number}", session="s"))
        handed_out = await _race_to_claim(fx, f"i{number}", reverse=number % 2 == 1)
        winners = [work for work in handed_out if work is not None]
        expect.equal(len(winners), 1, f"winners of round {number}")
        owner = "B" if handed_out[0] is None else "A"
        await fx.renew_session(owner, instance=f"i{number}")
        await expect.refused(fx.renew_session("A" if owner == "B" else "B", instance=f"i{number}"))
        await fx.provider.ack_work_item(winners[0].token)


@session_check("PVC-266")
async def item_renewal_versus_take_over_race(fx: Fixture) -> None:
    """An item renewal by the old owner and a take-over at the same time: never do both succeed."""
    other = fx.open()
    for number in range(fx.rounds):
        await fx.put(activity(2, f"i{number}", session="s"), activity(3, f"i{number}", session="s"))
        work = await fx.claim("A", lock=2 * LEASE)
        fx.clock.advance(LEASE)
        renewal, taken = await together(
            partial(fx.renew_work, work, session_for=LEASE),
            partial(fx.try_claim, "B", by=other),
            reverse=number % 2 == 1,
        )
        expect.true(
            refused_by(renewal) == (taken is not None), f"either renewed or taken over: {renewal}, {taken}"
        )
        await fx.provider.ack_work_item(work.token)
        rest = taken or await fx.claim("A")
        if not isinstance(rest, ProviderError):
            await fx.provider.ack_work_item(rest.token)


@session_check("PVC-270")
async def lost_claim_tries_next_row(fx: Fixture) -> None:
    """A worker that loses a session to another in the same instant still gets the next row in that call."""
    for number in range(fx.rounds):
        rows = [activity(2, f"i{number}", session="s"), activity(3, f"i{number}", session="s")]
        await fx.put(*rows, activity(4, f"i{number}"))
        handed_out = await _race_to_claim(fx, f"i{number}", reverse=number % 2 == 1)
        expect.equal(
            sorted(work.item.id for work in handed_out if work is not None), [2, 4], f"rows of round {number}"
        )
        rest = await fx.claim("B" if handed_out[0] is None or handed_out[0].item.id == 4 else "A")
        for work in (*handed_out, rest):
            if work is not None:
                await fx.provider.ack_work_item(work.token)


@session_check("PVC-271")
async def lost_claim_does_not_count_attempt(fx: Fixture) -> None:
    """After many lost claims the row's first successful fetch reports attempt 1."""
    await fx.put(activity(2, session="s"), activity(3, session="s"))
    await fx.claim("A")
    for number in range(fx.rounds):
        outcomes = await together(
            partial(fx.try_claim, "B"), partial(fx.try_claim, "C"), reverse=number % 2 == 1
        )
        expect.equal(outcomes, [None, None], "what the others get")
    expect.equal((await fx.claim("A")).attempt_count, 1, "attempts")


@session_check("PVC-279")
async def claim_versus_close_race(fx: Fixture) -> None:
    """Claim and close at the same time end serially: no record and no row; a holder's renewal raises."""
    other = fx.open()
    for number in range(fx.rounds):
        instance = f"i{number}"
        await fx.begin(instance, opened=["s"], work=[activity(2, instance, session="s")])
        await fx.send(external(instance))
        turn = await fx.turn(instance)
        closing, claimed = await together(
            partial(fx.ack, turn, closed=["s"]),
            partial(fx.try_claim, "A", by=other),
            reverse=number % 2 == 1,
        )
        expect.true(not refused_by(closing), f"the closing turn is acknowledged: {closing}")
        if isinstance(claimed, FetchedWork):
            await expect.refused(fx.renew_work(claimed, session_for=LEASE))
        await expect.refused(fx.renew_session("A", instance=instance))
        await fx.no_claim("B")


@session_check("PVC-280")
async def claim_versus_renew_race(fx: Fixture) -> None:
    """A take-over and the old owner's renewal never both succeed."""
    other = fx.open()
    for number in range(fx.rounds):
        instance = f"i{number}"
        await fx.put(activity(2, instance, session="s"))
        await fx.claim("A")
        fx.clock.advance(LEASE)
        renewal, taken = await together(
            partial(fx.renew_session, "A", instance=instance),
            partial(fx.try_claim, "B", by=other),
            reverse=number % 2 == 1,
        )
        expect.true(
            refused_by(renewal) == (taken is not None), f"either renewed or taken over: {renewal}, {taken}"
        )
        rest = taken or await fx.claim("A")
        if not isinstance(rest, ProviderError):
            await fx.provider.ack_work_item(rest.token)
