"""The options of commands that run scenarios: where a run is cut off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import click

from holdfast.sim import Limits

_OPTIONS: Final = (
    click.option(
        "--max-steps",
        type=click.IntRange(min=1),
        metavar="N",
        help="Cut a run off after this many steps in which something happened.",
    ),
    click.option(
        "--max-all-steps",
        type=click.IntRange(min=1),
        metavar="N",
        help="Cut a run off after this many steps of any kind.",
    ),
    click.option(
        "--max-virtual",
        type=click.FloatRange(min=0.001),
        metavar="SECONDS",
        help="Cut a run off at this virtual time.",
    ),
)


def limited(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of `limits`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def limits(max_steps: int | None, max_all_steps: int | None, max_virtual: float | None) -> Limits | None:
    """The limits that were given, None for those of each scenario. What is not given is the default."""
    given = {
        "max_steps": max_steps,
        "max_steps_in_all": max_all_steps,
        "max_virtual_us": None if max_virtual is None else round(max_virtual * 1_000_000),
    }
    set_ones = {name: value for name, value in given.items() if value is not None}
    return Limits(**set_ones) if set_ones else None
