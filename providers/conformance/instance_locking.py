"""One turn of an instance at a time; locks of different instances do not touch (PV-7)."""

from __future__ import annotations

from functools import partial

from holdfast.core.contract.provider import FetchedTurn
from holdfast.providers.conformance import expect
from holdfast.providers.conformance.fixture import Fixture, forged, versions
from holdfast.providers.conformance.messages import cancel, completed, external, note, queued, start, started
from holdfast.providers.conformance.racing import succeeded, together
from holdfast.providers.conformance.registry import check


async def _fetched_at_once(fx: Fixture, fetchers: int) -> list[str]:
    """The instances that so many simultaneous fetches return, over three provider objects."""
    providers = [fx.provider, fx.open(), fx.open()]
    calls = [partial(fx.try_turn, by=providers[number % 3]) for number in range(fetchers)]
    outcomes = succeeded(await together(*calls))
    expect.equal(len(outcomes), fetchers, "fetches that raised nothing")
    return [turn.item.instance for turn in outcomes if turn is not None]


@check("PVC-010")
async def exclusive_instance_lock(fx: Fixture) -> None:
    """While one fetch holds an instance a second finds nothing; after expiry it has a different token."""
    await fx.send(start())
    first = await fx.turn()
    await fx.no_turn()
    await fx.no_turn(by=fx.open())
    fx.clock.advance(fx.lock_timeout)
    second = await fx.turn("i")
    expect.different(first.token, second.token, "tokens")


@check("PVC-011")
async def lock_token_uniqueness(fx: Fixture) -> None:
    """Five fetches of five instances yield five different tokens."""
    await fx.send(*(start(f"i{number}") for number in range(5)))
    tokens = [(await fx.turn()).token for _ in range(5)]
    expect.equal(len(dict.fromkeys(tokens)), 5, "different tokens")


@check("PVC-012")
async def invalid_lock_token_rejection(fx: Fixture) -> None:
    """Unknown tokens are refused by acknowledge, abandon and renew, and the real lock is unaffected."""
    await fx.send(start())
    turn = await fx.turn()
    await expect.refused(fx.ack(forged(turn)))
    await expect.refused(fx.abandon_turn(forged(turn)))
    await expect.refused(fx.renew_turn(forged(turn)))
    await fx.no_turn()
    await fx.ack(turn, started())


@check("PVC-013")
async def concurrent_instance_fetching(fx: Fixture) -> None:
    """Ten fetchers on ten ready instances get ten different instances; nobody comes back empty."""
    instances = [f"i{number}" for number in range(10)]
    await fx.send(*(start(instance) for instance in instances))
    expect.same_elements(await _fetched_at_once(fx, 10), instances, "instances fetched")


@check("PVC-014")
async def completions_arriving_during_lock_blocked(fx: Fixture) -> None:
    """Completions for a locked instance wait for the lock to end, then come after the older start message."""
    await fx.send(start())
    await fx.turn()
    arrived = [completed(id=number) for number in (2, 3, 4)]
    await fx.send(*arrived)
    await fx.no_turn()
    fx.clock.advance(fx.lock_timeout)
    expect.equal((await fx.turn()).item.messages, [start(), *arrived], "messages")


@check("PVC-015")
async def cross_instance_lock_isolation(fx: Fixture) -> None:
    """With one instance locked, another is fetched, acknowledged, given messages and fetched again."""
    await fx.send(start("i"), start("j"))
    held = await fx.turn("i")
    await fx.ack(await fx.turn("j"), started(), name="Flow", version="1")
    await fx.send(external("j"))
    await fx.ack(await fx.turn("j"), note(2))
    await fx.ack(held, started())


@check("PVC-016")
async def message_tagging_during_lock(fx: Fixture) -> None:
    """Only messages present at the fetch vanish on acknowledgement; a later one is the next batch alone."""
    await fx.send(start(), external(data="early"))
    turn = await fx.turn()
    await fx.send(external(data="late"))
    await fx.ack(turn, started(), name="Flow", version="1")
    expect.equal(await fx.messages(), [external(data="late")], "the next batch")
    await fx.no_turn()


@check("PVC-017")
async def ack_only_affects_locked_messages(fx: Fixture) -> None:
    """Two messages that arrived during a turn are both there, in order, after it is acknowledged."""
    await fx.send(start())
    turn = await fx.turn()
    late = [completed(id=3), completed(id=2)]
    await fx.send(*late)
    await fx.ack(turn, started(), name="Flow", version="1")
    expect.equal((await fx.turn()).item.messages, late, "the next batch")


@check("PVC-018")
async def multi_threaded_lock_contention(fx: Fixture) -> None:
    """Of ten tasks fetching one ready instance exactly one gets it and it stays locked afterwards."""
    for number in range(fx.rounds // 5):
        await fx.send(start(f"i{number}"))
        expect.equal(await _fetched_at_once(fx, 10), [f"i{number}"], "instances fetched")
        await fx.no_turn()


@check("PVC-019")
async def multi_threaded_no_duplicate_processing(fx: Fixture) -> None:
    """Forty tasks over twenty instances never obtain one instance twice."""
    instances = [f"i{number}" for number in range(20)]
    await fx.send(*(start(instance) for instance in instances))
    expect.same_elements(await _fetched_at_once(fx, 40), instances, "instances fetched")


@check("PVC-020")
async def multi_threaded_lock_expiration_recovery(fx: Fixture) -> None:
    """A holder that dies keeps others out until expiry; a third task then gets it under a new token."""
    await fx.send(start())
    dead = await fx.turn()
    expect.nothing(await _fetched_at_once(fx, 2), "instances fetched during the lock")
    fx.clock.advance(fx.lock_timeout)
    outcomes = succeeded(await together(fx.try_turn, partial(fx.try_turn, by=fx.open())))
    turns = [turn for turn in outcomes if isinstance(turn, FetchedTurn)]
    expect.equal(len(turns), 1, "fetches after expiry that return the instance")
    expect.different(turns[0].token, dead.token, "tokens")


@check("PVC-284")
async def contextless_message_does_not_block_others(fx: Fixture) -> None:
    """Messages for unknown ids, older than a start message, do not keep that start from being fetched."""
    await fx.send(external("ghost"), cancel("spook"), start())
    await fx.ack(await fx.turn("i"), started(), name="Flow", version="1")
    await fx.no_turn()
    await fx.send(external())
    await fx.turn("i")


@check("PVC-285")
async def contextless_messages_delivered_after_start(fx: Fixture) -> None:
    """They come in the same batch once the start arrives, with attempt count 1."""
    await fx.send(external())
    for _ in range(3):
        await fx.no_turn()
    await fx.send(start())
    turn = await fx.turn("i")
    expect.equal(turn.item.messages, [external(), start()], "messages")
    expect.equal(turn.attempt_count, 1, "attempts")


@check("PVC-286")
async def orphan_drop_continues_search(fx: Fixture) -> None:
    """A fetch that drops orphan queue messages returns the next ready instance in the same call."""
    await fx.send(queued("ghost"), queued("spook"), start())
    await fx.turn("i")


@check("PVC-287")
async def orphan_drop_creates_no_records(fx: Fixture) -> None:
    """Dropping leaves no execution, instance or lock."""
    await fx.send(queued("ghost"), queued("ghost"))
    await fx.no_turn()
    expect.equal((await fx.management.get_queue_depths()).orchestrator_queue, 0, "messages left")
    expect.nothing(await fx.management.list_instances(), "instances")
    expect.nothing(await fx.management.list_executions("ghost"), "executions")
    await fx.send(start("ghost"))
    expect.equal((await fx.turn("ghost")).item.messages, [start("ghost")], "messages of a later start")


@check("PVC-288")
async def queue_message_before_start_in_same_batch_kept(fx: Fixture) -> None:
    """A queue message older than the start is handed out with it."""
    await fx.send(queued(), start())
    expect.equal((await fx.turn()).item.messages, [queued(), start()], "messages")


@check("PVC-371")
async def new_instance_passes_any_range(fx: Fixture) -> None:
    """A first start passes a filter with any single range."""
    await fx.send(start())
    await fx.turn("i", filter=versions((900, 0, 0), (901, 0, 0)))


@check("PVC-370")
async def history_only_of_current_execution(fx: Fixture) -> None:
    """A fetch on execution 3 carries no event of 1 and 2."""
    await fx.begin(status="ContinuedAsNew")
    await fx.step("i", started(execution_id=2), execution_id=2, status="ContinuedAsNew")
    third = [started(execution_id=3), note(7)]
    await fx.step("i", *third, execution_id=3)
    await fx.send(external())
    turn = await fx.turn()
    expect.equal((turn.item.execution_id, turn.item.history), (3, third), "execution and history")


@check("PVC-372")
async def history_error_unset_normally(fx: Fixture) -> None:
    """Good items carry no history_error."""
    await fx.send(start())
    first = await fx.turn()
    expect.nothing(first.item.history_error, "history_error of a new instance")
    await fx.ack(first, started(), name="Flow", version="1")
    await fx.send(external())
    expect.nothing((await fx.turn()).item.history_error, "history_error of a known instance")
