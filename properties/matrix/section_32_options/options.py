"""Matrix section 32: the options."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from holdfast.core import OrchestrationContext
from holdfast.core.client import Completed
from holdfast.core.contract.errors import ConfigurationError
from holdfast.core.contract.ids import LockToken
from holdfast.core.contract.store import SessionRecord
from holdfast.core.engine.turn_values import ExecutionContinues
from holdfast.core.hosting.options import RuntimeOptions, Timing
from holdfast.properties.matrix.parts.conversations import encoded, running, start
from holdfast.properties.matrix.parts.deliveries import (
    calls,
    delivered,
    deliveries,
    item_renewals,
    of_session,
    owner_of,
    renewals,
)
from holdfast.properties.matrix.parts.engine_by_hand import (
    TOO_MANY,
    EngineByHand,
    kinds_shown,
    refusal_message,
)
from holdfast.sim import World, scenario
from holdfast.traces.record import Commit

DEFAULTS: Final = {
    "max_sessions_per_worker": 100,
    "session_lock_duration": timedelta(minutes=10),
    "session_idle_timeout": None,
    "max_sessions_per_orchestration": 10,
    "worker_lock_timeout": timedelta(seconds=30),
}
"""The table of options in section 20 of the specification, and the timeout that two of them refer to."""


@scenario(covers=["32.1", "SS-20.1", "SS-20.3", "SS-20.5"], workers=0, level="unit")
async def option_defaults() -> None:
    """Defaults are as documented."""
    options = RuntimeOptions()
    assert {name: getattr(options, name) for name in DEFAULTS} == DEFAULTS, options
    timing = Timing.of(options)
    assert (timing.session_lock, timing.session_idle) == (600_000, None), timing
    for lock_timeout, session_lock in ((timedelta(seconds=30), 60_000), (timedelta(seconds=10), 20_000)):
        derived = RuntimeOptions(session_lock_duration=None, worker_lock_timeout=lock_timeout)
        assert Timing.of(derived).session_lock == session_lock, derived


async def _twice_with_a_pause(ctx: OrchestrationContext, input: str) -> str:
    """A long activity, a pause, another activity, and plain ones beside."""
    session = ctx.open_session_with_id("s")
    beside = [ctx.schedule_activity("look") for _ in range(3)]
    first = await ctx.schedule_activity_on_session("work", "40", session)
    await ctx.join(*beside)
    await ctx.schedule_timer(timedelta(seconds=float(input)))
    second = await ctx.schedule_activity_on_session("look", "", session)
    ctx.close_session(session)
    return encoded([first, second])


@scenario(
    covers=["32.2", "SS-20.4", "SS-20.7"],
    options={"session_lock_duration": timedelta(seconds=90)},
    situations=["session.claimed", "session.served_again", "session.renewed", "session.renewed_by_item"],
)
async def explicit_lock_duration(world: World) -> None:
    """An explicit duration is taken as is."""
    world.worker("a", running(_twice_with_a_pause))
    pause = 60 + 5 * world.draw("seconds of pause / 5", 5)
    await start(world, _twice_with_a_pause, "i", "j", input=str(pause))
    for instance in ("i", "j"):
        status = await world.finished(instance, check=False)
        assert isinstance(status, Completed), status
    with world.oracle("32.2"):
        fetches = calls(world.commits, "fetch_session_work_item")
        assert {one.arguments["session_lock_duration"] for one in fetches} == {90_000}
        assert len(deliveries(fetches, "s")) == 4, "a claim and an extension for each instance"
        renewed = renewals(world.commits, "s")
        assert {one.arguments["extend_for"] for one in renewed} == {90_000}, renewed
        riding = item_renewals(world.commits, "s")
        assert {one.arguments["extend_session_for"] for one in riding} == {90_000}, riding


_NO_DURATIONS: Final = (90, 90.0, 0, -1, float("nan"), float("inf"), "90", True)
_LOCK_DURATIONS: Final = (
    "session_lock_duration",
    "worker_lock_timeout",
    "orchestrator_lock_timeout",
)


@scenario(covers=["32.3", "SS-20.6"], workers=0, level="unit")
async def invalid_options_rejected() -> None:
    """Bad values fail at start."""
    durations = [timedelta(0), timedelta(seconds=-1), timedelta(microseconds=999), timedelta.min]
    bad: list[tuple[str, object]] = [
        *((option, value) for option in _LOCK_DURATIONS for value in (*durations, *_NO_DURATIONS)),
        *(("session_idle_timeout", value) for value in (timedelta(seconds=-1), -timedelta.resolution)),
        *(("session_idle_timeout", value) for value in _NO_DURATIONS),
        *(
            (option, value)
            for option in ("max_sessions_per_worker", "max_sessions_per_orchestration")
            for value in (-1, -100, float("nan"), float("inf"), 1.5, True, None)
        ),
    ]
    for option, value in bad:
        assert option in _refusal(option, value), f"{option}={value!r} is refused, and by name"
    for option, lawful in (
        ("session_lock_duration", timedelta(milliseconds=1)),
        ("session_idle_timeout", timedelta(0)),
        ("max_sessions_per_worker", 0),
        ("max_sessions_per_orchestration", 0),
    ):
        assert _refusal(option, lawful) == "", f"{option}={lawful!r} is allowed"


def _refusal(option: str, value: object) -> str:
    """What the options say to this value, empty if they take it. Without options there is no runtime."""
    settings: dict[str, Any] = {option: value}
    try:
        RuntimeOptions(**settings)
    except ConfigurationError as error:
        return str(error)
    return ""


DURATIONS_MS: Final = {"a": 40_000, "b": 90_000}
"""D of each worker."""


async def _three_steps(ctx: OrchestrationContext, input: str) -> str:
    session = ctx.open_session_with_id("s")
    for _ in range(3):
        await ctx.schedule_activity_on_session("work", "35", session)
        await ctx.schedule_timer(timedelta(seconds=float(input)))
    return "done"


@scenario(
    covers=["32.4", "SS-20.8"],
    workers=2,
    situations=["session.migrated", "session.renewed", "session.renewed_by_item"],
    level="multi-runtime",
)
async def workers_with_different_options(world: World) -> None:
    """Two workers may use different durations."""
    workers = [
        world.worker(name, running(_three_steps), session_lock_duration=timedelta(milliseconds=ms))
        for name, ms in DURATIONS_MS.items()
    ]
    await start(world, _three_steps, "i", input="50")
    after: dict[int, SessionRecord | None] = {}  # number of commits -> the row they left
    recording = _recording(world, after)
    await world.until(lambda: recording() and bool(world.sessions() and world.sessions()[0].worker_id))
    stalled_at = world.now_us + 1_000_000 * (1 + 9 * world.draw("seconds before the stall / 9", 9))
    await world.until(lambda: recording() and world.now_us >= stalled_at)
    owner_of(world, workers, "i", "s").stall(100 + 10 * world.draw("seconds of stall / 10", 4))
    await world.until(lambda: recording() and not world.sessions())
    status = await world.finished("i", check=False)
    tokens = {work.token for one in world.commits if of_session(one, "s") and (work := delivered(one))}
    extensions = [
        (before, row, commit)
        for number, commit in enumerate(world.commits, start=1)
        if (row := after.get(number)) is not None
        and (before := after.get(number - 1)) is not None
        and _extends(commit, tokens)
    ]
    with world.oracle("32.4"):
        assert isinstance(status, Completed), status
        # A fetch sent before the stall may keep the session with its owner: then the other extends nothing.
        served = {commit.process for commit in world.commits if of_session(commit, "s")}
        assert {commit.process for _, _, commit in extensions} == served, (extensions, served)
        for before, row, commit in extensions:
            new = commit.provider_ms + DURATIONS_MS[commit.process]
            assert row.locked_until == max(before.locked_until or 0, new), (before, row, commit)
        lowered = [
            (number, before, row)
            for number, row in after.items()
            if (before := after.get(number - 1)) is not None
            and row is not None
            and (row.locked_until or 0) < (before.locked_until or 0)
        ]
        assert lowered == [], lowered


def _recording(world: World, after: dict[int, SessionRecord | None]) -> Callable[[], bool]:
    """A predicate that is always true, and keeps the row as the latest commit left it."""

    def look() -> bool:
        after[len(world.commits)] = world.session("i", "s")
        return True

    return look


def _extends(commit: Commit, tokens: set[LockToken]) -> bool:
    """Whether a commit claimed or renewed the session, whose items were delivered under these tokens."""
    if commit.operation == "renew_work_item_lock":
        return commit.took_effect and commit.arguments["token"] in tokens
    return (commit.took_effect and commit.operation == "renew_session_lock") or of_session(commit, "s")


@scenario(covers=["32.5", "SS-21.2"], level="unit")
async def limit_zero() -> None:
    """With limit 0 no session can be opened."""

    async def opens(ctx: OrchestrationContext, input: str) -> None:
        ctx.close_session("s")
        if input:
            ctx.open_session_with_id(input)
        else:
            ctx.open_session()

    async def opens_none(ctx: OrchestrationContext, input: str) -> None:
        ctx.close_session("s")
        await ctx.schedule_activity("look")

    for session in ("s", ""):
        engine = EngineByHand(opens, limit=0)
        engine.start(session)
        assert refusal_message(engine.results[-1]) == TOO_MANY.format(0, 0)
        kinds = kinds_shown(engine.history)
        assert kinds == ["SessionClosed s", "OrchestrationFailed"], kinds
    engine = EngineByHand(opens_none, limit=0)
    engine.start()
    assert engine.results[-1].outcome == ExecutionContinues(), engine.results[-1]
