"""Parking: holds fetches that found nothing until there may be something for them.

The world, not the store, makes a fetch wait. A parked fetch is woken by a commit that could
matter for its queue, or when the store's clock passes a time, known from the arguments of earlier commits, at
which a lock or a delay ends. Waking promises nothing: the fetch is tried, and parked again if it finds
nothing. Of identical fetches of one process only the oldest is woken, and the next one once that has found
something; a new fetch is parked at once if an identical one has just found nothing. So an empty queue costs
one empty fetch per process and change, not one per slot and poll.

Fetches of one kind (same process, operation and filter) move together:

                    nothing found               a commit, a moment
    issued, enabled ------------->    parked   --------------------> the oldest is enabled: awake
       |                                 ^  ^                            |         |
       |     the kind is hopeless        |  |       nothing found        |         | something found,
       +---------------------------------+  +----------------------------+         | or it never looked
                                                                                   v
                                                               the next oldest is enabled: awake

What holds between the tables below:

- A fetch is enabled, or under way to the store, or in `_parked`: never in two of them.
- A kind is in `_awake`, or in `_hopeless`, or in neither: one is out looking, or looking is known to be of no
  use, or (after a change that met nobody waiting) nothing is known. Both hold only kinds that `_parked` has.
- Each fetch in `_parked` has its deadline on the stage's agenda, and a live process.
- `_looked_ms` is what the store's clock shows, since whatever moves that clock calls `pass_time`: no moment
  in `_passed` is later, none in `_times` is earlier. One key may be in both: a lock renewed too late.
- `_times` may hold moments that no longer matter, such as the end of a session that is closed: each costs an
  empty look. One that is missing could cost a wait for ever, so `_LEARN` has each call that sets a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Literal

from holdfast.core.contract.provider import FetchedTurn, FetchedWork
from holdfast.core.contract.work_items import Message, TimerFiredMessage
from holdfast.sim.stage.moments import MomentKey, Moments
from holdfast.sim.stage.process import Process
from holdfast.sim.stage.steps import FETCHES, Kind, Request
from holdfast.traces.calls import (
    AbandonOrchestrationItemCall,
    AbandonWorkItemCall,
    AckOrchestrationItemCall,
    AckWorkItemCall,
    EnqueueForOrchestratorCall,
    EnqueueForWorkerCall,
    FetchOrchestrationItemCall,
    FetchSessionWorkItemCall,
    FetchWorkItemCall,
    ReleaseSessionLockCall,
    RenewOrchestrationItemLockCall,
    RenewSessionLockCall,
    RenewWorkItemLockCall,
)
from holdfast.traces.record import Commit

FetchQueue = Literal["turns", "work", "sessions"]

_QUEUE_OF: Final[dict[str, FetchQueue]] = {
    "fetch_orchestration_item": "turns",
    "fetch_work_item": "work",
    "fetch_session_work_item": "sessions",
}
_WORK: Final[tuple[FetchQueue, ...]] = ("work", "sessions")
_TURNS: Final[tuple[FetchQueue, ...]] = ("turns",)
_SESSIONS: Final[tuple[FetchQueue, ...]] = ("sessions",)

Moment = tuple[int, tuple[FetchQueue, ...]]
"""When, on the store's clock, and for whose fetches it may matter."""


class Parking:
    """The parked fetches of a world, and the times at which they must look again.

    `enable` lets a request look again; `store_ms` reads the store's clock.
    """

    def __init__(self, enable: Callable[[Request], None], store_ms: Callable[[], int]) -> None:
        self._enable = enable
        self._store_ms = store_ms
        self._parked: dict[Kind, list[Request]] = {}  # the waiting fetches, oldest first
        self._awake: set[Kind] = set()  # only tested for members: sets have no order to rely on
        self._hopeless: dict[Kind, int] = {}  # found nothing at this time, and no commit mattered since
        self._times = Moments[tuple[FetchQueue, ...]]()  # to come
        self._passed: dict[MomentKey, Moment] = {}  # may come again: the clock may jump back
        self._looked_ms = 0
        self._session_of: dict[str, MomentKey] = {}  # item token -> the session that its renewal extends
        self._arrivals = 0  # messages that became visible so far
        self._arrivals_at_fetch: dict[str, int] = {}  # turn token -> the number of them then
        self._delays = 0

    # --- parking and waking ---------------------------------------------------------------------------

    def park(self, request: Request) -> None:
        """Let a fetch that found nothing wait."""
        kind = request.fetch_kind()
        assert request.process.alive, f"{request.actor} is parked, but its process is dead"
        assert request.deadline_us is not None, f"{request.actor} is parked with no time at which it gives up"
        self._awake.discard(kind)
        self._hopeless[kind] = self._store_ms()
        waiting = self._parked.setdefault(kind, [])
        assert request not in waiting, f"{request.actor} is parked twice"
        waiting.append(request)
        if len(waiting) > 1:
            waiting.sort(key=_issued)

    def is_hopeless(self, request: Request) -> bool:
        """Whether an identical fetch found nothing and since then neither a commit nor time has changed that.

        Time counts, because only the store decides what ends when: a store that lets a lock expire too early
        must be caught by the next poll.
        """
        return self._hopeless.get(request.fetch_kind()) == self._store_ms()

    def gave_up(self, request: Request) -> None:
        """A call ended without looking: if it was a fetch, the next of its kind may look."""
        if request.operation in FETCHES:
            self._found(request)

    def remove(self, request: Request) -> None:
        """Forget a fetch whose poll timeout has passed."""
        waiting = self._parked.get(request.fetch_kind())
        if waiting and request in waiting:
            waiting.remove(request)

    def remove_process(self, process: Process) -> None:
        """Forget all fetches of a process that has crashed or ended."""
        assert not process.alive, f"{process!r} is alive, its fetches must not be forgotten"
        for kind in [kind for kind in self._parked if kind[0] is process]:
            del self._parked[kind]
            self._awake.discard(kind)
            self._hopeless.pop(kind, None)

    def wake(self, queues: Sequence[FetchQueue], process: Process | None = None) -> None:
        """Let the fetches of these queues look again, those of one process only if it is given."""
        for kind, waiting in self._parked.items():
            if _QUEUE_OF[kind[1]] in queues and (process is None or kind[0] is process):
                self._hopeless.pop(kind, None)
                if waiting:
                    self._wake_one(kind, waiting)

    def _wake_one(self, kind: Kind, waiting: list[Request]) -> None:
        if kind in self._awake:
            return
        while waiting:
            request = waiting.pop(0)
            if not request.future.done():
                assert request.process.alive, f"{request.actor} is woken, but its process is dead"
                assert kind not in self._hopeless, f"{request.actor} is woken, but looking is of no use"
                assert not request.settled, f"{request.actor} is woken, but it has its answer"
                self._awake.add(kind)
                self._enable(request)
                return

    def waiting(self) -> list[Request]:
        """All parked fetches: kinds as they were first seen, the oldest of each first."""
        return [request for waiting in self._parked.values() for request in waiting]

    # --- times ----------------------------------------------------------------------------------------

    def next_time_ms(self) -> int | None:
        """When, on the store's clock, a parked fetch must look again; None if no time matters."""
        if not self._times or not any(self._parked.values()):
            return None
        next_ms = self._times.next_ms()
        assert next_ms is not None and next_ms >= self._looked_ms, (
            f"a moment was missed: {next_ms} ms, looked at {self._looked_ms} ms"
        )
        return next_ms

    def pass_time(self) -> None:
        """Wake the fetches that wait for a time that has come."""
        now = self._store_ms()
        if now < self._looked_ms:  # a jump back: what had passed is still to come
            for key in [key for key, (at, _) in self._passed.items() if at > now]:
                at, queues = self._passed.pop(key)
                if self._times.get_ms(key) is None:
                    self._times.put(key, at, queues)
        self._looked_ms = now
        for key, at, queues in self._times.take_passed(now):
            self._passed[key] = at, queues
            if "turns" in queues:
                self._arrivals += 1
            self.wake(queues)

    def _later(self, after_ms: int, queues: tuple[FetchQueue, ...], key: MomentKey | None = None) -> None:
        if key is None:
            self._delays += 1
            key = ("delay", str(self._delays))
        assert after_ms >= self._looked_ms, f"{key} ends at {after_ms} ms, it is {self._looked_ms} ms already"
        self._times.put(key, after_ms, queues)

    # --- what a commit changes ------------------------------------------------------------------------

    def note(self, request: Request, commit: Commit) -> None:
        """A call took effect: learn the times it set, and wake the fetches it may matter to."""
        learn = _LEARN.get(request.operation)
        if learn is not None:
            learn(self, request, commit.call, commit.result)

    def _arrived(self) -> None:
        self._arrivals += 1
        self.wake(_TURNS)

    def _enqueued_message(self, request: Request, call: EnqueueForOrchestratorCall, result: None) -> None:
        self._message(call.item, call.delay or 0)

    def _message(self, item: Message, delay: int = 0) -> None:
        at = self._store_ms() + delay
        if isinstance(item, TimerFiredMessage):
            at = max(at, item.fire_at_ms)
        if at > self._store_ms():
            self._later(at, _TURNS)
        else:
            self._arrived()

    def _fetched_turn(
        self, request: Request, call: FetchOrchestrationItemCall, result: FetchedTurn | None
    ) -> None:
        self._found(request)
        if result is not None:
            self._later(self._store_ms() + call.lock_timeout, _TURNS, ("turn", result.token))
            self._arrivals_at_fetch[result.token] = self._arrivals

    def _acked_turn(self, request: Request, call: AckOrchestrationItemCall, result: None) -> None:
        token = call.token
        self._times.drop(("turn", token))
        # Until now the lock hid whatever arrived for the instance. Which instance an arrival was for is not
        # known here: any arrival since the fetch will do.
        if self._arrivals_at_fetch.pop(token, -1) != self._arrivals:
            self.wake(_TURNS)
        for item in call.orchestrator_items:
            self._message(item)
        if call.worker_items:
            self.wake(_WORK)

    def _abandoned_turn(self, request: Request, call: AbandonOrchestrationItemCall, result: None) -> None:
        self._times.drop(("turn", call.token))
        if call.delay:
            self._later(self._store_ms() + call.delay, _TURNS)
        else:
            self._arrived()

    def _renewed_turn(self, request: Request, call: RenewOrchestrationItemLockCall, result: None) -> None:
        self._later(self._store_ms() + call.extend_for, _TURNS, ("turn", call.token))

    def _enqueued_work(self, request: Request, call: EnqueueForWorkerCall, result: None) -> None:
        self.wake(_WORK)

    def _fetched_work(
        self, request: Request, call: FetchWorkItemCall | FetchSessionWorkItemCall, result: FetchedWork | None
    ) -> None:
        self._found(request)
        if result is None:
            return
        self._later(self._store_ms() + call.lock_timeout, _WORK, ("item", result.token))
        if isinstance(call, FetchSessionWorkItemCall) and result.item.session_id is not None:
            session = ("session", result.item.instance, result.item.session_id)
            self._session_of[result.token] = session
            self._extend_session(session, call.session_lock_duration)
            self.wake(_SESSIONS, request.process)  # what the session holds is now eligible for this worker

    def _found(self, request: Request) -> None:
        kind = request.fetch_kind()
        self._awake.discard(kind)
        self._hopeless.pop(kind, None)
        waiting = self._parked.get(kind)
        if waiting:
            self._wake_one(kind, waiting)

    def _extend_session(self, session: MomentKey, duration: int) -> None:
        at = self._store_ms() + duration
        before = self._times.get_ms(session)
        self._later(at if before is None else max(before, at), _SESSIONS, session)

    def _acked_work(self, request: Request, call: AckWorkItemCall, result: None) -> None:
        self._times.drop(("item", call.token))
        self._session_of.pop(call.token, None)
        if call.completion is not None:
            self._arrived()

    def _abandoned_work(self, request: Request, call: AbandonWorkItemCall, result: None) -> None:
        self._times.drop(("item", call.token))
        self._session_of.pop(call.token, None)
        if call.delay:
            self._later(self._store_ms() + call.delay, _WORK)
        else:
            self.wake(_WORK)

    def _renewed_work(self, request: Request, call: RenewWorkItemLockCall, result: None) -> None:
        token = call.token
        self._later(self._store_ms() + call.extend_for, _WORK, ("item", token))
        if token in self._session_of:
            self._extend_session(self._session_of[token], call.extend_session_for or call.extend_for)

    def _renewed_session(self, request: Request, call: RenewSessionLockCall, result: None) -> None:
        self._extend_session(("session", call.instance_id, call.session_id), call.extend_for)

    def _released_session(self, request: Request, call: ReleaseSessionLockCall, result: None) -> None:
        self._times.drop(("session", call.instance_id, call.session_id))
        self.wake(_SESSIONS)


_LEARN: Final[dict[str, Callable[..., None]]] = {
    "enqueue_for_orchestrator": Parking._enqueued_message,
    "fetch_orchestration_item": Parking._fetched_turn,
    "ack_orchestration_item": Parking._acked_turn,
    "abandon_orchestration_item": Parking._abandoned_turn,
    "renew_orchestration_item_lock": Parking._renewed_turn,
    "enqueue_for_worker": Parking._enqueued_work,
    "fetch_work_item": Parking._fetched_work,
    "fetch_session_work_item": Parking._fetched_work,
    "ack_work_item": Parking._acked_work,
    "abandon_work_item": Parking._abandoned_work,
    "renew_work_item_lock": Parking._renewed_work,
    "renew_session_lock": Parking._renewed_session,
    "release_session_lock": Parking._released_session,
}


def _issued(request: Request) -> int:
    return request.issued_us
