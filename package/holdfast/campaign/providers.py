"""Providers by name: `memory`, `sqlite`, or `module:factory` for any other."""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import dataclass
from typing import Final

from holdfast.campaign.loading import loading
from holdfast.core.contract.clock import IdSource, ProviderClock
from holdfast.core.contract.errors import ConfigurationError
from holdfast.core.contract.provider import Provider
from holdfast.core.contract.store import Store
from holdfast.core.hosting.instrumented import InstrumentedProvider
from holdfast.providers import conformance
from holdfast.sim import Factory
from holdfast.sim.loop.ids import VirtualIds
from holdfast.sim.loop.virtual_time import VirtualTime
from holdfast.system import SystemClock

BUILT_IN: Final = ("memory", "sqlite")


@dataclass(frozen=True, slots=True)
class NamedProvider:
    """A provider under test: what it was called on the command line, and how its stores are made."""

    name: str
    factory: Factory
    conformance: conformance.Factory


def find_provider(name: str) -> NamedProvider:
    """The provider of this name. Raises ConfigurationError if there is none, or if it cannot make a store."""
    if name == "memory":
        from holdfast.providers.memory import memory_store

        suite = conformance.Factory(create=memory_store, long_polling=True, many_loops=True, wrap=_measured)
        return NamedProvider(name, _short_polling_memory, suite)
    if name == "sqlite":
        from holdfast.providers.sqlite import sqlite_store

        return NamedProvider(
            name, sqlite_store, conformance.Factory(create=sqlite_store, long_polling=True, wrap=_measured)
        )
    if ":" not in name:
        raise ConfigurationError(
            f"unknown provider {name!r}, expected {', '.join(BUILT_IN)} or module:factory"
        )
    return _foreign(name)


def _short_polling_memory(clock: ProviderClock, ids: IdSource) -> Store:
    """Waiting belongs to the harness in a simulation; a store that never waits has nothing to wake."""
    from holdfast.providers.memory import memory_store

    return memory_store(clock, ids, long_polling=False)


def _measured(provider: Provider) -> Provider:
    """Behind the metrics wrapper, which must change nothing (PV-32)."""
    return InstrumentedProvider(provider, clock=SystemClock())


def search_here() -> None:
    """Find modules in the current folder, as `python -m` does: a provider under trial is often there."""
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())


def _foreign(name: str) -> NamedProvider:
    module_name, _, attribute = name.partition(":")
    search_here()
    with loading(f"provider {name!r} cannot be loaded"):
        found = getattr(importlib.import_module(module_name), attribute)
    suite = found if isinstance(found, conformance.Factory) else conformance.Factory(create=found)
    if not callable(suite.create):
        raise ConfigurationError(f"provider {name!r} is a {type(found).__name__}, expected a factory")
    with loading(f"provider {name!r} cannot make a store"):
        suite.create(VirtualTime().provider_ms, VirtualIds(0)).close()
    return NamedProvider(name, suite.create, suite)
