"""What two callers may set differently is theirs alone: each call's durations, ids, filters and limits.

Each function makes the same call several times with other settings, in an order in which neither the first,
nor the last, nor the largest, nor the smallest is right for all, and looks at what became of each.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from holdfast.core.contract.ids import Millis
from holdfast.core.contract.management import InstanceFilter, PruneOptions
from holdfast.core.contract.provider import FetchedWork, Provider
from holdfast.providers.conformance import expect
from holdfast.providers.conformance.fixture import Fixture
from holdfast.providers.conformance.messages import activity, external, note, start, started, timer

LENGTHS = (3_000, 1_000, 4_000, 2_000)
"""Milliseconds that four callers ask for."""

LONG = 600_000
"""Longer than anything here lasts."""


async def alone(fx: Fixture, *bodies: Callable[[Fixture], Awaitable[None]]) -> None:
    """Each on a fresh store of its own, whatever the check has left behind in its store."""
    for body in bodies:
        fresh = Fixture(fx.factory)
        try:
            await body(fresh)
        finally:
            await fresh.close()


Free = Callable[[], Awaitable[str | None]]
"""Takes what is free, for long, and says which it was; None if nothing is."""


async def come_free(fx: Fixture, what: str, take: Free, *, since: int) -> None:
    """Number n, counted from 0, comes free `LENGTHS[n]` after `since`, and neither sooner nor later."""
    for length in sorted(LENGTHS):
        fx.clock.advance(since + length - 1 - fx.clock())
        expect.nothing(await take(), f"{what}, {length} ms: what is free 1 ms before")
        fx.clock.advance(1)
        expected = f"i{LENGTHS.index(length)}"
        expect.equal(await take(), expected, f"{what}, {length} ms: what is free then")
        expect.nothing(await take(), f"{what}, {length} ms: what else is free then")


def _callers(fx: Fixture) -> list[Provider]:
    """A provider object for each, as four processes have them."""
    return [fx.provider, *(fx.open() for _ in LENGTHS[1:])]


def _turns(fx: Fixture) -> Free:
    async def take() -> str | None:
        turn = await fx.try_turn(lock=LONG)
        return None if turn is None else turn.item.instance

    return take


def _rows(fx: Fixture) -> Free:
    async def take() -> str | None:
        work = await fx.try_work(lock=LONG)
        return None if work is None else work.item.instance

    return take


def _claims(fx: Fixture, worker: str) -> Free:
    async def take() -> str | None:
        work = await fx.try_claim(worker, lock=LONG, lease=LONG)
        return None if work is None else work.item.instance

    return take


# --- turns ------------------------------------------------------------------------------------------------


async def turn_locks(fx: Fixture) -> None:
    """Instance locks taken for different times, each instance having been locked for another before."""
    await fx.send(*(start(f"i{n}") for n in range(len(LENGTHS))))
    for turn in [await fx.turn(lock=500) for _ in LENGTHS]:
        await fx.abandon_turn(turn)
    for n, (by, length) in enumerate(zip(_callers(fx), LENGTHS, strict=True)):
        await fx.turn(f"i{n}", by=by, lock=length)
    await come_free(fx, "instance locks", _turns(fx), since=fx.clock())


async def turn_renewals(fx: Fixture) -> None:
    """Instance locks renewed for different times, for the third time each; the last is not the longest."""
    await fx.send(*(start(f"i{n}") for n in range(len(LENGTHS))))
    held = [await fx.turn(f"i{n}", lock=500) for n in range(len(LENGTHS))]
    for extension in (600, 6_000):
        for turn in held:
            await fx.renew_turn(turn, extension)
    for by, turn, length in zip(_callers(fx), held, LENGTHS, strict=True):
        await by.renew_orchestration_item_lock(turn.token, extend_for=Millis(length))
    await come_free(fx, "renewed instance locks", _turns(fx), since=fx.clock())


async def turn_delays(fx: Fixture) -> None:
    """Turns given back with different delays, for the second time each."""
    await fx.send(*(start(f"i{n}") for n in range(len(LENGTHS))))
    for turn in [await fx.turn() for _ in LENGTHS]:
        await fx.abandon_turn(turn, 500)
    fx.clock.advance(500)
    held = [await fx.turn(f"i{n}") for n in range(len(LENGTHS))]
    for by, turn, length in zip(_callers(fx), held, LENGTHS, strict=True):
        await by.abandon_orchestration_item(turn.token, delay=Millis(length))
    await come_free(fx, "delays of turns given back", _turns(fx), since=fx.clock())


async def message_delays(fx: Fixture) -> None:
    """Messages enqueued with different delays, after one without to the same instance."""
    for n in range(len(LENGTHS)):
        await fx.begin(f"i{n}")
    for n, (by, length) in enumerate(zip(_callers(fx), LENGTHS, strict=True)):
        await by.enqueue_for_orchestrator(external(f"i{n}"), delay=Millis(length))
    await come_free(fx, "delays of messages", _turns(fx), since=fx.clock())


async def timer_times(fx: Fixture) -> None:
    """Timers of one turn that fire at different times."""
    now = fx.clock()
    timers = [timer(f"i{n}", fire_at_ms=now + length) for n, length in enumerate(LENGTHS)]
    for n in range(len(LENGTHS)):
        await fx.begin(f"i{n}")
    await fx.begin("starter", messages=timers)
    await come_free(fx, "timers", _turns(fx), since=now)


# --- work items -------------------------------------------------------------------------------------------


async def work_locks(fx: Fixture) -> None:
    """Item locks taken for different times, each item having been locked for another before."""
    await fx.put(*(activity(2, f"i{n}") for n in range(len(LENGTHS))))
    for work in [await fx.work(lock=500) for _ in LENGTHS]:
        await fx.provider.abandon_work_item(work.token)
    for by, length in zip(_callers(fx), LENGTHS, strict=True):
        await fx.work(by=by, lock=length)
    await come_free(fx, "item locks", _rows(fx), since=fx.clock())


async def work_renewals(fx: Fixture) -> None:
    """Item locks renewed for different times, for the third time each; the last is not the longest."""
    await fx.put(*(activity(2, f"i{n}") for n in range(len(LENGTHS))))
    held = [await fx.work(lock=500) for _ in LENGTHS]
    for extension in (600, 6_000):
        for work in held:
            await fx.renew_work(work, extension)
    for by, work, length in zip(_callers(fx), held, LENGTHS, strict=True):
        await by.renew_work_item_lock(work.token, extend_for=Millis(length))
    await come_free(fx, "renewed item locks", _rows(fx), since=fx.clock())


async def work_delays(fx: Fixture) -> None:
    """Items given back with different delays, for the second time each."""
    await fx.put(*(activity(2, f"i{n}") for n in range(len(LENGTHS))))
    for work in [await fx.work() for _ in LENGTHS]:
        await fx.provider.abandon_work_item(work.token, delay=Millis(500))
    fx.clock.advance(500)
    held = [await fx.work() for _ in LENGTHS]
    for by, work, length in zip(_callers(fx), held, LENGTHS, strict=True):
        await by.abandon_work_item(work.token, delay=Millis(length))
    await come_free(fx, "delays of items given back", _rows(fx), since=fx.clock())


# --- sessions ---------------------------------------------------------------------------------------------


async def _claimed(fx: Fixture, *, lock: int, lease: int) -> list[FetchedWork]:
    """A session for each length, claimed by A through the first of its two rows."""
    for row in (2, 3):
        await fx.put(*(activity(row, f"i{n}", session="s") for n in range(len(LENGTHS))))
    return [await fx.claim("A", lock=lock, lease=lease) for _ in LENGTHS]


async def claimed_item_locks(fx: Fixture) -> None:
    """Item locks of one worker's claims, taken for different times, while the sessions last."""
    await fx.put(*(activity(2, f"i{n}", session="s") for n in range(len(LENGTHS))))
    for work in [await fx.claim("A", lock=500, lease=LONG) for _ in LENGTHS]:
        await fx.provider.abandon_work_item(work.token)
    for by, length in zip(_callers(fx), LENGTHS, strict=True):
        await fx.claim("A", by=by, lock=length, lease=LONG)
    await come_free(fx, "item locks of claims", _claims(fx, "A"), since=fx.clock())


async def claims(fx: Fixture) -> None:
    """One worker's sessions claimed for different times, each for the second time, while the items last."""
    for work in await _claimed(fx, lock=LONG, lease=500):
        await fx.provider.abandon_work_item(work.token)
    for by, length in zip(_callers(fx), LENGTHS, strict=True):
        await fx.claim("A", by=by, lock=LONG, lease=length)
    await come_free(fx, "sessions claimed", _claims(fx, "B"), since=fx.clock())


async def session_renewals(fx: Fixture) -> None:
    """Sessions renewed for different times, for the second time each."""
    await _claimed(fx, lock=LONG, lease=500)
    for n in range(len(LENGTHS)):
        await fx.renew_session("A", instance=f"i{n}", extend_for=600)
    for n, (by, length) in enumerate(zip(_callers(fx), LENGTHS, strict=True)):
        await by.renew_session_lock(f"i{n}", "s", "A", extend_for=Millis(length))
    await come_free(fx, "sessions renewed", _claims(fx, "B"), since=fx.clock())


async def item_renewals(fx: Fixture) -> None:
    """Item renewals that extend item and session for different times."""
    held = await _claimed(fx, lock=500, lease=500)
    for work in held:
        await fx.renew_work(work, 600, session_for=600)
    for by, work, length in zip(_callers(fx), held, LENGTHS, strict=True):
        await by.renew_work_item_lock(work.token, extend_for=Millis(LONG), extend_session_for=Millis(length))
    await come_free(fx, "sessions of renewed items", _claims(fx, "B"), since=fx.clock())
    await _sessions_of_another(fx)


async def _sessions_of_another(fx: Fixture) -> None:
    """The other way round: what runs out is the item, while its session lasts."""
    await fx.management.delete_instances_atomic([f"i{n}" for n in range(len(LENGTHS))], force=True)
    for n in range(len(LENGTHS)):
        await fx.put(activity(2, f"i{n}", session="t"))
    held = [await fx.claim("C", lock=500, lease=500) for _ in LENGTHS]
    for by, work, length in zip(_callers(fx), held, LENGTHS, strict=True):
        await by.renew_work_item_lock(work.token, extend_for=Millis(length), extend_session_for=Millis(LONG))
    await come_free(fx, "items renewed with their sessions", _claims(fx, "C"), since=fx.clock())


# --- reads and pruning ------------------------------------------------------------------------------------


async def executions(fx: Fixture) -> None:
    """Executions of two instances, each with a history, a status and an output of its own."""
    for instance in ("a", "b"):
        await fx.begin(instance, note(2, f"{instance}1"), status="ContinuedAsNew", output=f"{instance}1")
        for number in (2, 3):
            told = (started(execution_id=number), note(2, f"{instance}{number}"))
            await fx.step(
                instance, *told, execution_id=number, status="ContinuedAsNew", output=f"{instance}{number}"
            )
    for instance, number in (("b", 2), ("a", 1), ("a", 3), ("b", 1), ("a", 2), ("b", 3)):
        text = f"{instance}{number}"
        for read in (fx.provider.read_with_execution, fx.management.read_history_with_execution_id):
            history = await read(instance, number)
            expect.equal(history, [started(execution_id=number), note(2, text)], f"history of {text}")
        info = await fx.management.get_execution_info(instance, number)
        expect.equal((info.execution_id, info.output), (number, text), f"execution {text}")


async def appended(fx: Fixture) -> None:
    """Events appended to executions of two instances are found in each of them alone."""
    places = (("b", 2), ("a", 1), ("a", 3), ("b", 1))
    for instance, number in places:
        await fx.provider.append_with_execution(instance, number, [note(1, f"{instance}{number}")])
    for instance in ("a", "b"):
        for number in (1, 2, 3):
            expected = [note(1, f"{instance}{number}")] if (instance, number) in places else []
            found = await fx.provider.read_with_execution(instance, number)
            expect.equal(found, expected, f"what was appended to {instance}{number}")


async def bulk_pruning(fx: Fixture) -> None:
    """Bulk pruning by limit, by the end of the current execution, by number and by the end of old ones."""
    begun = fx.clock()
    for instance in ("a", "b", "c"):
        await fx.begin(instance, status="ContinuedAsNew")
        fx.clock.advance(10)
        for number in (2, 3, 4):
            await fx.step(instance, execution_id=number, status="ContinuedAsNew")
        await fx.step(instance, execution_id=5, status="Completed")
        fx.clock.advance(100)

    async def pruned(filter: InstanceFilter, options: PruneOptions) -> list[int]:
        before = await left()
        await fx.management.prune_executions_bulk(filter, options)
        return [one - other for one, other in zip(before, await left(), strict=True)]

    async def left() -> list[int]:
        return [len(await fx.management.list_executions(instance)) for instance in ("a", "b", "c")]

    everyone = InstanceFilter()
    expect.equal(await pruned(InstanceFilter(limit=0), PruneOptions(keep_last=1)), [0, 0, 0], "limit 0")
    expect.equal(sum(await pruned(InstanceFilter(limit=1), PruneOptions(keep_last=4))), 1, "limit 1")
    expect.equal(sum(await pruned(everyone, PruneOptions(keep_last=4))), 2, "no limit")
    early = InstanceFilter(completed_before=begun + 100)
    expect.equal(await pruned(early, PruneOptions(keep_last=3)), [1, 0, 0], "of the first to end")
    old = PruneOptions(completed_before=begun + 100)
    expect.equal(await pruned(everyone, old), [2, 0, 0], "executions that ended first")
    later = InstanceFilter(completed_before=begun + 200)
    expect.equal(await pruned(later, PruneOptions(keep_last=2)), [0, 2, 0], "of the first two to end")
    expect.equal(await pruned(everyone, PruneOptions(keep_last=3)), [0, 0, 1], "all but the last three")
