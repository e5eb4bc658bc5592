"""Matrix row 30.12: random provider calls follow the transition table of section 25.

There is no tape at this level. The calls come from a fixed sequence of pseudo-random numbers, the same in
every run: three workers, two instances with two sessions each, a clock that is moved to every boundary and
back, calls in pairs at once, acknowledgements that fail in their middle, and answers that nobody hears. The
reference model goes along.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.events import SessionClosed, SessionOpened
from holdfast.core.contract.provider import (
    DEFAULT_ONLY,
    ExecutionMetadata,
    FetchedTurn,
    FetchedWork,
    ScheduledActivityIdentifier,
    ScheduledSessionIdentifier,
)
from holdfast.core.contract.store import inspectable
from holdfast.core.contract.work_items import ActivityExecute, QueueMessage, StartOrchestration
from holdfast.properties.judging.invariants.model_reading import read
from holdfast.properties.judging.model.follower import Follower
from holdfast.properties.judging.model.refusal import Refusal, side_by_side
from holdfast.properties.matrix.parts.turns_by_hand import event
from holdfast.sim.toolkit.bench import Bench
from holdfast.sim.toolkit.scenario import scenario
from holdfast.traces.record import CallOutcome, Commit

CALLS: Final = 5_000
WORKERS: Final = ("a", "b", "c")
KEYS: Final = (("i", "s"), ("i", "t"), ("j", "s"), ("j", "t"))
DURATIONS: Final = (10_000, 30_000, 60_000, 60_000)
STATUSES: Final = (None, None, None, None, None, "Running", "ContinuedAsNew", "Completed", "Failed")
TRANSITIONS: Final = tuple(f"SS-25.{number}" for number in range(1, 23))


class Numbers:
    """Pseudo-random numbers: a linear congruential sequence with Knuth's constants (MMIX), its upper half."""

    def __init__(self, seed: int) -> None:
        self._state = seed

    def below(self, bound: int) -> int:
        """From 0 to bound - 1."""
        self._state = (self._state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self._state >> 32) % bound

    def of(self, choices: Sequence[Any]) -> Any:
        """One of these."""
        return choices[self.below(len(choices))]

    def some(self, choices: Sequence[Any]) -> list[Any]:
        """Each of these or not, mostly not."""
        return [one for one in choices if self.below(3) == 0]


class Wish(NamedTuple):
    """A call to be made."""

    operation: str
    arguments: dict[str, Any]


class Callers:
    """Who makes the calls: what they could ask for next, and the tokens they have heard of, dead ones too."""

    def __init__(self, bench: Bench, numbers: Numbers) -> None:
        self.bench = bench
        self.numbers = numbers
        self.items: list[str] = []
        self.turns: list[tuple[str, str]] = []  # token and instance
        self.has_turn = False
        self.next_id = 1
        self.kinds: tuple[Callable[[], Wish], ...] = (
            *(self.fetch, self.acknowledge) * 8,
            *(self.finish, self.give_back, self.renew_item) * 3,
            *(self.renew_session, self.fetch_turn, self.message) * 5,
            *(self.release, self.enqueue) * 2,
            *(self.renew_turn, self.give_back_turn, self.delete),
        )

    def wish(self) -> Wish:
        """Any call."""
        return self.numbers.of(self.kinds)()  # type: ignore[no-any-return]

    def hear(self, made: Commit) -> None:
        """An answer has arrived."""
        if isinstance(made.result, FetchedWork):
            self.items.append(made.result.token)
        elif isinstance(made.result, FetchedTurn):
            self.turns.append((made.result.token, made.result.item.instance))
            self.has_turn = True
        elif made.operation in ("ack_orchestration_item", "ack_work_item"):  # spent: tried again, but rarely
            token = made.arguments["token"]
            self.items.sort(key=lambda one: one != token)
            self.turns.sort(key=lambda one: one[0] != token)
            self.has_turn = self.has_turn and made.operation != "ack_orchestration_item"

    # --- what a worker asks ---------------------------------------------------------------------------

    def fetch(self) -> Wish:
        """In any mode, by any worker."""
        numbers = self.numbers
        common = {
            "lock_timeout": numbers.of((*DURATIONS, 0)),
            "poll_timeout": 0,
            "tag_filter": DEFAULT_ONLY,
        }
        if numbers.below(5) == 0:
            return Wish("fetch_work_item", common)
        session = {
            "worker_id": numbers.of(WORKERS),
            "session_lock_duration": numbers.of(DURATIONS),
            "claim_new": numbers.below(4) != 0,
        }
        return Wish("fetch_session_work_item", {**common, **session})

    def _item_token(self) -> str:
        """One of the latest: those are mostly alive."""
        return self.numbers.of(self.items[-1:] * 3 + self.items[-4:]) if self.items else "never handed out"

    def finish(self) -> Wish:
        """Without a completion: the orchestrator queue is not what this is about."""
        return Wish("ack_work_item", {"token": self._item_token(), "completion": None})

    def give_back(self) -> Wish:
        """With or without a delay, charged or not."""
        delay, free = self.numbers.of((None, 0, 5_000, 30_000)), self.numbers.below(2) == 0
        return Wish(
            "abandon_work_item", {"token": self._item_token(), "delay": delay, "ignore_attempt": free}
        )

    def renew_item(self) -> Wish:
        """With the session's own duration, or none."""
        session = self.numbers.of((None, *DURATIONS))
        extend_for = self.numbers.of(DURATIONS)
        return Wish(
            "renew_work_item_lock",
            {"token": self._item_token(), "extend_for": extend_for, "extend_session_for": session},
        )

    def _session(self) -> dict[str, Any]:
        instance, session_id = self.numbers.of(KEYS)
        return {"instance_id": instance, "session_id": session_id, "worker_id": self.numbers.of(WORKERS)}

    def renew_session(self) -> Wish:
        """Of anybody."""
        return Wish("renew_session_lock", {**self._session(), "extend_for": self.numbers.of(DURATIONS)})

    def release(self) -> Wish:
        """Of anybody."""
        return Wish("release_session_lock", self._session())

    def _work(self, instance: str) -> ActivityExecute:
        session = self.numbers.of((None, "s", "s", "t"))
        self.next_id += 1
        return ActivityExecute(
            instance=instance, execution_id=1, id=self.next_id, name="x", input="", session_id=session
        )

    def enqueue(self) -> Wish:
        """An item outside any turn, its session open or not."""
        return Wish("enqueue_for_worker", {"item": self._work(self.numbers.of("ij"))})

    # --- what an orchestration asks -------------------------------------------------------------------

    def message(self) -> Wish:
        """Something to have a turn about."""
        instance = self.numbers.of("ij")
        start = StartOrchestration(instance=instance, orchestration="flow", input="", execution_id=1)
        go = QueueMessage(instance=instance, name="go", data="")
        return Wish("enqueue_for_orchestrator", {"item": self.numbers.of((start, go, go)), "delay": None})

    def fetch_turn(self) -> Wish:
        """Of whichever instance."""
        return Wish(
            "fetch_orchestration_item",
            {"lock_timeout": self.numbers.of(DURATIONS), "poll_timeout": 0, "filter": None},
        )

    def _turn(self) -> tuple[str, str]:
        if not self.turns:
            return "never handed out", "i"
        token, instance = self.numbers.of(self.turns[-1:] * 3 + self.turns[-3:])
        return token, instance

    def renew_turn(self) -> Wish:
        """Of the latest."""
        return Wish(
            "renew_orchestration_item_lock",
            {"token": self._turn()[0], "extend_for": self.numbers.of(DURATIONS)},
        )

    def give_back_turn(self) -> Wish:
        """Of the latest."""
        return Wish(
            "abandon_orchestration_item", {"token": self._turn()[0], "delay": None, "ignore_attempt": False}
        )

    def acknowledge(self) -> Wish:
        """With any conclusions: sessions opened, closed, both; work; cancellations; an end."""
        numbers = self.numbers
        if not self.has_turn and numbers.below(4):
            return self.numbers.of((self.message, self.fetch_turn))()  # type: ignore[no-any-return]
        token, instance = self._turn()
        sessions = [ScheduledSessionIdentifier(instance, name) for name in ("s", "t")]
        metadata = ExecutionMetadata(
            status=numbers.of(STATUSES),
            orchestration_name="flow",
            orchestration_version="1.0.0",
            opened_sessions=numbers.some(sessions * 2),
            cancelled_sessions=numbers.some(sessions),
        )
        work = [self._work(instance) for _ in range(numbers.below(4))]
        cancelled = numbers.some([ScheduledActivityIdentifier(instance, 1, one.id) for one in work])
        cancelled.append(ScheduledActivityIdentifier(instance, 1, max(self.next_id - 9, 0)))
        return Wish(
            "ack_orchestration_item",
            {
                "token": token,
                "execution_id": 1,
                "history_delta": self._events(instance),
                "worker_items": work,
                "orchestrator_items": [],
                "metadata": metadata,
                "cancelled_activities": cancelled,
            },
        )

    def _events(self, instance: str) -> list[Any]:
        """Now and then session events that no list speaks of: they change nothing (SS-12.11)."""
        if self.numbers.below(8):
            return []
        self.next_id += 1
        kind = self.numbers.of((SessionOpened, SessionClosed))
        return [event(kind, self.next_id, instance, session_id=self.numbers.of("st"))]

    def delete(self) -> Wish:
        """By force, with all that is the instance's."""
        return Wish("management.delete_instance", {"instance_id": self.numbers.of("ij"), "force": True})


class Trial:
    """Calls are made on a store, and the model is asked about each."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.follower = Follower()
        self.store = inspectable(bench.store, "session_records", "worker_rows", "break_calls")

    async def make(self, wish: Wish, outcome: CallOutcome = "answered") -> Commit:
        """Make a call, by a provider object of its own now and then; its answer may go unheard."""
        provider: Any = self.bench.provider
        name = wish.operation
        if name.startswith("management."):
            provider, name = provider.as_management(), name.removeprefix("management.")
        result, error = None, None
        try:
            result = await getattr(provider, name)(**wish.arguments)
        except ProviderError as raised:
            error = raised
        now = self.bench.clock.now_ms()
        return Commit(0, "check", 1, wish.operation, wish.arguments, outcome, result, error, now * 1000, now)

    def rows(self) -> tuple[Any, Any]:
        """The rows that the store shows."""
        records = self.store.session_records()
        return {(row.instance_id, row.session_id): row for row in records}, self.store.worker_rows()

    def judge(self, made: Commit) -> None:
        """One call; what it left in the store is compared as well, unless its answer is lost for now."""
        sessions, items = self.rows() if made.outcome == "answered" else (None, None)
        refusal = self.follower.take(read(made), sessions, items)
        assert refusal is None, told(self.follower, made, refusal)

    def judge_both(self, one: Commit, other: Commit) -> None:
        """Two calls made at once: they had one of the two orders (PV-28.2), whatever that was."""
        either, refusal = self.follower.fork(), None
        for first, second in ((one, other), (other, one)):
            self.follower = either.fork()
            refusal = self.follower.take(read(first)) or self.follower.take(read(second), *self.rows())
            if refusal is None:
                return
        assert refusal is None, told(either, one, refusal)


def told(follower: Follower, made: Commit, refusal: Refusal) -> str:
    """What the model has against a call."""
    return (
        f"call {follower.accepted + 1}, {made.operation}({made.arguments}) at {made.provider_ms}, "
        f"is refused by {refusal.rule}: {refusal.subject}\n{side_by_side(refusal.model, refusal.store)}"
    )


def move_clock(bench: Bench, numbers: Numbers) -> None:
    """To the expiry of a row or one millisecond before it; on by a little or a lot; or back."""
    records = [
        row
        for row in inspectable(bench.store, "session_records").session_records()
        if row.locked_until is not None
    ]
    if records and numbers.below(2):
        until = numbers.of(records).locked_until
        bench.clock.advance(until - numbers.below(2) - bench.clock.now_ms())
    else:
        bench.clock.advance(numbers.of((1, 1_000, 5_000, 30_000, 120_000, -1, -15_000, -60_000)))


@scenario(
    covers=["30.12", *TRANSITIONS, "SS-4.4", "SS-24.3", "SS-24.4", "SS-24.6"],
    workers=3,
    level="provider",
)
async def state_machine_conformance(bench: Bench) -> None:
    """Random provider calls follow the transition table."""
    numbers = Numbers(30_12)
    callers, trial = Callers(bench, numbers), Trial(bench)
    while trial.follower.accepted < CALLS:
        luck = numbers.below(24)
        if luck < 3:
            move_clock(bench, numbers)
        elif luck < 5:
            one, other = await both(trial.make(callers.wish()), trial.make(callers.wish()))
            trial.judge_both(one, other)
            callers.hear(one)
            callers.hear(other)
        elif luck == 5:
            trial.judge(await trial.make(callers.wish(), outcome="lost"))
        else:
            wish = callers.wish()
            if luck < 12 and wish.operation == "ack_orchestration_item":
                trial.store.break_calls(wish.operation, change=1 + numbers.below(9))
            made = await trial.make(wish)
            trial.judge(made)
            callers.hear(made)
    missing = [clause for clause in TRANSITIONS if clause not in trial.follower.reached]
    assert not missing, f"the calls did not reach {', '.join(missing)}"


async def both(one: Awaitable[Commit], other: Awaitable[Commit]) -> tuple[Commit, Commit]:
    """Two calls at once."""
    first, second = await asyncio.gather(one, other)
    return first, second
