"""Matrix section 22, when a worker renews its sessions: the schedule, one call at a time, piggyback."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Final

from holdfast.core import OrchestrationContext, Registry
from holdfast.core.client import Completed
from holdfast.core.contract.ids import Micros, Millis
from holdfast.core.contract.observe import RenewalAnswered, RenewalSent
from holdfast.core.contract.provider import DEFAULT_ONLY, FetchedWork, TagFilter
from holdfast.core.hosting.forwarding import ForwardingProvider
from holdfast.properties.matrix.parts.conversations import MINUTE, Orchestration, running, sole, start
from holdfast.properties.matrix.parts.deliveries import (
    calls,
    deliveries,
    first_delivery,
    item_of,
    item_renewals,
    renewals,
)
from holdfast.properties.matrix.parts.idling import SECOND_US
from holdfast.properties.matrix.parts.rows import (
    assert_held,
    line,
    look,
    looks_every,
    renewal_due,
    until_second,
)
from holdfast.properties.matrix.parts.takeovers import R_S
from holdfast.properties.matrix.parts.told import at, lease_ends, signals, since, told
from holdfast.sim.stage.process import Process
from holdfast.sim.toolkit.scenario import scenario
from holdfast.sim.toolkit.world import World

CALM: Final = {"dispatcher_long_poll_timeout": timedelta(minutes=20)}
"""Fetches that wait for long: with nothing to do, renewals are all that happens."""


def _seconds(value: float) -> timedelta:
    return timedelta(seconds=value)


async def _works_on_session(ctx: OrchestrationContext, input: str) -> str:
    """One activity of so many seconds on session s, then so many seconds of nothing."""
    work, idle = input.split()
    session = ctx.open_session_with_id("s")
    beside = [ctx.schedule_activity("look", str(n), tag="beside") for n in range(4)]
    await ctx.schedule_activity_on_session("work", work, session)
    await ctx.join(*beside)
    await ctx.schedule_timer(_seconds(float(idle)))
    return "done"


def _with_company(world: World, *orchestrations: Orchestration) -> None:
    """A worker that does the activities beside, so that the one of the row has its slots to itself."""
    world.worker(
        "beside",
        running(*orchestrations),
        worker_tag_filter=TagFilter.only("beside"),
        orchestration_concurrency=2,
    )


# --- calls that take long -----------------------------------------------------------------------------


class _SlowRenewals(ForwardingProvider):
    """The answer to a session renewal takes long, or the call itself."""

    def __init__(self, process: Process, waits_s: Sequence[int], *, before: bool) -> None:
        super().__init__(process.provider)
        self._process = process
        self._waits_s = waits_s
        self._before = before
        self._count = 0

    async def renew_session_lock(
        self, instance_id: str, session_id: str, worker_id: str, *, extend_for: Millis
    ) -> None:
        wait_s = self._waits_s[self._count % len(self._waits_s)]
        self._count += 1
        if self._before:
            await _wait(self._process, wait_s)
        await super().renew_session_lock(instance_id, session_id, worker_id, extend_for=extend_for)
        if not self._before:
            await _wait(self._process, wait_s)


class _SlowFetches(ForwardingProvider):
    """The answer to a fetch that brings something takes long."""

    def __init__(self, process: Process, wait_s: int) -> None:
        super().__init__(process.provider)
        self._process = process
        self._wait_s = wait_s

    async def fetch_session_work_item(
        self,
        lock_timeout: Millis,
        poll_timeout: Millis,
        *,
        worker_id: str,
        session_lock_duration: Millis,
        tag_filter: TagFilter = DEFAULT_ONLY,
        claim_new: bool = True,
    ) -> FetchedWork | None:
        work = await super().fetch_session_work_item(
            lock_timeout,
            poll_timeout,
            worker_id=worker_id,
            session_lock_duration=session_lock_duration,
            tag_filter=tag_filter,
            claim_new=claim_new,
        )
        if work is not None:
            await _wait(self._process, self._wait_s)
        return work


async def _wait(process: Process, seconds: int) -> None:
    await process.clock.sleep_until(Micros(process.clock.monotonic_us() + seconds * SECOND_US))


def _behind(
    make: Callable[[], Registry], wrap: Callable[[Process], ForwardingProvider]
) -> Callable[[Process], Registry]:
    """The registry of a process whose runtime is to have its provider behind another one."""

    def registry(process: Process) -> Registry:
        process.provider = wrap(process)
        return make()

    return registry


@scenario(
    covers=["22.1", "SS-7.5"],
    level="fault",
    situations=["session.renewed", "session.renewed_by_item"],
    options={**MINUTE, **CALM, "worker_lock_timeout": _seconds(40), "worker_concurrency": 1},
)
async def single_flight_renewal(world: World) -> None:
    """Renewal calls of one lease never overlap, however long each takes."""
    waits_s = [31 + 6 * world.draw("seconds of a slow renewal / 6", 5) for _ in range(3)]
    before = world.draw("slow to arrive", 2) == 1
    _with_company(world, _works_on_session)
    make = running(_works_on_session)
    world.worker("a", _behind(make, lambda process: _SlowRenewals(process, waits_s, before=before)))
    await start(world, _works_on_session, "i", input="260 1")
    status = await world.finished("i", check=False)
    with world.oracle("22.1"):
        assert isinstance(status, Completed), status
        calls = told(world, RenewalSent | RenewalAnswered)
        kinds: list[type] = [type(one.event) for one in calls]
        assert kinds.count(RenewalSent) >= 3, kinds
        assert all(kind is RenewalSent for kind in kinds[::2]), kinds
        assert all(kind is RenewalAnswered for kind in kinds[1::2]), kinds
        slow = [at(answer) - at(sent) for sent, answer in zip(calls[::2], calls[1::2], strict=False)]
        assert all(each > R_S for each in slow), slow


# --- piggyback ----------------------------------------------------------------------------------------


@scenario(covers=["22.2", "SS-7.8"], situations=["session.renewed_by_item"], options={**MINUTE, **CALM})
async def piggyback_suppresses_standalone(world: World) -> None:
    """While work is in flight no separate renewal is sent."""
    seconds = 600 + 10 * world.draw("seconds beyond ten minutes / 10", 3) - 5
    _with_company(world, _works_on_session)
    owner = world.worker("a", running(_works_on_session))
    await start(world, _works_on_session, "i", input=f"{seconds} 1")
    began = await first_delivery(world)
    looks = await looks_every(world, 20, times=-(-(seconds - 20) // 20))
    await world.finished("i", check=False)
    with world.oracle("22.2"):
        assert not renewals(world.commits, "s")
        times = [since(began, one) for one in item_renewals(world.commits, "s")]
        assert times == [25.0 * n for n in range(1, -(-seconds // 25))], times
        assert_held(looks, owner)


async def _on_two_workers(ctx: OrchestrationContext, input: str) -> str:
    """A long activity on a session of each of two workers."""
    beside = [ctx.schedule_activity("look", str(n), tag="beside") for n in range(3)]
    long = [
        ctx.schedule_activity_on_session("work", input, ctx.open_session_with_id(name), tag=name)
        for name in ("often", "seldom")
    ]
    await ctx.join(*beside, *long)
    return "done"


@scenario(
    covers=["22.3", "SS-7.9", "SS-7.8"],
    situations=["session.renewed", "session.renewed_by_item"],
    options={**CALM, "worker_concurrency": 1},
)
async def standalone_fills_gaps_between_item_renewals(world: World) -> None:
    """Separate renewals fill the gaps between item renewals that come less often than every R."""
    seconds = 100 + 10 * world.draw("seconds of work / 10", 4) + 3
    _with_company(world, _on_two_workers)
    world.worker(
        "often",
        running(_on_two_workers),
        worker_tag_filter=TagFilter.only("often"),
        session_lock_duration=_seconds(10),
        worker_lock_timeout=_seconds(30),
    )
    world.worker(
        "seldom",
        running(_on_two_workers),
        worker_tag_filter=TagFilter.only("seldom"),
        session_lock_duration=_seconds(60),
        worker_lock_timeout=_seconds(100),
        worker_lock_renewal_buffer=_seconds(90),
    )
    await start(world, _on_two_workers, "i", input=str(seconds))
    await world.sleep(seconds + 1)
    with world.oracle("22.3"):
        for name in ("often", "seldom"):
            began = sole(deliveries(world.commits, name))
            alone = [since(began, one) for one in renewals(world.commits, name)]
            riding = [since(began, one) for one in item_renewals(world.commits, name)]
            if name == "seldom":
                assert riding == [10.0 * n for n in range(1, seconds // 10 + 1)], riding
                assert not alone, alone
                continue
            assert riding == [25.0 * n for n in range(1, seconds // 25 + 1)], riding
            extended = sorted([0.0, *alone, *riding, float(seconds)])
            assert all(later - earlier <= 5 for earlier, later in pairwise(extended)), extended
            between = [[at for at in alone if low < at < low + 25] for low in (0.0, *riding[:-1])]
            assert all(between), alone


@scenario(
    covers=["22.4", "SS-7.2"],
    situations=["session.renewed_by_item", "session.renewed_between"],
    options={**MINUTE, **CALM},
)
async def piggyback_resets_due_time(world: World) -> None:
    """Timeline W2: after the last activity the next renewal is R after the last extension."""
    _with_company(world, _works_on_session)
    slots = 1 + world.draw("further slots", 3)
    owner = world.worker("a", running(_works_on_session), worker_concurrency=slots)
    await start(world, _works_on_session, "i", input="70 50")
    began = await first_delivery(world)
    assert began.time_us == 0
    table: list[object] = []
    for second in (0, 25, 50, 70, 80):
        await until_second(world, second + 0.001)
        stored = line(world, id=item_of(began).id)
        table.append((second, stored.item_lock, stored.owner, stored.expiry, renewal_due(world, owner)))
    await world.finished("i", check=False)
    with world.oracle("22.4"):
        a = owner.worker_id
        assert table == [
            (0, 30, a, 60, 30),
            (25, 55, a, 85, 55),
            (50, 80, a, 110, 80),
            (70, None, a, 110, 80),
            (80, None, a, 140, 110),
        ], table
        assert [since(began, one) for one in item_renewals(world.commits, "s")] == [25, 50]
        assert [since(began, one) for one in renewals(world.commits, "s")] == [80, 110]


# --- the schedule -------------------------------------------------------------------------------------


@scenario(
    covers=["22.9", "SS-7.19"],
    situations=["session.renewed_between"],
    options={**CALM, "session_lock_duration": timedelta(milliseconds=200)},
)
async def renewal_interval_no_floor(world: World) -> None:
    """Short locks are renewed in time."""
    _with_company(world, _works_on_session)
    owner = world.worker("a", running(_works_on_session))
    await start(world, _works_on_session, "i", input="0 4")
    began = await first_delivery(world)
    looks = []
    for _ in range(30):
        await world.sleep(0.1 + world.draw("hundredths beyond a tenth", 3) / 100)
        looks.append(look(world))
    count = len(world.commits)
    times = [since(began, one) for one in renewals(world.commits[:count], "s")]
    await world.finished("i", check=False)
    with world.oracle("22.9"):
        assert times == [n / 10 for n in range(1, len(times) + 1)] and len(times) >= 29, times
        assert_held(looks, owner)


async def _idle_beside_plain_work(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    beside = [ctx.schedule_activity("look", str(n), tag="beside") for n in range(3)]
    await ctx.schedule_activity_on_session("look", "", session)
    plain = [ctx.schedule_activity("work", input) for _ in range(2)]
    await ctx.join(*plain, *beside)
    ctx.close_session(session)
    return "done"


@scenario(covers=["22.10", "SS-7.18"], situations=["session.renewed_between"], options={**MINUTE, **CALM})
async def renewal_with_all_slots_busy(world: World) -> None:
    """Busy slots do not delay renewal."""
    seconds = 300 + 10 * world.draw("seconds beyond 5 D / 10", 6) + 5
    _with_company(world, _idle_beside_plain_work)
    owner = world.worker("a", running(_idle_beside_plain_work))
    await start(world, _idle_beside_plain_work, "i", input=str(seconds))
    began = await first_delivery(world)
    looks = await looks_every(world, 29, times=10)
    await world.finished("i", check=False)
    with world.oracle("22.10"):
        times = [since(began, one) for one in renewals(world.commits, "s")]
        assert times == [30.0 * n for n in range(1, seconds // 30 + 1)], times
        assert_held(looks, owner)


async def _many_at_once(ctx: OrchestrationContext, input: str) -> str:
    """So many activities at once on one session, of 2 D each; then 8 D of nothing."""
    session = ctx.open_session_with_id("s")
    await ctx.join(
        *(
            ctx.schedule_activity_on_session("work", "81", session, tag=ctx.instance_id)
            for _ in range(int(input))
        )
    )
    await ctx.schedule_timer(_seconds(318))
    return "done"


@scenario(
    covers=["22.12", "SS-7.1", "SS-7.5"],
    situations=["session.shared_by_slots", "session.renewed", "session.renewed_between"],
    options={**CALM, "session_lock_duration": timedelta(seconds=40)},
)
async def renewal_count_per_session(world: World) -> None:
    """The number of renewal calls does not grow with the number of activities."""
    counts = (1, 4, 16)
    for count in counts:
        world.worker(
            f"w{count}",
            running(_many_at_once),
            worker_tag_filter=TagFilter.only(f"i{count}"),
            worker_concurrency=count,
        )
        await start(world, _many_at_once, f"i{count}", input=str(count))
    for count in counts:
        await world.finished(f"i{count}", check=False)
    with world.oracle("22.12"):
        sent = [len(calls(world.commits, "renew_session_lock", process=f"w{count}")) for count in counts]
        assert sent[0] >= 15 and sent == [sent[0]] * 3, sent


# --- slow fetches -------------------------------------------------------------------------------------


async def _uses_session_later(ctx: OrchestrationContext, input: str) -> str:
    """A session is used so many seconds after the start, then idle."""
    beside = [ctx.schedule_activity("look", str(n), tag="beside") for n in range(3)]
    await ctx.join(*beside)
    if float(input):
        await ctx.schedule_timer(_seconds(float(input)))
    session = ctx.open_session_with_id("s")
    await ctx.schedule_activity_on_session("look", "", session)
    await ctx.schedule_timer(_seconds(100))
    return "done"


@scenario(
    covers=["22.13", "SS-7.24"],
    situations=["session.renewed_between"],
    options={
        **MINUTE,
        "dispatcher_long_poll_timeout": timedelta(minutes=5),
        "worker_concurrency": 1,
        "worker_lock_timeout": _seconds(200),
    },
)
async def slow_fetch_renews_at_once(world: World) -> None:
    """A claim obtained by a long-waiting fetch is confirmed immediately."""
    polled_s = (61, 0, 31, 29, 130, 10)[world.draw("seconds of polling", 6)]
    answer_s = (0, 35, 20, 70)[world.draw("seconds of a slow answer", 4)]
    _with_company(world, _uses_session_later)
    make = running(_uses_session_later)
    world.worker(
        "a", _behind(make, lambda process: _SlowFetches(process, answer_s)), orchestration_concurrency=0
    )
    await start(world, _uses_session_later, "i", input=str(polled_s))
    began = await first_delivery(world)
    await world.finished("i", check=False)
    with world.oracle("22.13"):
        renewed = renewals(world.commits, "s")
        assert renewed and renewed[0].error is None, "the session is never renewed"
        due_s = answer_s if polled_s + answer_s > 30 else answer_s + 30
        assert at(renewed[0]) == at(began) + due_s, (polled_s, answer_s, renewed[0])
        assert not {cause for _, cause in lease_ends(world)} & {"lost", "deadline"}, lease_ends(world)
        assert not signals(world)
