"""A check is believed when it fails a wrong provider (PV-33.9): each twin here is wrong in one thing.

A twin is the SQLite provider with one method replaced, by a function that gets the right method and the twin
before the arguments. Above the function stand the method and the checks that must fail it.
"""

import asyncio
import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
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

Wrong = Callable[..., Any]
"""A method as a wrong provider has it; it gets the right one and the twin before its own arguments."""

TWINS: list[tuple[Wrong, Sequence[str], tuple[str, ...]]] = []


def must_fail(methods: str, *ids: str) -> Callable[[Wrong], Wrong]:
    """Register what stands in these methods of a twin, with the checks that are there to catch it."""

    def register(wrong: Wrong) -> Wrong:
        TWINS.append((wrong, methods.split(), ids))
        return wrong

    return register


class Twin:
    """A right provider, with something wrong in some of its methods."""

    def __init__(self, inner: Any, store: Any, wrong: Wrong, methods: Sequence[str]) -> None:
        self.inner = inner
        self.store = store
        self.wrong = wrong
        self.methods = methods

    def __getattr__(self, name: str) -> Any:
        right = getattr(self.inner, name)
        if name == "fetch_orchestration_item":
            right = partial(self.noting_the_instance, right)
        return partial(self.wrong, right, self) if name in self.methods else right

    async def noting_the_instance(self, fetch: Any, *args: Any) -> Any:
        turn = await fetch(*args)
        if turn is not None:
            self.store.instances[turn.token] = turn.item.instance
        return turn

    def instance(self, token: LockToken) -> str:
        return str(self.store.instances.get(token, "unknown"))

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


def concluding(turn: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A turn with other metadata."""
    return {**turn, "metadata": dataclasses.replace(turn["metadata"], **changes)}


async def swallowed(call: Any) -> None:
    """The call, with its refusal taken for success."""
    with contextlib.suppress(ProviderError):
        await call


# --- sessions ---------------------------------------------------------------------------------------------


@must_fail("fetch_work_item", "PVC-214", "PVC-226")
async def plain_fetch_hands_out_session_items(
    right: Any, twin: Twin, lock: Millis, poll: Millis, tags: TagFilter = DEFAULT_ONLY
) -> Any:
    return await twin.inner.fetch_session_work_item(
        lock, poll, worker_id="anybody", session_lock_duration=Millis(1), tag_filter=tags
    )


@must_fail("ack_orchestration_item", "PVC-226", "PVC-231", "PVC-237")
async def turns_enqueue_without_session(right: Any, twin: Twin, token: LockToken, **turn: Any) -> None:
    """The routing defect of the reference: the session id got lost on one of two ways into the queue."""
    bare = [without_session(item) for item in turn["worker_items"]]
    await right(token, **{**turn, "worker_items": bare})


def without_session(item: Any) -> Any:
    return msgspec.structs.replace(item, session_id=None) if isinstance(item, ActivityExecute) else item


@must_fail("ack_orchestration_item", "PVC-258", "PVC-233", "PVC-278")
async def continue_as_new_drops_sessions(right: Any, twin: Twin, token: LockToken, **turn: Any) -> None:
    """The carry-over defect of the reference: sessions ended with the execution."""
    if turn["metadata"].status == "ContinuedAsNew":
        mine = [record for record in twin.sessions() if record.instance_id == twin.instance(token)]
        closed = [ScheduledSessionIdentifier(*record[:2]) for record in mine]
        turn = concluding(turn, cancelled_sessions=closed)
    await right(token, **turn)


@must_fail("ack_orchestration_item", "PVC-252")
async def events_open_sessions(right: Any, twin: Twin, token: LockToken, **turn: Any) -> None:
    told = [event for event in turn["history_delta"] if isinstance(event, events.SessionOpened)]
    opened = [ScheduledSessionIdentifier(twin.instance(token), event.session_id) for event in told]
    listed = turn["metadata"].opened_sessions
    await right(token, **concluding(turn, opened_sessions=[*listed, *opened]))


@must_fail("ack_orchestration_item", "PVC-231")
async def closing_wins_over_reopening(right: Any, twin: Twin, token: LockToken, **turn: Any) -> None:
    opened, closed = turn["metadata"].opened_sessions, turn["metadata"].cancelled_sessions
    await right(token, **concluding(turn, opened_sessions=[each for each in opened if each not in closed]))


@must_fail("ack_orchestration_item", "PVC-251")
async def sessions_of_other_instances_are_ignored(
    right: Any, twin: Twin, token: LockToken, **turn: Any
) -> None:
    lists = ("opened_sessions", "cancelled_sessions")
    mine = {
        name: [each for each in getattr(turn["metadata"], name) if each.instance == twin.instance(token)]
        for name in lists
    }
    await right(token, **concluding(turn, **mine))


@must_fail("ack_orchestration_item", "PVC-230", "PVC-253", "PVC-246")
async def closing_leaves_rows(right: Any, twin: Twin, token: LockToken, **turn: Any) -> None:
    closed = turn["metadata"].cancelled_sessions
    rows = [row.item for row in twin.store.worker_rows() if row.session_id is not None]
    await right(token, **turn)
    for item in rows:
        if ScheduledSessionIdentifier(item.instance, item.session_id) in closed:
            await twin.inner.enqueue_for_worker(item)


@must_fail("ack_orchestration_item", "PVC-257")
async def the_end_leaves_session_rows(right: Any, twin: Twin, token: LockToken, **turn: Any) -> None:
    """The leak of the reference: nothing closed what was open when an orchestration ended."""
    rows = [row.item for row in twin.store.worker_rows() if row.session_id is not None]
    await right(token, **turn)
    if turn["metadata"].status in ("Completed", "Failed"):
        for item in rows:
            await twin.inner.enqueue_for_worker(item)


@must_fail("release_session_lock", "PVC-249")
async def sessions_are_keyed_by_id_alone(
    right: Any, twin: Twin, instance_id: str, session_id: str, worker_id: str
) -> None:
    for record in twin.sessions():
        if record.session_id == session_id and record.worker_id is not None:
            await right(record.instance_id, session_id, record.worker_id)


@must_fail("release_session_lock", "PVC-223")
async def anybody_releases(right: Any, twin: Twin, instance_id: str, session_id: str, worker_id: str) -> None:
    for record in twin.sessions():
        if record[:2] == (instance_id, session_id) and record.worker_id is not None:
            await right(instance_id, session_id, record.worker_id)


@must_fail("release_session_lock", "PVC-222", "PVC-247", "PVC-386")
async def release_does_nothing(right: Any, twin: Twin, *which: str) -> None:
    return None


@must_fail("renew_session_lock", "PVC-220", "PVC-221", "PVC-248", "PVC-268", "PVC-269", "PVC-280")
async def session_renewal_is_never_refused(right: Any, twin: Twin, *args: Any, **durations: Any) -> None:
    await swallowed(right(*args, **durations))


@must_fail("renew_session_lock", "PVC-219", "PVC-267", "PVC-273")
async def session_renewal_does_not_extend(right: Any, twin: Twin, *args: Any, extend_for: Millis) -> None:
    await right(*args, extend_for=Millis(0))


@must_fail("renew_work_item_lock", "PVC-227", "PVC-234", "PVC-265")
async def item_renewal_forgets_the_session(right: Any, twin: Twin, token: LockToken, **renewal: Any) -> None:
    """The lease defect of the reference: a session lapsed under a running, renewing activity."""
    await right(token, **{**renewal, "extend_session_for": Millis(0)})


@must_fail("renew_work_item_lock", "PVC-263")
async def item_renewal_without_default(right: Any, twin: Twin, token: LockToken, **renewal: Any) -> None:
    extension = renewal["extend_session_for"] or Millis(0)
    await right(token, **{**renewal, "extend_session_for": extension})


@must_fail("renew_work_item_lock", "PVC-260", "PVC-262", "PVC-266", "PVC-404")
async def item_renewal_ignores_the_owner(right: Any, twin: Twin, token: LockToken, **durations: Any) -> None:
    await swallowed(right(token, **durations))


@must_fail("fetch_session_work_item", "PVC-273", "PVC-274")
async def the_limit_is_ignored(right: Any, twin: Twin, lock: Millis, poll: Millis, **fetch: Any) -> Any:
    return await right(lock, poll, **{**fetch, "claim_new": True})


@must_fail("fetch_session_work_item", "PVC-216", "PVC-218", "PVC-243", "PVC-281")
async def sessions_are_held_as_long_as_items(right: Any, twin: Twin, *times: Millis, **fetch: Any) -> Any:
    return await right(*times, **{**fetch, "session_lock_duration": times[0]})


@must_fail("fetch_session_work_item", "PVC-217", "PVC-229", "PVC-245")
async def all_workers_are_one(right: Any, twin: Twin, lock: Millis, poll: Millis, **fetch: Any) -> Any:
    return await right(lock, poll, **{**fetch, "worker_id": "everybody"})


@must_fail("fetch_session_work_item", "PVC-275")
async def session_fetch_ignores_tags(right: Any, twin: Twin, lock: Millis, poll: Millis, **fetch: Any) -> Any:
    return await right(lock, poll, **{**fetch, "tag_filter": TagFilter.any()})


@must_fail("fetch_session_work_item", "PVC-242", "PVC-215")
async def plain_rows_go_first(right: Any, twin: Twin, lock: Millis, poll: Millis, **fetch: Any) -> Any:
    plain = await twin.inner.fetch_work_item(lock, Millis(0), fetch["tag_filter"])
    return plain or await right(lock, poll, **fetch)


@must_fail("fetch_session_work_item", "PVC-244", "PVC-270", "PVC-272")
async def a_lost_claim_ends_the_fetch(right: Any, twin: Twin, *times: Millis, **fetch: Any) -> Any:
    """Only the oldest row is a candidate; if its session is another's, there is nothing."""
    owners = {record[:2]: record.worker_id for record in twin.sessions()}
    for row in twin.store.worker_rows():
        if row.token is None and row.session_id is not None:
            if owners.get((row.item.instance, row.session_id)) not in (None, fetch["worker_id"]):
                return None
        if row.token is None:
            break
    return await right(*times, **fetch)


@must_fail("ack_orchestration_item", "PVC-224", "PVC-235")
async def opening_is_forgotten(right: Any, twin: Twin, token: LockToken, **turn: Any) -> None:
    await right(token, **concluding(turn, opened_sessions=[]))


@must_fail("ack_orchestration_item", "PVC-225", "PVC-230", "PVC-250", "PVC-279")
async def closing_is_forgotten(right: Any, twin: Twin, token: LockToken, **turn: Any) -> None:
    await right(token, **concluding(turn, cancelled_sessions=[]))


@must_fail("ack_orchestration_item", "PVC-255")
async def opening_anew_detaches(right: Any, twin: Twin, token: LockToken, **turn: Any) -> None:
    await right(token, **turn)
    for instance, session_id, worker, _ in twin.sessions():
        if worker is not None and (instance, session_id) in turn["metadata"].opened_sessions:
            await twin.inner.release_session_lock(instance, session_id, worker)


@must_fail("fetch_orchestration_item", "PVC-238")
async def a_turn_tried_again_releases_its_sessions(right: Any, twin: Twin, *args: Any) -> Any:
    turn = await right(*args)
    for instance, session_id, worker, _ in twin.sessions():
        if turn is not None and turn.attempt_count > 1 and worker is not None:
            await twin.inner.release_session_lock(instance, session_id, worker)
    return turn


@must_fail("fetch_session_work_item", "PVC-276", "PVC-243")
async def sessions_run_one_row_at_a_time(right: Any, twin: Twin, *times: Millis, **fetch: Any) -> Any:
    """Affinity taken for mutual exclusion."""
    if any(row.claimed_by == fetch["worker_id"] for row in twin.store.worker_rows()):
        return await twin.inner.fetch_work_item(*times, fetch["tag_filter"])
    return await right(*times, **fetch)


@must_fail("supports_sessions", "PVC-241")
def sessions_are_denied(right: Any, twin: Twin) -> bool:
    return False


# --- the core ---------------------------------------------------------------------------------------------


@must_fail("ack_work_item", "PVC-032", "PVC-082", "PVC-311", "PVC-100")
async def late_acknowledgements_pass(right: Any, twin: Twin, *given: Any) -> None:
    await swallowed(right(*given))


@must_fail("abandon_work_item", "PVC-291", "PVC-367")
async def abandoning_is_idempotent(right: Any, twin: Twin, token: LockToken, **how: Any) -> None:
    await swallowed(right(token, **how))


@must_fail("abandon_orchestration_item", "PVC-292", "PVC-367")
async def abandon_ignores_the_delay(right: Any, twin: Twin, token: LockToken, **how: Any) -> None:
    await right(token, **{**how, "delay": None})


@must_fail("abandon_orchestration_item", "PVC-069", "PVC-070", "PVC-290")
async def ignore_attempt_is_ignored(right: Any, twin: Twin, token: LockToken, **how: Any) -> None:
    await right(token, **{**how, "ignore_attempt": False})


@must_fail("enqueue_for_orchestrator", "PVC-042", "PVC-298")
async def messages_are_visible_at_once(right: Any, twin: Twin, item: Any, **delay: Any) -> None:
    await right(item)


@must_fail("enqueue_for_orchestrator", "PVC-360")
async def duplicates_are_dropped(right: Any, twin: Twin, item: Any, **delay: Any) -> None:
    if item not in twin.store.seen:
        twin.store.seen.append(item)
        await right(item, **delay)


@must_fail("ack_orchestration_item", "PVC-001", "PVC-259", "PVC-306")
async def work_goes_before_the_commit(right: Any, twin: Twin, token: LockToken, **turn: Any) -> None:
    for item in turn["worker_items"]:
        await twin.inner.enqueue_for_worker(item)
    await right(token, **{**turn, "worker_items": []})


@must_fail("ack_orchestration_item", "PVC-081", "PVC-086", "PVC-309", "PVC-312")
async def cancelling_is_forgotten(right: Any, twin: Twin, token: LockToken, **turn: Any) -> None:
    await right(token, **{**turn, "cancelled_activities": []})


@must_fail("ack_orchestration_item", "PVC-303")
async def wrong_variants_are_skipped(right: Any, twin: Twin, token: LockToken, **turn: Any) -> None:
    known = [item for item in turn["worker_items"] if isinstance(item, ActivityExecute)]
    await right(token, **{**turn, "worker_items": known})


@must_fail("ack_orchestration_item", "PVC-293")
async def timers_of_a_turn_fire_at_once(right: Any, twin: Twin, token: LockToken, **turn: Any) -> None:
    hurried = [at_once(item) for item in turn["orchestrator_items"]]
    await right(token, **{**turn, "orchestrator_items": hurried})


def at_once(item: Any) -> Any:
    is_timer = isinstance(item, work_items.TimerFiredMessage)
    return msgspec.structs.replace(item, fire_at_ms=0) if is_timer else item


@must_fail("fetch_orchestration_item", "PVC-172", "PVC-168", "PVC-174")
async def snapshots_show_the_running_execution(right: Any, twin: Twin, *args: Any) -> Any:
    turn = await right(*args)
    if turn is None:
        return None
    values = await twin.inner.get_kv_all_values(turn.item.instance)
    entries = {key: KvEntry(value, 1) for key, value in values.items()}
    return turn._replace(item=dataclasses.replace(turn.item, kv_snapshot=entries))


@must_fail("fetch_orchestration_item", "PVC-111", "PVC-115", "PVC-119")
async def every_version_is_compatible(right: Any, twin: Twin, *given: Any) -> Any:
    return await right(*given[:2])


@must_fail("fetch_orchestration_item", "PVC-127")
async def any_range_counts(right: Any, twin: Twin, lock: Millis, poll: Millis, filter: Any = None) -> Any:
    ranges: Sequence[Any] = () if filter is None else filter.supported_duroxide_versions
    for each in ranges[1:]:
        narrow = DispatcherCapabilityFilter((each,))
        if (turn := await right(lock, Millis(0), narrow)) is not None:
            return turn
    return await right(lock, poll, filter)


@must_fail("fetch_work_item", "PVC-136", "PVC-139", "PVC-369")
async def tags_are_ignored(right: Any, twin: Twin, *given: Any) -> Any:
    return await right(*given[:2], TagFilter.any())


@must_fail("renew_orchestration_item_lock", "PVC-341", "PVC-297")
async def turns_are_not_renewed(right: Any, twin: Twin, token: LockToken, *, extend_for: Millis) -> None:
    return None


@must_fail("get_custom_status", "PVC-131", "PVC-133")
async def every_status_is_news(right: Any, twin: Twin, instance_id: str, last_seen_version: int) -> Any:
    return await right(instance_id, -1)


@must_fail("ack_orchestration_item ack_work_item", "PVC-005", "PVC-032", "PVC-353")
async def refusals_look_like_weather(right: Any, twin: Twin, *given: Any, **named: Any) -> None:
    try:
        await right(*given, **named)
    except ProviderError as error:
        raise ProviderError.transient(error.operation, error.message) from error


@must_fail("ack_work_item", "PVC-032", "PVC-232", "PVC-304", "PVC-311")
async def completions_go_before_the_row(right: Any, twin: Twin, token: LockToken, answer: Any = None) -> None:
    if answer is not None:
        await twin.inner.enqueue_for_orchestrator(answer)
    await right(token)


@must_fail("fetch_work_item", "PVC-039", "PVC-045", "PVC-136")
async def the_newest_item_goes_first(
    right: Any, twin: Twin, lock: Millis, poll: Millis, tags: TagFilter = DEFAULT_ONLY
) -> Any:
    newest = None
    passed_over = []
    while (work := await right(lock, Millis(0), tags)) is not None:
        passed_over.append(newest)
        newest = work
    for work in filter(None, passed_over):
        await twin.inner.abandon_work_item(work.token)
    return newest


@must_fail("ack_orchestration_item", "PVC-037", "PVC-258", "PVC-323")
async def continuing_is_an_end(right: Any, twin: Twin, token: LockToken, **turn: Any) -> None:
    status = turn["metadata"].status
    ended = "Completed" if status == "ContinuedAsNew" else status
    await right(token, **concluding(turn, status=ended))


@must_fail("fetch_orchestration_item", "PVC-123", "PVC-125", "PVC-337")
async def damage_is_kept_quiet(right: Any, twin: Twin, *args: Any) -> Any:
    turn = await right(*args)
    return turn and turn._replace(item=dataclasses.replace(turn.item, history_error=None))


@must_fail("read", "PVC-339", "PVC-358")
async def unreadable_events_are_skipped(right: Any, twin: Twin, instance_id: str) -> list[Any]:
    try:
        history = await right(instance_id)
    except ProviderError:
        return []
    return [event for event in history if not isinstance(event, events.OpaqueEvent)]


@must_fail("get_kv_value", "PVC-164", "PVC-166")
async def empty_means_absent(right: Any, twin: Twin, instance_id: str, key: str) -> str | None:
    return (key or None) and (await right(instance_id, key) or None)


@must_fail("ack_orchestration_item", "PVC-006", "PVC-305", "PVC-359")
async def events_are_numbered_anew(right: Any, twin: Twin, token: LockToken, **turn: Any) -> None:
    renumbered = [
        msgspec.structs.replace(event, event_id=1_000 + rank)
        for rank, event in enumerate(turn["history_delta"])
    ]
    await right(token, **{**turn, "history_delta": renumbered})


@must_fail("as_management", "PVC-089", "PVC-098", "PVC-323")
def deletion_is_always_forced(right: Any, twin: Twin) -> Any:
    async def forced(delete: Any, _: Twin, which: Any, *, force: bool) -> Any:
        return await delete(which, force=True)

    return Twin(right(), twin.store, forced, ("delete_instance", "delete_instances_atomic"))


CASES = [(wrong, methods, id) for wrong, methods, ids in TWINS for id in ids]


@pytest.mark.parametrize(
    ("wrong", "methods", "id"), CASES, ids=[f"{wrong.__name__}-{id}" for wrong, _, id in CASES]
)
def test_pv_33_9_a_broken_twin_fails_its_checks(wrong: Wrong, methods: Sequence[str], id: str) -> None:
    """PV-33.9: the suite fails every deliberately broken provider, and the check named for it does."""

    def twin(inner: Any, store: Any) -> Any:
        return Twin(inner, store, wrong, methods)

    factory = Factory(create=lambda clock, ids: TwinStore(sqlite_store(clock, ids), twin), rounds=6)
    result = asyncio.run(run_check(factory, CHECKS[id]))
    assert result.outcome == "failed", (wrong.__name__, id)


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
