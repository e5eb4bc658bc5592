"""Strategies: policies that answer the choice points of a run. One file each; copy `fifo.py` for another.

`strategy.py` is the interface, `fifo` the plain run, `random_walk` and `pct` the searches (`sparse` is how
both strike faults), `plain_first` begins another with the plain run, `replay` answers from a tape,
`deviations` from a few named draws. `make_strategy` knows those that a text can name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

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
    "Pct",
    "PlainFirst",
    "RandomWalk",
    "ReplayTape",
    "Strategy",
    "make_strategy",
]


def _no_argument(name: str, argument: str | None) -> None:
    if argument is not None:
        raise ConfigurationError(f"strategy {name!r} takes no argument, {argument!r} was given")


def _fifo(seed: int, argument: str | None) -> Strategy:
    _no_argument("fifo", argument)
    return Fifo()


def _random(seed: int, argument: str | None) -> Strategy:
    _no_argument("random", argument)
    return RandomWalk(seed)


def _pct(seed: int, argument: str | None) -> Strategy:
    text = "3" if argument is None else argument
    if not text.isdecimal() or not int(text):
        raise ConfigurationError(
            f"strategy 'pct' takes a depth of at least 1, as in 'pct:3'; {text!r} was given"
        )
    return Pct(seed, int(text))


STRATEGIES: Final[dict[str, Callable[[int, str | None], Strategy]]] = {
    "fifo": _fifo,
    "random": _random,
    "pct": _pct,
}
"""Name to maker, called with the seed and the text after the colon."""


def make_strategy(text: str, seed: int) -> Strategy:
    """The strategy a text names: "fifo", "random", "pct" or "pct:DEPTH".

    Raises ConfigurationError for anything else.
    """
    name, colon, argument = text.partition(":")
    make = STRATEGIES.get(name)
    if make is None:
        raise ConfigurationError(f"unknown strategy {text!r}, expected one of {', '.join(STRATEGIES)}")
    return make(seed, argument if colon else None)
