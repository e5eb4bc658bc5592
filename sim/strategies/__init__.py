"""Strategies: policies that answer the choice points of a run. One file each; copy `fifo.py` for another, and
give it a line in `_NAMED` below: what texts can name, and what help texts list, is made from that.

`stage.strategy` is the interface, `fifo` the plain run, `random_walk` and `pct` the searches (`sparse` is how
both strike faults), `plain_first` begins another with the plain run, `replay` answers from a tape,
`deviations` from a few named draws, `planned` from a plan of faults.
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
    """A strategy that a text can name, as `NAME` or `NAME:ARGUMENT`.

    `make` gets the seed and the text after the colon, None without a colon. `argument` says what that text
    means, for those that take one.
    """

    strategy: type[Strategy]
    make: Callable[[int, str | None], Strategy]
    argument: str = ""

    @property
    def usage(self) -> str:
        """How it is named, and the first line of its docstring: what a help text says about it."""
        shown = f"{self.strategy.name}[:{self.argument}]" if self.argument else self.strategy.name
        return f"{shown} ({(self.strategy.__doc__ or '').partition(chr(10))[0].rstrip('.')})"


_NAMED: Final = (
    NamedStrategy(RandomWalk, lambda seed, argument: RandomWalk(seed)),
    NamedStrategy(Pct, Pct.of_text, argument="DEPTH"),
    NamedStrategy(Fifo, lambda seed, argument: Fifo()),
)
"""The registry, in the order in which help texts list it."""

STRATEGIES: Final = {named.strategy.name: named for named in _NAMED}
"""Those that `make_strategy` knows, by name."""

assert len(STRATEGIES) == len(_NAMED), f"two strategies have one name: {list(STRATEGIES)}"


def usages() -> str:
    """All strategies that a text can name, each with a line, for help texts."""
    return "; ".join(named.usage for named in STRATEGIES.values())


def make_strategy(text: str, seed: int) -> Strategy:
    """The strategy that a text names: a name of `STRATEGIES`, with a colon and an argument if it takes one.

    Raises ConfigurationError for anything else.
    """
    name, colon, argument = text.partition(":")
    named = STRATEGIES.get(name)
    if named is None:
        raise ConfigurationError(f"unknown strategy {text!r}, expected one of {', '.join(STRATEGIES)}")
    if colon and not named.argument:
        raise ConfigurationError(f"strategy {name!r} takes no argument, {argument!r} was given")
    made = named.make(seed, argument if colon else None)
    assert made.name == name, f"strategy {name!r} is registered with what makes a {made.name!r}"
    return made
