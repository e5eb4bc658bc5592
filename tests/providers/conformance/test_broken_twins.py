"""A check is believed when it fails a wrong provider (PV-33.9): each twin here is wrong in one thing.

A twin wraps the SQLite provider and overrides one method; beside it stand the checks that must fail it.
"""

import asyncio
import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest

from holdfast.core.contract import events, work_items
from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import LockToken, Millis
from holdfast.core.contract.provider import (
    DEFAULT_ONLY,
    DispatcherCapabilityFilter,
    KvEntry,
    ScheduledSessionIdentifier,
    TagFilter,
)
from holdfast.core.contract.work_items import ActivityExecute
from holdfast.providers.conformance import CHECKS, CountingIds, Factory, SteppedClock, run_check
from holdfast.providers.conformance.faults import with_inflated_attempts
from holdfast.providers.sqlite import sqlite_store

TWINS: list[tuple[type["Twin"], tuple[str, ...]]] = []


def must_fail(*ids: str) -> Callable[[type["Twin"]], type["Twin"]]:
    """Register a twin with the checks that are there to catch it."""

    def register(twin: type["Twin"]) -> type["Twin"]:
        TWINS.append((twin, ids))
        return twin

    return register


class Twin:
    """A right provider, wrapped, so that a subclass need only say what it does wrong."""

    def __init__(self, inner: Any, store: Any) -> None:
        self.inner = inner
        self.store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def sessions(self) -> list[Any]:
        return list(self.store.session_records())


class TwinStore:
    """A store whose provider objects are twins; the inspection hooks are those of the right store."""

    def __init__(self, inner: Any, twin: Callable[[Any, Any], Any]) -> None:
        self.inner = inner
        self.twin = twin
        self.instances: dict[LockToken, str] = {}
        self.seen: list[Any] = []

    def open(self, observer: Any = None) -> Any:
        return self.twin(self.inner.open(observer), self)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


async def swallowed(call: Any) -> None:
    """The call, with its refusal taken for success."""
    with contextlib.suppress(ProviderError):
        await call


# --- sessions ---------------------------------------------------------------------------------------------


@must_fail("PVC-214", "PVC-226")
class PlainFetchHandsOutSessionItems(Twin):
    async def fetch_work_item(self, lock: Millis, poll: Millis, tags: TagFilter = DEFAULT_ONLY) -> Any:
        return await self.inner.fetch_session_work_item(
            lock, poll, worker_id="anybody", session_lock_duration=Millis(1), tag_filter=tags
        )


@must_fail("PVC-226", "PVC-231", "PVC-237")
class ActivitiesOfATurnLoseTheirSession(Twin):
    """The routing defect of the reference: the session id got lost on one of two ways into the queue."""

    async def ack_orchestration_item(self, token: LockToken, **turn: Any) -> None:
        bare = [without_session(item) for item in turn["worker_items"]]
        await self.inner.ack_orchestration_item(token, **{**turn, "worker_items": bare})


def without_session(item: Any) -> Any:
    if not isinstance(item, ActivityExecute):
        return item
    return ActivityExecute(
        instance=item.instance,
        execution_id=item.execution_id,
        id=item.id,
        name=item.name,
        input=item.input,
        tag=item.tag,
    )


class TurnTwin(Twin):
    """Changes the metadata of a turn before it is acknowledged."""

    def changes(self, instance: str, turn: dict[str, Any]) -> dict[str, Any]:
        raise NotImplementedError

    async def fetch_orchestration_item(self, *args: Any) -> Any:
        turn = await self.inner.fetch_orchestration_item(*args)
        if turn is not None:
            self.store.instances[turn.token] = turn.item.instance
        return turn

    async def ack_orchestration_item(self, token: LockToken, **turn: Any) -> None:
        instance = self.store.instances.get(token, "unknown")
        changed = dataclasses.replace(turn["metadata"], **self.changes(instance, turn))
        await self.inner.ack_orchestration_item(token, **{**turn, "metadata": changed})


@must_fail("PVC-258", "PVC-233", "PVC-278")
class ContinueAsNewDropsSessions(TurnTwin):
    """The carry-over defect of the reference: sessions ended with the execution."""

    def changes(self, instance: str, turn: dict[str, Any]) -> dict[str, Any]:
        if turn["metadata"].status != "ContinuedAsNew":
            return {}
        mine = [record for record in self.sessions() if record.instance_id == instance]
        return {"cancelled_sessions": [ScheduledSessionIdentifier(*record[:2]) for record in mine]}


@must_fail("PVC-252")
class EventsOpenSessions(TurnTwin):
    def changes(self, instance: str, turn: dict[str, Any]) -> dict[str, Any]:
        told = [event for event in turn["history_delta"] if isinstance(event, events.SessionOpened)]
        opened = [ScheduledSessionIdentifier(instance, event.session_id) for event in told]
        return {"opened_sessions": [*turn["metadata"].opened_sessions, *opened]}


@must_fail("PVC-231")
class ClosingWinsOverReopening(TurnTwin):
    def changes(self, instance: str, turn: dict[str, Any]) -> dict[str, Any]:
        closed = turn["metadata"].cancelled_sessions
        return {"opened_sessions": [each for each in turn["metadata"].opened_sessions if each not in closed]}


@must_fail("PVC-251")
class SessionsOfOtherInstancesAreIgnored(TurnTwin):
    def changes(self, instance: str, turn: dict[str, Any]) -> dict[str, Any]:
        lists = ("opened_sessions", "cancelled_sessions")
        metadata = turn["metadata"]
        return {
            name: [each for each in getattr(metadata, name) if each.instance == instance] for name in lists
        }


@must_fail("PVC-230", "PVC-253", "PVC-246")
class ClosingLeavesRows(Twin):
    async def ack_orchestration_item(self, token: LockToken, **turn: Any) -> None:
        closed = turn["metadata"].cancelled_sessions
        rows = [row.item for row in self.store.worker_rows() if row.session_id is not None]
        await self.inner.ack_orchestration_item(token, **turn)
        for item in rows:
            if ScheduledSessionIdentifier(item.instance, item.session_id) in closed:
                await self.inner.enqueue_for_worker(item)


@must_fail("PVC-257")
class TheEndLeavesSessionRows(Twin):
    """The leak of the reference: nothing closed what was open when an orchestration ended."""

    async def ack_orchestration_item(self, token: LockToken, **turn: Any) -> None:
        rows = [row.item for row in self.store.worker_rows() if row.session_id is not None]
        await self.inner.ack_orchestration_item(token, **turn)
        if turn["metadata"].status in ("Completed", "Failed"):
            for item in rows:
                await self.inner.enqueue_for_worker(item)


@must_fail("PVC-249")
class SessionsAreKeyedByIdAlone(Twin):
    async def release_session_lock(self, instance_id: str, session_id: str, worker_id: str) -> None:
        for record in self.sessions():
            if record.session_id == session_id and record.worker_id is not None:
                await self.inner.release_session_lock(record.instance_id, session_id, record.worker_id)


@must_fail("PVC-223")
class AnybodyReleases(Twin):
    async def release_session_lock(self, instance_id: str, session_id: str, worker_id: str) -> None:
        for record in self.sessions():
            if record[:2] == (instance_id, session_id) and record.worker_id is not None:
                await self.inner.release_session_lock(instance_id, session_id, record.worker_id)


@must_fail("PVC-222", "PVC-247", "PVC-386")
class ReleaseDoesNothing(Twin):
    async def release_session_lock(self, instance_id: str, session_id: str, worker_id: str) -> None:
        return None


@must_fail("PVC-220", "PVC-221", "PVC-248", "PVC-268", "PVC-269", "PVC-280")
class SessionRenewalIsNeverRefused(Twin):
    async def renew_session_lock(self, *args: Any, **durations: Any) -> None:
        await swallowed(self.inner.renew_session_lock(*args, **durations))


@must_fail("PVC-219", "PVC-267", "PVC-273")
class SessionRenewalDoesNotExtend(Twin):
    async def renew_session_lock(self, *args: Any, extend_for: Millis) -> None:
        await self.inner.renew_session_lock(*args, extend_for=Millis(0))


@must_fail("PVC-227", "PVC-234", "PVC-265")
class ItemRenewalForgetsTheSession(Twin):
    """The lease defect of the reference: a session lapsed under a running, renewing activity."""

    async def renew_work_item_lock(
        self, token: LockToken, *, extend_for: Millis, extend_session_for: Millis | None = None
    ) -> None:
        await self.inner.renew_work_item_lock(token, extend_for=extend_for, extend_session_for=Millis(0))


@must_fail("PVC-263")
class ItemRenewalWithoutDefault(Twin):
    async def renew_work_item_lock(
        self, token: LockToken, *, extend_for: Millis, extend_session_for: Millis | None = None
    ) -> None:
        extension = extend_session_for or Millis(0)
        await self.inner.renew_work_item_lock(token, extend_for=extend_for, extend_session_for=extension)


@must_fail("PVC-260", "PVC-262", "PVC-266", "PVC-404")
class ItemRenewalIgnoresTheOwner(Twin):
    async def renew_work_item_lock(self, token: LockToken, **durations: Any) -> None:
        await swallowed(self.inner.renew_work_item_lock(token, **durations))


class ClaimTwin(Twin):
    """Changes the arguments of the session fetch."""

    def changes(self, lock: Millis, fetch: dict[str, Any]) -> dict[str, Any]:
        raise NotImplementedError

    async def fetch_session_work_item(self, lock: Millis, poll: Millis, **fetch: Any) -> Any:
        return await self.inner.fetch_session_work_item(lock, poll, **{**fetch, **self.changes(lock, fetch)})


@must_fail("PVC-273", "PVC-274")
class TheLimitIsIgnored(ClaimTwin):
    def changes(self, lock: Millis, fetch: dict[str, Any]) -> dict[str, Any]:
        return {"claim_new": True}


@must_fail("PVC-216", "PVC-218", "PVC-243", "PVC-281")
class SessionsAreHeldAsLongAsItems(ClaimTwin):
    def changes(self, lock: Millis, fetch: dict[str, Any]) -> dict[str, Any]:
        return {"session_lock_duration": lock}


@must_fail("PVC-217", "PVC-229", "PVC-245")
class AllWorkersAreOne(ClaimTwin):
    def changes(self, lock: Millis, fetch: dict[str, Any]) -> dict[str, Any]:
        return {"worker_id": "everybody"}


@must_fail("PVC-275")
class SessionFetchIgnoresTags(ClaimTwin):
    def changes(self, lock: Millis, fetch: dict[str, Any]) -> dict[str, Any]:
        return {"tag_filter": TagFilter.any()}


@must_fail("PVC-242", "PVC-215")
class PlainRowsGoFirst(Twin):
    async def fetch_session_work_item(self, lock: Millis, poll: Millis, **fetch: Any) -> Any:
        plain = await self.inner.fetch_work_item(lock, Millis(0), fetch["tag_filter"])
        return plain or await self.inner.fetch_session_work_item(lock, poll, **fetch)


@must_fail("PVC-244", "PVC-270", "PVC-272")
class ALostClaimEndsTheFetch(Twin):
    """Only the oldest row is a candidate; if its session is another's, there is nothing."""

    async def fetch_session_work_item(self, lock: Millis, poll: Millis, **fetch: Any) -> Any:
        owners = {record[:2]: record.worker_id for record in self.sessions()}
        for row in self.store.worker_rows():
            if row.token is None and row.session_id is not None:
                if owners.get((row.item.instance, row.session_id)) not in (None, fetch["worker_id"]):
                    return None
            if row.token is None:
                break
        return await self.inner.fetch_session_work_item(lock, poll, **fetch)


@must_fail("PVC-224", "PVC-235")
class OpeningIsForgotten(TurnTwin):
    def changes(self, instance: str, turn: dict[str, Any]) -> dict[str, Any]:
        return {"opened_sessions": []}


@must_fail("PVC-225", "PVC-230", "PVC-250", "PVC-279")
class ClosingIsForgotten(TurnTwin):
    def changes(self, instance: str, turn: dict[str, Any]) -> dict[str, Any]:
        return {"cancelled_sessions": []}


@must_fail("PVC-255")
class OpeningAnewDetaches(Twin):
    async def ack_orchestration_item(self, token: LockToken, **turn: Any) -> None:
        await self.inner.ack_orchestration_item(token, **turn)
        for instance, session_id, worker, _ in self.sessions():
            if worker is not None and (instance, session_id) in turn["metadata"].opened_sessions:
                await self.inner.release_session_lock(instance, session_id, worker)


@must_fail("PVC-238")
class ATurnTriedAgainReleasesItsSessions(Twin):
    async def fetch_orchestration_item(self, *args: Any) -> Any:
        turn = await self.inner.fetch_orchestration_item(*args)
        for instance, session_id, worker, _ in self.sessions():
            if turn is not None and turn.attempt_count > 1 and worker is not None:
                await self.inner.release_session_lock(instance, session_id, worker)
        return turn


@must_fail("PVC-276", "PVC-243")
class SessionsRunOneRowAtATime(Twin):
    """Affinity taken for mutual exclusion."""

    async def fetch_session_work_item(self, lock: Millis, poll: Millis, **fetch: Any) -> Any:
        if any(row.claimed_by == fetch["worker_id"] for row in self.store.worker_rows()):
            return await self.inner.fetch_work_item(lock, poll, fetch["tag_filter"])
        return await self.inner.fetch_session_work_item(lock, poll, **fetch)


@must_fail("PVC-241")
class SessionsAreDenied(Twin):
    def supports_sessions(self) -> bool:
        return False


# --- the core ---------------------------------------------------------------------------------------------


@must_fail("PVC-032", "PVC-082", "PVC-311", "PVC-100")
class LateAcknowledgementsPass(Twin):
    async def ack_work_item(self, token: LockToken, completion: Any = None) -> None:
        await swallowed(self.inner.ack_work_item(token, completion))


@must_fail("PVC-291", "PVC-367")
class AbandoningIsIdempotent(Twin):
    async def abandon_work_item(self, token: LockToken, **how: Any) -> None:
        await swallowed(self.inner.abandon_work_item(token, **how))


@must_fail("PVC-292", "PVC-367")
class AbandonIgnoresTheDelay(Twin):
    async def abandon_orchestration_item(self, token: LockToken, **how: Any) -> None:
        await self.inner.abandon_orchestration_item(token, **{**how, "delay": None})


@must_fail("PVC-069", "PVC-070", "PVC-290")
class IgnoreAttemptIsIgnored(Twin):
    async def abandon_orchestration_item(self, token: LockToken, **how: Any) -> None:
        await self.inner.abandon_orchestration_item(token, **{**how, "ignore_attempt": False})


@must_fail("PVC-042", "PVC-298")
class MessagesAreVisibleAtOnce(Twin):
    async def enqueue_for_orchestrator(self, item: Any, *, delay: Millis | None = None) -> None:
        await self.inner.enqueue_for_orchestrator(item)


@must_fail("PVC-360")
class DuplicatesAreDropped(Twin):
    async def enqueue_for_orchestrator(self, item: Any, *, delay: Millis | None = None) -> None:
        if item not in self.store.seen:
            self.store.seen.append(item)
            await self.inner.enqueue_for_orchestrator(item, delay=delay)


@must_fail("PVC-001", "PVC-259", "PVC-306")
class WorkIsEnqueuedBeforeTheTurnCommits(Twin):
    async def ack_orchestration_item(self, token: LockToken, **turn: Any) -> None:
        for item in turn["worker_items"]:
            await self.inner.enqueue_for_worker(item)
        await self.inner.ack_orchestration_item(token, **{**turn, "worker_items": []})


@must_fail("PVC-081", "PVC-086", "PVC-309", "PVC-312")
class CancellingIsForgotten(Twin):
    async def ack_orchestration_item(self, token: LockToken, **turn: Any) -> None:
        await self.inner.ack_orchestration_item(token, **{**turn, "cancelled_activities": []})


@must_fail("PVC-303")
class WrongVariantsAreSkipped(Twin):
    async def ack_orchestration_item(self, token: LockToken, **turn: Any) -> None:
        right = [item for item in turn["worker_items"] if isinstance(item, ActivityExecute)]
        await self.inner.ack_orchestration_item(token, **{**turn, "worker_items": right})


@must_fail("PVC-293")
class TimersOfATurnFireAtOnce(Twin):
    async def ack_orchestration_item(self, token: LockToken, **turn: Any) -> None:
        hurried = [self.hurried(item) for item in turn["orchestrator_items"]]
        await self.inner.ack_orchestration_item(token, **{**turn, "orchestrator_items": hurried})

    @staticmethod
    def hurried(item: Any) -> Any:
        if not isinstance(item, work_items.TimerFiredMessage):
            return item
        return work_items.TimerFiredMessage(
            instance=item.instance, execution_id=item.execution_id, id=item.id, fire_at_ms=0
        )


@must_fail("PVC-172", "PVC-168", "PVC-174")
class SnapshotsShowTheRunningExecution(Twin):
    async def fetch_orchestration_item(self, *args: Any) -> Any:
        turn = await self.inner.fetch_orchestration_item(*args)
        if turn is None:
            return None
        values = await self.inner.get_kv_all_values(turn.item.instance)
        entries = {key: KvEntry(value, 1) for key, value in values.items()}
        return turn._replace(item=dataclasses.replace(turn.item, kv_snapshot=entries))


@must_fail("PVC-111", "PVC-115", "PVC-119")
class EveryVersionIsCompatible(Twin):
    async def fetch_orchestration_item(self, lock: Millis, poll: Millis, filter: Any = None) -> Any:
        return await self.inner.fetch_orchestration_item(lock, poll)


@must_fail("PVC-127")
class AnyRangeCounts(Twin):
    async def fetch_orchestration_item(self, lock: Millis, poll: Millis, filter: Any = None) -> Any:
        ranges: Sequence[Any] = () if filter is None else filter.supported_duroxide_versions
        for each in ranges[1:]:
            narrow = DispatcherCapabilityFilter((each,))
            if (turn := await self.inner.fetch_orchestration_item(lock, Millis(0), narrow)) is not None:
                return turn
        return await self.inner.fetch_orchestration_item(lock, poll, filter)


@must_fail("PVC-136", "PVC-139", "PVC-369")
class TagsAreIgnored(Twin):
    async def fetch_work_item(self, lock: Millis, poll: Millis, tags: Any = None) -> Any:
        return await self.inner.fetch_work_item(lock, poll, TagFilter.any())


@must_fail("PVC-341", "PVC-297")
class TurnsAreNotRenewed(Twin):
    async def renew_orchestration_item_lock(self, token: LockToken, *, extend_for: Millis) -> None:
        return None


@must_fail("PVC-131", "PVC-133")
class EveryStatusIsNews(Twin):
    async def get_custom_status(self, instance_id: str, last_seen_version: int) -> Any:
        return await self.inner.get_custom_status(instance_id, -1)


@must_fail("PVC-005", "PVC-032", "PVC-353")
class RefusalsLookLikeWeather(Twin):
    async def ack_orchestration_item(self, token: LockToken, **turn: Any) -> None:
        await self.as_weather(self.inner.ack_orchestration_item(token, **turn))

    async def ack_work_item(self, token: LockToken, completion: Any = None) -> None:
        await self.as_weather(self.inner.ack_work_item(token, completion))

    @staticmethod
    async def as_weather(call: Any) -> None:
        try:
            await call
        except ProviderError as error:
            raise ProviderError.transient(error.operation, error.message) from error


@must_fail("PVC-032", "PVC-232", "PVC-304", "PVC-311")
class CompletionsGoBeforeTheRow(Twin):
    async def ack_work_item(self, token: LockToken, completion: Any = None) -> None:
        if completion is not None:
            await self.inner.enqueue_for_orchestrator(completion)
        await self.inner.ack_work_item(token)


@must_fail("PVC-039", "PVC-045", "PVC-136")
class TheNewestItemGoesFirst(Twin):
    async def fetch_work_item(self, lock: Millis, poll: Millis, tags: TagFilter = DEFAULT_ONLY) -> Any:
        newest = None
        passed_over = []
        while (work := await self.inner.fetch_work_item(lock, Millis(0), tags)) is not None:
            passed_over.append(newest)
            newest = work
        for work in filter(None, passed_over):
            await self.inner.abandon_work_item(work.token)
        return newest


@must_fail("PVC-037", "PVC-258", "PVC-323")
class ContinuingIsAnEnd(TurnTwin):
    def changes(self, instance: str, turn: dict[str, Any]) -> dict[str, Any]:
        status = turn["metadata"].status
        return {"status": "Completed" if status == "ContinuedAsNew" else status}


@must_fail("PVC-123", "PVC-125", "PVC-337")
class DamageIsKeptQuiet(Twin):
    async def fetch_orchestration_item(self, *args: Any) -> Any:
        turn = await self.inner.fetch_orchestration_item(*args)
        return turn and turn._replace(item=dataclasses.replace(turn.item, history_error=None))


@must_fail("PVC-339", "PVC-358")
class UnreadableEventsAreSkipped(Twin):
    async def read(self, instance_id: str) -> list[Any]:
        try:
            history = await self.inner.read(instance_id)
        except ProviderError:
            return []
        return [event for event in history if not isinstance(event, events.OpaqueEvent)]


@must_fail("PVC-164", "PVC-166")
class EmptyMeansAbsent(Twin):
    async def get_kv_value(self, instance_id: str, key: str) -> str | None:
        return (key or None) and (await self.inner.get_kv_value(instance_id, key) or None)


@must_fail("PVC-006", "PVC-305", "PVC-359")
class EventsAreNumberedAnew(Twin):
    async def ack_orchestration_item(self, token: LockToken, **turn: Any) -> None:
        renumbered = [self.numbered(event, 1_000 + rank) for rank, event in enumerate(turn["history_delta"])]
        await self.inner.ack_orchestration_item(token, **{**turn, "history_delta": renumbered})

    @staticmethod
    def numbered(event: Any, number: int) -> Any:
        return msgspec.structs.replace(event, event_id=number)


@must_fail("PVC-089", "PVC-098", "PVC-323")
class DeletionIsAlwaysForced(Twin):
    def as_management(self) -> Any:
        return ForcedDeletion(self.inner.as_management(), self.store)


class ForcedDeletion(Twin):
    async def delete_instance(self, instance_id: str, *, force: bool) -> Any:
        return await self.inner.delete_instance(instance_id, force=True)

    async def delete_instances_atomic(self, ids: Any, *, force: bool) -> Any:
        return await self.inner.delete_instances_atomic(ids, force=True)


CASES = [(twin, id) for twin, ids in TWINS for id in ids]


@pytest.mark.parametrize(("twin", "id"), CASES, ids=[f"{twin.__name__}-{id}" for twin, id in CASES])
def test_pv_33_9_a_broken_twin_fails_its_checks(twin: type[Twin], id: str) -> None:
    """PV-33.9: the suite fails every deliberately broken provider, and the check named for it does."""

    def create(clock: Any, ids: Any) -> Any:
        return TwinStore(sqlite_store(clock, ids), twin)

    factory = Factory(create=create, rounds=6)
    result = asyncio.run(run_check(factory, CHECKS[id]))
    assert result.outcome == "failed", (twin.__name__, id)


@pytest.mark.parametrize("id", ["PVC-063", "PVC-065", "PVC-067", "PVC-068", "PVC-071", "PVC-271"])
def test_pv_14_1_a_provider_that_counts_too_much_fails(id: str) -> None:
    """PV-14.1, PV-33.9: the first fetch of a message or row reports 1."""

    def create(clock: Any, ids: Any) -> Any:
        return TwinStore(sqlite_store(clock, ids), lambda inner, store: with_inflated_attempts(inner, by=1))

    factory = Factory(create=create, rounds=6)
    assert asyncio.run(run_check(factory, CHECKS[id])).outcome == "failed"


class OneToken(CountingIds):
    """Every lock has the same token."""

    def token(self) -> LockToken:
        return LockToken("0" * 32)


@pytest.mark.parametrize("id", ["PVC-010", "PVC-011", "PVC-289", "PVC-021"])
def test_pv_7_5_a_provider_that_repeats_tokens_fails(id: str) -> None:
    """PV-7.5, PV-33.9: tokens are unique among all ever handed out."""
    factory = Factory(create=lambda clock, ids: sqlite_store(clock, OneToken()))
    assert asyncio.run(run_check(factory, CHECKS[id])).outcome == "failed"


@pytest.mark.parametrize("id", ["PVC-281", "PVC-297", "PVC-298"])
def test_pv_3_1_a_provider_that_counts_seconds_fails(id: str) -> None:
    """PV-3.1, PV-3.5, PV-33.9: time is milliseconds, and the boundary belongs to the one who comes."""

    def create(clock: SteppedClock, ids: CountingIds) -> Any:
        return sqlite_store(lambda: Millis(clock() // 1_000 * 1_000), ids)

    factory = Factory(create=create)
    assert asyncio.run(run_check(factory, CHECKS[id])).outcome == "failed"
