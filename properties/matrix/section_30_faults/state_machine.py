"""Matrix row 30.12: random provider calls follow the transition table of section 25.

Some calls are made in pairs at once, some acknowledgements fail in their middle, some answers nobody hears.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from holdfast.core.contract.store import inspectable
from holdfast.properties.matrix.parts.dice import Dice
from holdfast.properties.matrix.parts.random_calls import Callers, Trial, move_clock
from holdfast.sim.toolkit.bench import Bench
from holdfast.sim.toolkit.scenario import scenario

CALLS: Final = 5_000
TRANSITIONS: Final = tuple(f"SS-25.{number}" for number in range(1, 23))


@scenario(
    covers=["30.12", *TRANSITIONS, "SS-4.4", "SS-24.3", "SS-24.4", "SS-24.6"], workers=3, level="provider"
)
async def state_machine_conformance(bench: Bench) -> None:
    """Random provider calls follow the transition table."""
    dice = Dice(30_12)
    callers, trial, store = Callers(dice), Trial(bench), inspectable(bench.store, "break_calls")
    while trial.follower.accepted < CALLS:
        luck = dice.below(24)
        if luck < 3:
            move_clock(bench, dice)
        elif luck < 5:
            both = await trial.make_both(callers.one_of(callers.of_all), callers.one_of(callers.of_all))
            trial.judge_both(*both)
            for made in both:
                callers.hear(made)
        elif luck == 5:
            trial.judge(replace(await trial.make(callers.one_of(callers.of_all)), outcome="lost"))
        else:
            wish = callers.one_of(callers.of_all)
            if luck < 12 and wish.operation == "ack_orchestration_item":
                store.break_calls(wish.operation, change=1 + dice.below(9))
            made = await trial.make(wish)
            trial.judge(made)
            callers.hear(made)
    missing = [clause for clause in TRANSITIONS if clause not in trial.follower.reached]
    assert not missing, f"the calls did not reach {', '.join(missing)}"
