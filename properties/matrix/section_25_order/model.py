"""Matrix section 25, deliveries against the reference model: all answers and rows, along random calls."""

from __future__ import annotations

from typing import Final

from holdfast.core.contract.provider import FetchedWork
from holdfast.properties.matrix.parts.dice import Dice
from holdfast.properties.matrix.parts.random_calls import Callers, Trial, move_clock
from holdfast.sim.toolkit.bench import Bench
from holdfast.sim.toolkit.scenario import scenario

CALLS: Final = 400


@scenario(covers=["25.1", "SS-13.1", "SS-13.4"], workers=3, level="provider")
async def fifo_against_reference_model(bench: Bench) -> None:
    """Each fetch returns what the reference model says."""
    dice = Dice(25_1)
    callers, trial, fetches = Callers(dice), Trial(bench), list[object]()
    while trial.follower.accepted < CALLS:
        if dice.below(4) == 0:
            move_clock(bench, dice)
        made = await trial.make(callers.one_of(callers.of_workers))
        trial.judge(made)
        callers.hear(made)
        fetches += [made.result] if made.operation.startswith("fetch") else []
    served = sum(isinstance(one, FetchedWork) for one in fetches)
    assert len(fetches) > served > 60, f"{served} of {len(fetches)} fetches brought something: too few"
