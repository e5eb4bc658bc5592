"""The ledger knows the worker queue as the stores have it, and no calls to these break a rule."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest
from tests.properties.judging.story import cancelled, closed, event, opened, scheduled, started

from holdfast.core.contract import events, work_items
from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.events import Event
from holdfast.core.contract.ids import LockToken, Millis
from holdfast.core.contract.provider import (
    DEFAULT_ONLY,
    ExecutionMetadata,
    FetchedTurn,
    ScheduledActivityIdentifier,
    ScheduledSessionIdentifier,
)
from holdfast.core.contract.work_items import ActivityExecute
from holdfast.properties.judging.ledger.ledger import Ledger
from holdfast.properties.judging.suite import MonitorSuite
from holdfast.properties.judging.verdict import Violated
from holdfast.providers.memory import memory_store
from holdfast.providers.sqlite import sqlite_store
from holdfast.traces.record import Commit, RunEnd


class Ids:
    """Counts."""

    def __init__(self) -> None:
        self.made = 0

    def token(self) -> LockToken:
        self.made += 1
        return LockToken(f"token-{self.made}")

    def guid(self) -> str:
        return str(self.token())

    def bits(self, count: int) -> int:
        self.made += 1
        return self.made


class Workload:
    """Direct calls to a real provider, drawn from a seed and told to the monitors as commits."""

    def __init__(self, factory: Callable[[Any, Any], Any], seed: int) -> None:
        self.random = random.Random(seed)
        self.now = 1_000_000
        self.store = factory(lambda: Millis(self.now), Ids())
        self.provider = self.store.open()
        self.suite = MonitorSuite(self.store, {})
        self.position = 0
        self.tokens: list[str] = ["never handed out"]
        self.histories: dict[str, list[Event]] = {}
        self.executions: dict[str, int] = {}
        self.open: dict[str, list[str]] = {}
        self.running: dict[str, list[tuple[int, str | None]]] = {}
        self.names = 0

    async def call(self, operation: str, *, process: str = "a", **arguments: Any) -> Any:
        owner: Any = self.provider
        if operation.startswith("management."):
            owner = self.provider.as_management()
        result, refusal = None, None
        try:
            result = await getattr(owner, operation.removeprefix("management."))(**arguments)
        except ProviderError as error:
            assert not error.retryable, error
            refusal = error
        commit = Commit(
            self.position,
            process,
            1,
            operation,
            arguments,
            "answered",
            result,
            refusal,
            self.now * 1000,
            self.now,
        )
        self.position += 1
        self.suite.on_commit(commit)
        found = self.suite.verdicts
        assert not any(isinstance(verdict, Violated) for verdict in found), (commit, self.suite.failures)
        assert rows_by(self.suite.ledger) == rows_of(self.store), commit
        return result

    async def step(self) -> None:
        choice = self.random.choice
        worker = choice(("a", "b", "c"))
        token = choice(self.tokens[-3:])
        key = {"instance_id": choice(("i0", "i1", "i2")), "session_id": choice(("s0", "s1"))}
        kind = self.random.randrange(16)
        if kind <= 2:
            await self.turn(worker)
        elif kind <= 6:
            await self.fetch(worker, choice(("full", "full", "owned", "plain")))
        elif kind >= 11:
            await self.finish(worker, token)
        elif kind == 7:
            await self.call("release_session_lock", process=worker, worker_id=worker, **key)
        elif kind == 8:
            await self.call(
                "abandon_work_item",
                process=worker,
                token=token,
                delay=choice((None, 5_000)),
                ignore_attempt=choice((True, False)),
            )
        elif kind == 9:
            await self.call(
                "renew_work_item_lock",
                process=worker,
                token=token,
                extend_for=30_000,
                extend_session_for=choice((None, 60_000)),
            )
        else:
            await self.call("renew_session_lock", process=worker, worker_id=worker, extend_for=60_000, **key)
        self.now += choice((0, 0, 0, 1, 500, 500, 20_000, 60_000))

    async def fetch(self, worker: str, mode: str) -> None:
        common = {"lock_timeout": 30_000, "poll_timeout": 0, "tag_filter": DEFAULT_ONLY}
        if mode == "plain":
            found = await self.call("fetch_work_item", process=worker, **common)
        else:
            found = await self.call(
                "fetch_session_work_item",
                process=worker,
                worker_id=worker,
                session_lock_duration=60_000,
                claim_new=mode == "full",
                **common,
            )
        if found is not None:
            self.tokens.append(found.token)

    async def finish(self, worker: str, token: str) -> None:
        attempt = self.suite.ledger.attempts.get(token)
        identity = ("i0", 1, 99)
        if attempt is not None:
            found = self.suite.ledger.queue.by_token.get(token)
            identity = identity if found is None else found.identity
        completion = work_items.ActivityCompletedMessage(
            instance=identity[0], execution_id=identity[1], id=identity[2], result="r"
        )
        await self.call("ack_work_item", process=worker, token=token, completion=completion)

    # --- turns ----------------------------------------------------------------------------------------

    async def turn(self, worker: str) -> None:
        instance = self.random.choice(("i0", "i1", "i2"))
        start = work_items.StartOrchestration(instance=instance, orchestration="o", input="", execution_id=1)
        await self.call("enqueue_for_orchestrator", process=worker, item=start, delay=None)
        fetched = await self.call(
            "fetch_orchestration_item", process=worker, lock_timeout=5000, poll_timeout=0, filter=None
        )
        if isinstance(fetched, FetchedTurn):
            if self.random.random() < 0.2:
                self.now += 6000  # too late: the ack is rejected
            await self.acknowledge(worker, fetched)

    async def acknowledge(self, worker: str, fetched: FetchedTurn) -> None:
        instance = fetched.item.instance
        history = list(fetched.item.history)
        open_ones = list(self.open.get(instance, []))
        running = list(self.running.get(instance, []))
        delta: list[Event] = []
        opens: list[str] = []
        closes: list[str] = []
        items: list[ActivityExecute] = []
        gone: list[int] = []

        def add(make: Callable[..., Event], *arguments: Any, **fields: Any) -> int:
            number = len(history) + len(delta) + 1
            delta.append(make(number, *arguments, instance_id=instance, **fields))
            return number

        if not history:
            delta.append(started(instance_id=instance))
        for _ in range(self.random.randrange(4)):
            session_id = self.random.choice(("s0", "s1"))
            action = self.random.randrange(4)
            if action in (0, 2) and session_id not in open_ones:
                add(opened, session_id)
                open_ones.append(session_id)
                opens.append(session_id)
            elif action == 1 and session_id in open_ones:
                add(closed, session_id)
                open_ones.remove(session_id)
                closes.append(session_id)
                opens = [one for one in opens if one != session_id]
                for number, bound in running:
                    if bound == session_id:
                        add(cancelled, number)
                        gone.append(number)
                running = [pair for pair in running if pair[1] != session_id]
            else:
                bound = session_id if session_id in open_ones and action != 3 else None
                number = add(scheduled, bound)
                running.append((number, bound))
                items.append(
                    ActivityExecute(
                        instance=instance, execution_id=1, id=number, name="n", input="", session_id=bound
                    )
                )
        status = None
        if self.random.random() < 0.05:
            add(lambda number, **fields: event(events.OrchestrationCompleted, number, output="", **fields))
            status = "Completed"
            closes, opens, items = [*closes, *open_ones], [], []
        await self.call(
            "ack_orchestration_item",
            process=worker,
            token=fetched.token,
            execution_id=1,
            history_delta=delta,
            worker_items=[one for one in items if one.id not in gone],
            orchestrator_items=[],
            metadata=ExecutionMetadata(
                status=status or "Running",
                orchestration_name="o",
                orchestration_version="1.0.0",
                opened_sessions=[ScheduledSessionIdentifier(instance, one) for one in opens],
                cancelled_sessions=[
                    ScheduledSessionIdentifier(instance, one) for one in dict.fromkeys(closes)
                ],
            ),
            cancelled_activities=[ScheduledActivityIdentifier(instance, 1, number) for number in gone],
        )
        if self.suite.ledger.instances[instance].event_counts.get(1, 0) != len(history) + len(delta):
            return  # rejected
        self.open[instance], self.running[instance] = open_ones, running
        if status is not None:
            self.open[instance], self.running[instance] = [], []
            await self.call("management.delete_instance", process=worker, instance_id=instance, force=True)


def rows_by(ledger: Ledger) -> list[tuple[object, ...]]:
    """The queue by the commits."""
    return [
        (
            one.seq,
            one.work,
            one.token,
            one.until if one.token else None,
            one.visible_from,
            one.attempts,
            one.claimed_by,
        )
        for one in ledger.queue
    ]


def rows_of(store: Any) -> list[tuple[object, ...]]:
    """The queue as the store shows it."""
    return [
        (row.seq, row.item, row.token, row.locked_until, row.visible_from, row.attempt_count, row.claimed_by)
        for row in store.worker_rows()
    ]


@pytest.mark.parametrize("factory", [sqlite_store, memory_store], ids=["sqlite", "memory"])
@pytest.mark.parametrize("seed", range(4))
def test_a_real_provider_breaks_no_rule_and_agrees_with_the_ledger(
    factory: Callable[[Any, Any], Any], seed: int
) -> None:
    async def run() -> Workload:
        workload = Workload(factory, seed)
        for _ in range(500):
            await workload.step()
        return workload

    workload = asyncio.run(run())
    workload.suite.on_end(RunEnd(workload.now * 1000, 400, None))
    workload.store.close()
    assert not workload.suite.failures
    seen = workload.suite.situations
    for name in ("session.claimed", "session.migrated", "session.closed", "item.redelivered", "ack.rejected"):
        assert name in seen, seen
