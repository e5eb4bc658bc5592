"""Matrix section 25, deliveries against the reference model: all answers and rows, along random calls."""

from __future__ import annotations

from typing import Final

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import LockToken, Millis
from holdfast.core.contract.provider import DEFAULT_ONLY, FetchedWork, Provider
from holdfast.properties.judging.model.observation import RowDifference, observe
from holdfast.properties.judging.model.operations import (
    Call,
    Enqueue,
    Fetch,
    Finish,
    GiveBack,
    ItemDelivered,
    Mode,
    PermanentlyRefused,
    ProviderAnswer,
    ProviderOperation,
    Release,
    RenewItem,
    RenewSession,
    Succeeded,
)
from holdfast.properties.judging.model.refusal import Refusal
from holdfast.properties.judging.model.state import EMPTY, StoreState
from holdfast.properties.judging.model.step import step
from holdfast.properties.matrix.parts.dice import Dice
from holdfast.properties.matrix.parts.turns_by_hand import AT_ONCE, item, items, records
from holdfast.sim.toolkit.bench import Bench
from holdfast.sim.toolkit.scenario import scenario

RUNS: Final = 6
CALLS: Final = 60
WORKERS: Final = ("A", "B", "C")
SESSIONS: Final = (None, "s", "t", "u")
INSTANCES: Final = ("i", "j")
LOCK: Final = 5_000
D: Final = 8_000
MODES: Final[tuple[Mode, ...]] = ("plain", "owned", "full", "full")


def _drawn(dice: Dice, tokens: list[LockToken], number: int) -> ProviderOperation:
    """The next call: mostly fetches and new items, and what holders do with what they were given."""
    worker, instance = dice.one_of(WORKERS), dice.one_of(INSTANCES)
    session = dice.one_of(SESSIONS)
    match dice.below(12):
        case 0 | 1 | 2:
            return Enqueue(item(number + 2, session, instance))
        case 3 | 4 | 5 | 6:
            return Fetch(dice.one_of(MODES), DEFAULT_ONLY, LOCK, worker, D)
        case 7:
            return RenewSession((instance, session or "s"), worker, D)
        case 8:
            return Release((instance, session or "s"), worker)
        case 9 if tokens:
            return Finish(dice.one_of(tokens))
        case 10 if tokens:
            return RenewItem(dice.one_of(tokens), LOCK, D)
        case _ if tokens:
            return GiveBack(dice.one_of(tokens), 1_000 * dice.below(3), dice.below(2) == 0)
    return Fetch("full", DEFAULT_ONLY, LOCK, worker, D)


async def _ask(provider: Provider, operation: ProviderOperation) -> FetchedWork | None:
    """The call that an operation stands for."""
    match operation:
        case Enqueue(work=work):
            assert hasattr(work, "name")
            await provider.enqueue_for_worker(item(work.id, work.session_id, work.instance))
        case Fetch(mode="plain"):
            return await provider.fetch_work_item(Millis(operation.lock_timeout), AT_ONCE)
        case Fetch():
            return await provider.fetch_session_work_item(
                Millis(operation.lock_timeout),
                AT_ONCE,
                worker_id=operation.worker,
                session_lock_duration=Millis(operation.duration),
                claim_new=operation.mode == "full",
            )
        case RenewSession(key=(instance, session)):
            extend_for = Millis(operation.extend_for)
            await provider.renew_session_lock(instance, session, operation.worker, extend_for=extend_for)
        case Release(key=(instance, session)):
            await provider.release_session_lock(instance, session, operation.worker)
        case Finish():
            await provider.ack_work_item(LockToken(operation.token))
        case RenewItem():
            await provider.renew_work_item_lock(
                LockToken(operation.token),
                extend_for=Millis(operation.extend_for),
                extend_session_for=Millis(operation.extend_session_for),
            )
        case GiveBack():
            await provider.abandon_work_item(
                LockToken(operation.token),
                delay=Millis(operation.delay),
                ignore_attempt=not operation.charged,
            )
        case _:
            raise AssertionError(f"nobody draws {operation}")
    return None


async def _answer(
    provider: Provider, operation: ProviderOperation, tokens: list[LockToken]
) -> ProviderAnswer:
    """Make the call; its answer in the model's words. Tokens handed out are kept."""
    try:
        found = await _ask(provider, operation)
    except ProviderError as error:
        assert not error.retryable, error
        return PermanentlyRefused(error.message)
    if found is None:
        return Succeeded()
    tokens.append(found.token)
    return Succeeded(ItemDelivered(found.item, found.token, found.attempt_count))


def _compared(bench: Bench, state: StoreState, call: Call, where: str) -> StoreState:
    """The model's state after a call, which the store's rows must agree with."""
    after = step(state, call)
    assert not isinstance(after, Refusal), f"{where}: {after}"
    (only,) = after.states
    rows = {(row.instance_id, row.session_id): row for row in records(bench)}
    seen = observe(only, rows, items(bench))
    assert not isinstance(seen, RowDifference), f"{where}: {seen}"
    return seen


@scenario(covers=["25.1", "SS-13.1", "SS-13.4"], workers=3, level="provider")
async def fifo_against_reference_model(bench: Bench) -> None:
    """Each fetch returns what the reference model says."""
    by = (bench.provider, bench.open(), bench.open())
    state, fetches, served = EMPTY, 0, 0
    for run in range(RUNS):
        dice, tokens = Dice(run), list[LockToken]()
        for number in range(CALLS):
            if dice.below(4) == 0:
                bench.clock.advance(dice.one_of((1, 999, LOCK - 1, LOCK, D - 1, D)))
            operation = _drawn(dice, tokens, run * CALLS + number)
            answer = await _answer(by[dice.below(3)], operation, tokens)
            call = Call(operation, answer, bench.clock.now_ms())
            state = _compared(bench, state, call, f"run {run}, call {number}")
            fetches += isinstance(operation, Fetch)
            served += (
                isinstance(operation, Fetch) and isinstance(answer, Succeeded) and answer.found is not None
            )
    assert fetches > served > 60, f"{served} of {fetches} fetches brought something: too few to mean much"
