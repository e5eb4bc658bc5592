"""Calls at random: what callers may ask a store for next, and the reference model alongside (section 25).

There is no tape at this level: dice choose, and they are the same in every run. The calls come from three
workers and two instances with two sessions each; the clock is moved to every boundary and back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NamedTuple

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.events import Event, SessionClosed, SessionOpened
from holdfast.core.contract.provider import (
    DEFAULT_ONLY,
    ExecutionMetadata,
    FetchedTurn,
    FetchedWork,
    ScheduledActivityIdentifier,
)
from holdfast.core.contract.store import SessionRecord, WorkerRow
from holdfast.core.contract.work_items import ActivityExecute, QueueMessage, StartOrchestration
from holdfast.properties.judging.invariants.model_reading import read
from holdfast.properties.judging.model.follower import Follower
from holdfast.properties.judging.model.refusal import Refusal, side_by_side
from holdfast.properties.matrix.parts.dice import Dice
from holdfast.properties.matrix.parts.turns_by_hand import event, item, items, records, sessions_named
from holdfast.sim.toolkit.bench import Bench
from holdfast.traces.record import Commit

WORKERS: Final = ("a", "b", "c")
KEYS: Final = (("i", "s"), ("i", "t"), ("j", "s"), ("j", "t"))
DURATIONS: Final = (10_000, 30_000, 60_000, 60_000)
STATUSES: Final = (None, None, None, None, None, "Running", "ContinuedAsNew", "Completed", "Failed")


class Wish(NamedTuple):
    """A call to be made."""

    operation: str
    arguments: dict[str, object]


def wish(operation: str, **arguments: object) -> Wish:
    """A call with these arguments."""
    return Wish(operation, arguments)


class Callers:
    """Who makes the calls: what they could ask for next, and the tokens they have heard of, dead ones too."""

    def __init__(self, dice: Dice) -> None:
        self.dice = dice
        self.items: list[str] = []
        self.turns: list[tuple[str, str]] = []  # token and instance
        self.has_turn = False
        self.next_id = 1
        self.of_workers: tuple[Callable[[], Wish], ...] = (
            *(self.fetch,) * 8,
            *(self.finish, self.give_back, self.renew_item) * 3,
            *(self.renew_session,) * 5,
            *(self.release, self.enqueue) * 2,
        )
        self.of_all: tuple[Callable[[], Wish], ...] = (
            *(self.fetch, self.acknowledge) * 8,
            *(self.finish, self.give_back, self.renew_item) * 3,
            *(self.renew_session, self.fetch_turn, self.message) * 5,
            *(self.release, self.enqueue) * 2,
            *(self.renew_turn, self.give_back_turn, self.delete),
        )

    def one_of(self, kinds: tuple[Callable[[], Wish], ...]) -> Wish:
        """A call of one of these kinds."""
        return self.dice.one_of(kinds)()

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
        dice = self.dice
        lock = dice.one_of((*DURATIONS, 0))
        if dice.below(5) == 0:
            return wish("fetch_work_item", lock_timeout=lock, poll_timeout=0, tag_filter=DEFAULT_ONLY)
        return wish(
            "fetch_session_work_item",
            lock_timeout=lock,
            poll_timeout=0,
            tag_filter=DEFAULT_ONLY,
            worker_id=dice.one_of(WORKERS),
            session_lock_duration=dice.one_of(DURATIONS),
            claim_new=dice.below(4) != 0,
        )

    def _item_token(self) -> str:
        """One of the latest: those are mostly alive."""
        return self.dice.one_of(self.items[-1:] * 3 + self.items[-4:]) if self.items else "never handed out"

    def finish(self) -> Wish:
        """Without a completion: the orchestrator queue is not what this is about."""
        return wish("ack_work_item", token=self._item_token(), completion=None)

    def give_back(self) -> Wish:
        """With or without a delay, charged or not."""
        delay, free = self.dice.one_of((None, 0, 5_000, 30_000)), self.dice.below(2) == 0
        return wish("abandon_work_item", token=self._item_token(), delay=delay, ignore_attempt=free)

    def renew_item(self) -> Wish:
        """With the session's own duration, or none."""
        session, item = self.dice.one_of((None, *DURATIONS)), self.dice.one_of(DURATIONS)
        return wish(
            "renew_work_item_lock", token=self._item_token(), extend_for=item, extend_session_for=session
        )

    def _session(self) -> dict[str, str]:
        instance, session_id = self.dice.one_of(KEYS)
        return {"instance_id": instance, "session_id": session_id, "worker_id": self.dice.one_of(WORKERS)}

    def renew_session(self) -> Wish:
        """Of anybody."""
        return wish("renew_session_lock", **self._session(), extend_for=self.dice.one_of(DURATIONS))

    def release(self) -> Wish:
        """Of anybody."""
        return wish("release_session_lock", **self._session())

    def _work(self, instance: str) -> ActivityExecute:
        session = self.dice.one_of((None, "s", "s", "t"))
        self.next_id += 1
        return item(self.next_id, session, instance)

    def enqueue(self) -> Wish:
        """An item outside any turn, its session open or not."""
        return wish("enqueue_for_worker", item=self._work(self.dice.one_of("ij")))

    # --- what an orchestration asks -------------------------------------------------------------------

    def message(self) -> Wish:
        """A message, so that there is a turn to fetch."""
        instance = self.dice.one_of("ij")
        start = StartOrchestration(instance=instance, orchestration="flow", input="", execution_id=1)
        go = QueueMessage(instance=instance, name="go", data="")
        return wish("enqueue_for_orchestrator", item=self.dice.one_of((start, go, go)), delay=None)

    def fetch_turn(self) -> Wish:
        """Of whichever instance."""
        lock = self.dice.one_of(DURATIONS)
        return wish("fetch_orchestration_item", lock_timeout=lock, poll_timeout=0, filter=None)

    def _turn(self) -> tuple[str, str]:
        if not self.turns:
            return "never handed out", "i"
        return self.dice.one_of(self.turns[-1:] * 3 + self.turns[-3:])

    def renew_turn(self) -> Wish:
        """Of the latest."""
        token = self._turn()[0]
        return wish("renew_orchestration_item_lock", token=token, extend_for=self.dice.one_of(DURATIONS))

    def give_back_turn(self) -> Wish:
        """Of the latest."""
        return wish("abandon_orchestration_item", token=self._turn()[0], delay=None, ignore_attempt=False)

    def acknowledge(self) -> Wish:
        """With any conclusions: sessions opened, closed, both; work; cancellations; an end."""
        dice = self.dice
        if not self.has_turn and dice.below(4):
            return self.one_of((self.message, self.fetch_turn))
        token, instance = self._turn()
        sessions = sessions_named(f"{instance}/s", f"{instance}/t")
        metadata = ExecutionMetadata(
            status=dice.one_of(STATUSES),
            orchestration_name="flow",
            orchestration_version="1.0.0",
            opened_sessions=dice.some(sessions * 2),
            cancelled_sessions=dice.some(sessions),
        )
        work = [self._work(instance) for _ in range(dice.below(4))]
        cancelled = dice.some([ScheduledActivityIdentifier(instance, 1, one.id) for one in work])
        cancelled.append(ScheduledActivityIdentifier(instance, 1, max(self.next_id - 9, 0)))
        return wish(
            "ack_orchestration_item",
            token=token,
            execution_id=1,
            history_delta=self._events(instance),
            worker_items=work,
            orchestrator_items=[],
            metadata=metadata,
            cancelled_activities=cancelled,
        )

    def _events(self, instance: str) -> list[Event]:
        """Now and then session events that no list speaks of: they change nothing (SS-12.11)."""
        if self.dice.below(8):
            return []
        self.next_id += 1
        kind = self.dice.one_of((SessionOpened, SessionClosed))
        return [event(kind, self.next_id, instance, session_id=self.dice.one_of("st"))]

    def delete(self) -> Wish:
        """By force, with all that is the instance's."""
        return wish("management.delete_instance", instance_id=self.dice.one_of("ij"), force=True)


class Trial:
    """Makes calls on a store, and asks the model about each."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.providers = bench.provider, bench.open(), bench.open()
        self.follower = Follower()

    async def make(self, wish: Wish) -> Commit:
        """Make a call, by one provider object or another, whatever its outcome."""
        calls = self.bench.record.commits
        provider = self.providers[len(calls) % 3]
        target: object = provider
        name = wish.operation
        if name.startswith("management."):
            target, name = provider.as_management(), name.removeprefix("management.")
        with suppress(ProviderError):
            await getattr(target, name)(**wish.arguments)
        return calls[-1]  # it is recorded when it is done, and nothing else runs between

    async def make_both(self, one: Wish, other: Wish) -> list[Commit]:
        """Make two calls at once."""
        return list(await asyncio.gather(self.make(one), self.make(other)))

    def judge(self, made: Commit) -> None:
        """One call; what it left in the store is compared as well, unless its answer is lost for now."""
        refusal = self.follower.take(read(made), *(self._rows() if made.outcome == "answered" else ()))
        assert refusal is None, _told(self.follower, made, refusal)

    def judge_both(self, one: Commit, other: Commit) -> None:
        """Two calls made at once: the model must allow one of the two orders (PV-28.2)."""
        either, refusal = self.follower.fork(), None
        for first, second in ((one, other), (other, one)):
            self.follower = either.fork()
            refusal = self.follower.take(read(first)) or self.follower.take(read(second), *self._rows())
            if refusal is None:
                return
        assert refusal is None, _told(either, one, refusal)

    def _rows(self) -> tuple[dict[tuple[str, str], SessionRecord], list[WorkerRow]]:
        """The rows that the store shows."""
        return {(row.instance_id, row.session_id): row for row in records(self.bench)}, items(self.bench)


def _told(follower: Follower, made: Commit, refusal: Refusal) -> str:
    """Why the model refuses a call."""
    return (
        f"call {follower.accepted + 1}, {made.operation}({made.arguments}) at {made.provider_ms}, "
        f"is refused by {refusal.rule}: {refusal.subject}\n{side_by_side(refusal.model, refusal.store)}"
    )


def move_clock(bench: Bench, dice: Dice) -> None:
    """To the expiry of a row or one millisecond before it; on by a little or a lot; or back."""
    expiries = [row.locked_until for row in records(bench) if row.locked_until is not None]
    if expiries and dice.below(2):
        bench.clock.advance(dice.one_of(expiries) - dice.below(2) - bench.clock.now_ms())
    else:
        bench.clock.advance(dice.one_of((1, 1_000, 5_000, 30_000, 120_000, -1, -15_000, -60_000)))
