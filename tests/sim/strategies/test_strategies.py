"""Strategies answer draws and know nothing of the world."""

from __future__ import annotations

from collections import Counter

import pytest

from holdfast.core.contract.errors import ConfigurationError
from holdfast.sim.errors import TapeMismatch
from holdfast.sim.stage.draws import Draws
from holdfast.sim.strategies import (
    BLOCK,
    STRATEGIES,
    Deviations,
    Fifo,
    Pct,
    RandomWalk,
    ReplayTape,
    Strategy,
    make_strategy,
)
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
    """H34, in both directions."""
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


@pytest.mark.parametrize("text", ["unknown", "pct:0", "pct:x", "fifo:1", "random:"])
def test_a_text_that_names_no_strategy_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        make_strategy(text, 0)


def test_every_named_strategy_can_be_made() -> None:
    assert [make_strategy(name, 1).name for name in STRATEGIES] == list(STRATEGIES)
