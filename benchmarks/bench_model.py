"""What the reference model costs: the time of a schedule with it and without it, all other monitors on.

The scenario, the providers and the way of measuring are those of `bench_schedules.py`. Runs with and without
the model take turns, schedule by schedule, so that a busy machine slows both. Run it with
`python benchmarks/bench_model.py`.
"""

from __future__ import annotations

import sys
from statistics import median
from time import perf_counter

from bench_schedules import reference

from holdfast.campaign.providers import find_provider
from holdfast.campaign.single import monitors_for
from holdfast.properties.judging.registry import MONITORS
from holdfast.sim import RandomWalk, run_schedule

GOAL = 0.25
RUNS = 200
REPETITIONS = 5
OTHERS = [rule for rule in MONITORS if rule != "MODEL"]


def seconds(provider: str, first: int) -> tuple[float, float]:
    """Seconds of the same schedules with the model, and without it."""
    factory = find_provider(provider).factory
    strategy = RandomWalk(1)
    spent = [0.0, 0.0]
    for schedule in range(first, first + RUNS):
        for which, rules in enumerate((None, OTHERS)):
            strategy.begin(schedule)
            before = perf_counter()
            run = run_schedule(reference, factory, strategy, watchers=monitors_for(reference, rules))
            spent[which] += perf_counter() - before
            assert run.counts and not run.failures, run.failures
    return spent[0], spent[1]


def main() -> int:
    """Print the figures; 1 if the model costs more than its share."""
    short = False
    for provider in ("memory", "sqlite"):
        seconds(provider, 0)
        measured = [seconds(provider, 1_000 * n) for n in range(REPETITIONS)]
        with_it = median(one / RUNS for one, _ in measured)
        without = median(other / RUNS for _, other in measured)
        share = median((one - other) / one for one, other in measured)
        print(
            f"{provider}: {1000 * with_it:.2f} ms a schedule, {1000 * without:.2f} ms without the model:",
            end=" ",
        )
        print(f"it takes {share:.0%} of a run (goal at most {GOAL:.0%})")
        short |= share > GOAL
    return int(short)


if __name__ == "__main__":
    sys.exit(main())
