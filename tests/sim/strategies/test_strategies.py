"""Strategies answer draws and know nothing of the world."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable

import click
import pytest

from holdfast.cli import check_command, defects_command
from holdfast.core.contract.errors import ConfigurationError
from holdfast.sim.errors import TapeMismatch
from holdfast.sim.exploring.explorer import Run
from holdfast.sim.stage.draws import Draws
from holdfast.sim.stage.process import Process
from holdfast.sim.strategies import (
    BLOCK,
    STRATEGIES,
    Deviations,
    Fifo,
    Pct,
    PlainFirst,
    RandomWalk,
    ReplayTape,
    Strategy,
    make_strategy,
    usages,
)
from holdfast.sim.strategies.planned import Blow, Planned, PlannedFaults
from holdfast.sim.strategies.sparse import seeded
from holdfast.sim.toolkit.world import World
from holdfast.traces.choice import Tape


def answers(strategy: Strategy, schedule: int, count: int = 40) -> list[tuple[int, int, int]]:
    strategy.begin(schedule)
    return [
        (
            strategy.choose("schedule", "step", 5),
            strategy.choose("fault", "commit", 3),
            strategy.choose("data", "value", 4),
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize("text", ["random", "pct:4"])
def test_same_seed_same_answers_other_seed_other_answers(text: str) -> None:
    """And another seed draws otherwise."""
    assert answers(make_strategy(text, 7), 3) == answers(make_strategy(text, 7), 3)
    assert answers(make_strategy(text, 7), 3) != answers(make_strategy(text, 8), 3)
    assert answers(make_strategy(text, 7), 3) != answers(make_strategy(text, 7), 4)


def test_fifo_is_always_boring() -> None:
    assert set(answers(Fifo(), 0)) == {(0, 0, 0)}


def test_a_random_walk_gives_every_step_the_same_chance() -> None:
    walk = RandomWalk(1)
    walk.begin(0)
    seen = Counter(walk.choose("schedule", "step", 4) for _ in range(4000))
    assert sorted(seen) == [0, 1, 2, 3]
    assert min(seen.values()) > 850


def test_faults_are_sparse_and_strike_late_as_often_as_early() -> None:
    walk = RandomWalk(1)
    positions: list[int] = []
    for schedule in range(600):
        walk.begin(schedule)
        struck = [position for position in range(100) if walk.choose("fault", "commit", 2)]
        assert len(struck) <= 3
        positions += struck
        walk.learn(Tape(), {"schedule": 10, "fault": 100, "data": 0})
    early = sum(position < 50 for position in positions)
    assert 0.4 < early / len(positions) < 0.65


@pytest.mark.parametrize("text", ["random", "pct:3"])
def test_a_block_of_schedules_does_not_depend_on_what_went_before(text: str) -> None:
    """Campaigns share schedules out by whole blocks: the number of workers must change nothing."""
    fresh, used = make_strategy(text, 1), make_strategy(text, 1)
    for schedule in (0, 1, 2):
        answers(used, schedule)
        used.learn(Tape(), {"schedule": 500, "fault": 900, "data": 0})
    assert answers(used, BLOCK) == answers(fresh, BLOCK)


def test_pct_moves_the_actor_of_the_highest_priority_until_a_change_point() -> None:
    pct = Pct(5, depth=1)
    pct.begin(0)
    chosen = []
    for _ in range(10):
        pct.offer(["a", "b", "c"])
        chosen.append(pct.choose("schedule", "step", 3))
    assert len(set(chosen)) == 1, "depth 1 has no change point"
    changing = set()
    for schedule in range(30):
        other = Pct(5, depth=3)
        other.begin(schedule)
        moved = []
        for _ in range(32):
            other.offer(["a", "b", "c"])
            moved.append(other.choose("schedule", "step", 3))
        changing.add(len(set(moved)))
    assert {2, 3} <= changing <= {1, 2, 3}, "at most depth - 1 changes"


def steps_of(pct: Pct, schedule: int, steps: int) -> None:
    """A run of so many steps, each followed by three draws that settle its details."""
    pct.begin(schedule)
    for _ in range(steps):
        pct.offer(["a", "b"])
        pct.choose("schedule", "step", 2)
        for site in ("together", "timers", "hold answer"):
            pct.choose("schedule", site, 2)
    pct.learn(Tape(), {"schedule": 4 * steps, "fault": 0, "data": 0})


@pytest.mark.parametrize("steps", [3, 20, 50])
def test_the_change_points_of_pct_lie_within_the_steps_of_the_run(steps: int) -> None:
    """Draws that settle details are no steps: counted as such, they put most changes beyond the run."""
    pct = Pct(1, depth=20)
    latest = 0
    for schedule in range(BLOCK):
        steps_of(pct, schedule, steps)
        if schedule > 20:
            assert max(pct.change_points) < steps, f"schedule {schedule}"
            latest = max(latest, *pct.change_points)
    assert latest == steps - 1, "and the last step is one of them"


def test_pct_learns_the_steps_of_the_plain_run_as_well() -> None:
    plain = PlainFirst(pct := Pct(1, depth=200))
    plain.begin(0)
    for _ in range(10):
        plain.offer(["a", "b"])
        assert plain.choose("schedule", "step", 2) == 0
    plain.learn(Tape(), {"schedule": 10, "fault": 0, "data": 0})
    plain.begin(1)
    assert max(pct.change_points) < 32, "fewer than at first"


def test_what_is_offered_are_the_steps_of_the_run(run: Callable[..., Run]) -> None:
    class Counting(RandomWalk):
        offered = 0

        def offer(self, actors: Iterable[str]) -> None:
            names = list(actors)
            assert len(names) > 1 and all("/" in name for name in names), names
            self.offered += 1

    async def calling(process: Process) -> None:
        async with asyncio.TaskGroup() as group:
            for instance in "abc":
                group.create_task(process.provider.read(instance))

    async def body(world: World) -> None:
        handles = [world.process(name, calling) for name in ("v", "w")]
        for handle in handles:
            await handle.stopped()

    walk = Counting(1)
    draws = run(body, walk).draws
    assert walk.offered == sum(draw.site == "step" for draw in draws) > 5
    assert walk.offered < len(draws), "there are details as well"


def test_a_tape_replays_and_is_boring_beyond_its_end() -> None:
    strategy = ReplayTape(Tape(schedule=[2, 1], fault=[1]), strict=True)
    for _ in range(2):
        strategy.begin(0)
        assert [strategy.choose("schedule", "step", 3) for _ in range(4)] == [2, 1, 0, 0]
        assert strategy.choose("fault", "commit", 2) == 1
        assert strategy.choose("data", "value", 9) == 0


def test_a_tape_that_does_not_fit_is_refused_if_strict_and_bent_if_not() -> None:
    with pytest.raises(TapeMismatch, match=r"schedule draw 0 at 'step': the tape says 7, .* 0 to 2"):
        ReplayTape(Tape(schedule=[7]), strict=True).choose("schedule", "step", 3)
    assert ReplayTape(Tape(schedule=[7]), strict=False).choose("schedule", "step", 3) == 2


def test_deviations_are_named_by_stream_and_position() -> None:
    strategy = Deviations({("schedule", 1): 2, ("fault", 0): 5})
    strategy.begin(0)
    assert [strategy.choose("schedule", "step", 3) for _ in range(3)] == [0, 2, 0]
    assert strategy.choose("fault", "commit", 3) == 2, "modulo the arity"


def test_draws_refuse_an_answer_out_of_range() -> None:
    class Wrong(Fifo):
        def choose(self, stream: str, site: str, arity: int) -> int:
            return arity

    with pytest.raises(ValueError, match="strategy answered 2 at schedule draw 'step', expected 0 to 1"):
        Draws(Wrong()).draw("schedule", "step", 2)


def test_a_draw_among_one_is_no_draw() -> None:
    with pytest.raises(AssertionError, match="schedule draw 'step' among 1: there is nothing to decide"):
        Draws(Fifo()).draw("schedule", "step", 1)


@pytest.mark.parametrize("text", ["unknown", "pct:0", "pct:x", "pct:", "fifo:1", "random:"])
def test_a_text_that_names_no_strategy_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        make_strategy(text, 0)


def test_every_named_strategy_can_be_made_and_is_told_of_in_help_texts() -> None:
    assert [make_strategy(name, 1).name for name in STRATEGIES] == list(STRATEGIES)
    told = usages()
    for name, named in STRATEGIES.items():
        assert name in told and (named.strategy.__doc__ or "").splitlines()[0].rstrip(".") in told
    for command in (check_command.command, defects_command.command):
        (option,) = [option for option in command.params if "--strategy" in option.opts]
        assert isinstance(option, click.Option) and told in (option.help or "")


def test_a_strategy_registered_under_the_wrong_name_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STRATEGIES, "slow", STRATEGIES["fifo"])
    with pytest.raises(AssertionError, match="'slow' is registered with the factory of 'fifo'"):
        make_strategy("slow", 1)


def test_generators_of_different_schedules_and_purposes_must_not_meet() -> None:
    with pytest.raises(AssertionError, match="purpose 256"):
        seeded(1, 1, 256)
    with pytest.raises(AssertionError, match=r"schedule \d+"):
        seeded(1, 1 << 32, 0)


def test_what_a_random_strategy_counted_is_what_the_run_has_had() -> None:
    walk, pct = RandomWalk(1), Pct(1, depth=2)
    for strategy in (walk, pct):
        strategy.begin(0)
        strategy.offer(["a", "b"])
    walk.choose("fault", "commit", 2)
    for strategy, counted in ((walk, "0 fault draws, 1 of"), (pct, "1 steps, 0 draws")):
        with pytest.raises(AssertionError, match=counted):
            strategy.learn(Tape(), {"schedule": 0, "fault": 0, "data": 0})


def test_pct_must_know_who_moves_with_each_answer() -> None:
    pct = Pct(1, depth=2)
    pct.begin(0)
    pct.offer(["a", "b"])
    with pytest.raises(AssertionError, match="2 actors for the 3 answers of 'step'"):
        pct.choose("schedule", "step", 3)


def test_a_plan_must_have_the_kinds_left_that_the_run_offers() -> None:
    plan = PlannedFaults([Planned(0, Blow("crash", "crash"))])
    with pytest.raises(
        AssertionError, match=r"the run offers 1 kinds of fault, the plan has \['crash', 'refused'\]"
    ):
        plan.choose("fault", "commit", 2)
