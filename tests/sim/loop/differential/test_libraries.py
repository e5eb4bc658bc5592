"""Libraries give the same answers on the simulated loop as on asyncio's."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from typing import Final

import pytest
from tests.sim.loop.differential import libraries
from tests.sim.loop.differential.both import Program, on_asyncio, simulated

from holdfast.sim.strategies import Fifo, make_strategy

LIBRARIES: Final = {
    "aiobreaker": "aiobreaker_opens_and_closes",
    "aiocache": "aiocache_in_memory",
    "aiodataloader": "aiodataloader_batches",
    "aioitertools": "aioitertools_chains",
    "aiojobs": "aiojobs_run_in_the_background",
    "aiolimiter": "aiolimiter_lets_so_many_through",
    "aiorwlock": "aiorwlock_readers_and_writers",
    "aiostream": "aiostream_operators",
    "aiotools": "aiotools_timers_and_groups",
    "anyio": "anyio_timeouts anyio_groups_and_streams anyio_locks_and_shields",
    "async_lru": "async_lru_caches_answers",
    "async_timeout": "async_timeout_scopes",
    "asyncache": "asyncache_keeps_answers",
    "asyncer": "asyncer_groups",
    "asyncio_throttle": "throttling",
    "asyncstdlib": "asyncstdlib_iterators",
    "backoff": "backoff_tries_again",
    "blinker": "blinker_signals",
    "cachetools_async": "cachetools_async_keeps_answers",
    "pyee": "pyee_events",
    "quattro": "quattro_scopes_and_groups",
    "reactivex": "reactivex_on_the_loop",
    "stamina": "stamina_retries",
    "tenacity": "tenacity_retries",
    "transitions": "transitions_of_a_machine",
}
"""By the name to import, the programs that use it."""

READ_THE_TIME: Final = {
    "aiocache": ("aiocache",),
    "asyncache": ("cachetools",),
    "asyncio_throttle": ("asyncio_throttle",),
    "tenacity": ("tenacity",),
    "stamina": ("stamina", "tenacity"),
}
"""Those that read the time by themselves, and the packages that are given virtual time for them."""


PROGRAMS: Final = [(library, name) for library, names in LIBRARIES.items() for name in names.split()]


@pytest.mark.parametrize(("library", "program"), PROGRAMS)
def test_a_library_gives_the_same_answers_on_both_loops(library: str, program: str) -> None:
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed: `uv sync` installs what the tests use")
    made: Program = getattr(libraries, program)
    clocks = READ_THE_TIME.get(library, ())
    for package in (library, *clocks):
        importlib.import_module(package)  # before any clock is another
    real = on_asyncio(made, clocks)
    for strategy in (Fifo(), make_strategy("random", 1)):
        assert simulated(made, strategy, virtual_clock_for=clocks) == real


def test_every_program_belongs_to_a_library() -> None:
    named = {name for names in LIBRARIES.values() for name in names.split()}
    written = {
        name
        for name, one in inspect.getmembers(libraries, inspect.iscoroutinefunction)
        if one.__module__ == libraries.__name__
    }
    assert named == written
    assert len(LIBRARIES) >= 15
