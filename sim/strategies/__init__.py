"""Strategies: policies that answer the draws of a run, one per file. To add one, copy `fifo.py` and add a
line to `_NAMED` below; the names accepted as text and the help texts come from there.

`stage.strategy` is the interface. `fifo` gives the plain run; `random_walk` and `pct` search (`sparse` places
the faults of both); `plain_first` puts the plain run before another strategy; `replay` answers from a tape,
`deviations` from a few given draws, `planned` from a plan of faults.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from holdfast.core.contract.errors import ConfigurationError
from holdfast.sim.stage.strategy import Strategy
from holdfast.sim.strategies.deviations import Deviations
from holdfast.sim.strategies.fifo import Fifo
from holdfast.sim.strategies.pct import Pct
from holdfast.sim.strategies.plain_first import PlainFirst
from holdfast.sim.strategies.random_walk import RandomWalk
from holdfast.sim.strategies.replay import ReplayTape
from holdfast.sim.strategies.sparse import BLOCK

__all__ = [
    "BLOCK",
    "STRATEGIES",
    "Deviations",
    "Fifo",
    "NamedStrategy",
    "Pct",
    "PlainFirst",
    "RandomWalk",
    "ReplayTape",
    "Strategy",
    "make_strategy",
    "usages",
]


class NamedStrategy(NamedTuple):
    """A strategy that can be given as text: `NAME` or `NAME:ARGUMENT`.

    `make` takes the seed and the text after the colon, None without a colon. `argument` names that text in
    help texts; it is empty for a strategy that takes none.
    """

    strategy: type[Strategy]
    make: Callable[[int, str | None], Strategy]
    argument: str = ""

    @property
    def usage(self) -> str:
        """Its help text: how it is given, and the first line of its docstring."""
        shown = f"{self.strategy.name}[:{self.argument}]" if self.argument else self.strategy.name
        return f"{shown} ({(self.strategy.__doc__ or '').partition(chr(10))[0].rstrip('.')})"


_NAMED: Final = (
    NamedStrategy(RandomWalk, lambda seed, argument: RandomWalk(seed)),
    NamedStrategy(Pct, Pct.of_text, argument="DEPTH"),
    NamedStrategy(Fifo, lambda seed, argument: Fifo()),
)
"""The registry, in the order of the help texts."""

STRATEGIES: Final = {named.strategy.name: named for named in _NAMED}
"""The strategies that `make_strategy` knows, by name."""

assert len(STRATEGIES) == len(_NAMED), f"two strategies have one name: {list(STRATEGIES)}"


def usages() -> str:
    """All strategies that can be given as text, for help texts."""
    return "; ".join(named.usage for named in STRATEGIES.values())


def make_strategy(text: str, seed: int) -> Strategy:
    """The strategy given as text: a name in `STRATEGIES`, with a colon and an argument if it takes one.

    Raises ConfigurationError for anything else.
    """
    name, colon, argument = text.partition(":")
    named = STRATEGIES.get(name)
    if named is None:
        raise ConfigurationError(f"unknown strategy {text!r}, expected one of {', '.join(STRATEGIES)}")
    if colon and not named.argument:
        raise ConfigurationError(f"strategy {name!r} takes no argument, {argument!r} was given")
    made = named.make(seed, argument if colon else None)
    assert made.name == name, f"strategy {name!r} is registered with the factory of {made.name!r}"
    return made
