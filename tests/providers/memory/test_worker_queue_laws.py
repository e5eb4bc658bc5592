"""First in, first out, and one holder, under any sequence of calls (PV-10.3, PV-28.3, PV-24.14)."""

from collections.abc import Coroutine
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from holdfast.core.contract.errors import ProviderError
from holdfast.core.contract.ids import Millis
from holdfast.core.contract.provider import FetchedWork
from holdfast.core.contract.work_items import ActivityExecute
from holdfast.providers.conformance import CountingIds, SteppedClock
from holdfast.providers.memory import memory_store

LOCK = Millis(100)
LEASE = Millis(150)
WORKERS = st.sampled_from(["A", "B"])
SESSIONS = st.sampled_from([None, "s", "t"])


def driven(call: Coroutine[Any, Any, Any]) -> Any:
    """The answer of a call that must not suspend."""
    try:
        call.send(None)
    except StopIteration as answered:
        return answered.value
    raise AssertionError("the call suspended")


class WorkerQueue(RuleBasedStateMachine):
    """Two workers on one store; what they hold is kept here by the contract's words alone."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = SteppedClock()
        self.store = memory_store(self.clock, CountingIds())
        self.provider = self.store.open()
        self.next_id = 1
        self.waiting: dict[int, str | None] = {}
        """Session of every activity in the queue, by id, oldest first."""
        self.held: dict[int, tuple[FetchedWork, int]] = {}
        """The last delivery of an activity, and when its lock runs out."""
        self.attached: dict[str, tuple[str, int]] = {}

    @rule(session=SESSIONS)
    def enqueue(self, session: str | None) -> None:
        item = ActivityExecute(
            instance="i", execution_id=1, id=self.next_id, name="a", input="", session_id=session
        )
        driven(self.provider.enqueue_for_worker(item))
        self.waiting[self.next_id] = session
        self.next_id += 1

    @rule(worker=WORKERS, claim_new=st.booleans())
    def fetch(self, worker: str, claim_new: bool) -> None:
        now = self.clock()
        due = [id for id in self.waiting if self.is_open(id, worker, claim_new)]
        work: FetchedWork | None = driven(
            self.provider.fetch_session_work_item(
                LOCK, Millis(0), worker_id=worker, session_lock_duration=LEASE, claim_new=claim_new
            )
        )
        assert (None if work is None else work.item.id) == (due[0] if due else None)
        if work is not None:
            self.held[work.item.id] = work, now + LOCK
            session = self.waiting[work.item.id]
            if session is not None:
                self.attached[session] = worker, now + LEASE

    def is_open(self, id: int, worker: str, claim_new: bool) -> bool:
        if id in self.held and self.held[id][1] > self.clock():
            return False
        session = self.waiting[id]
        if session is None:
            return True
        owner, until = self.attached.get(session, ("", 0))
        return owner == worker if until > self.clock() else claim_new

    @rule(data=st.data(), give_back=st.booleans())
    def finish(self, data: st.DataObject, give_back: bool) -> None:
        if not self.held:
            return
        id = data.draw(st.sampled_from(sorted(self.held)))
        work, until = self.held[id]
        call = self.provider.abandon_work_item if give_back else self.provider.ack_work_item
        try:
            driven(call(work.token))
        except ProviderError as refused:
            assert not give_back and until <= self.clock() and not refused.retryable
            return
        assert give_back or until > self.clock()
        del self.held[id]
        if not give_back:
            del self.waiting[id]

    @rule(by=st.integers(1, 120))
    def time_passes(self, by: int) -> None:
        self.clock.advance(by)

    @invariant()
    def the_queue_holds_what_it_was_given(self) -> None:
        rows = self.store.worker_rows()
        assert [row.item.id for row in rows if row.item is not None] == list(self.waiting)
        tokens = [row.token for row in rows if row.token is not None]
        assert len(tokens) == len(dict.fromkeys(tokens))


TestWorkerQueue = WorkerQueue.TestCase
TestWorkerQueue.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
