"""All planted defects by name."""

from __future__ import annotations

from contextlib import AbstractContextManager
from difflib import get_close_matches

from holdfast.core.errors import ConfigurationError
from holdfast.properties.defects import dispatcher, engine, providers, worker
from holdfast.properties.defects.defect import Defect

_DEFECTS = {
    one.name: one for one in (*providers.DEFECTS, *worker.DEFECTS, *dispatcher.DEFECTS, *engine.DEFECTS)
}


def defects() -> dict[str, Defect]:
    """All planted defects by name, by area."""
    return dict(_DEFECTS)


def plant(name: str) -> AbstractContextManager[None]:
    """Switch a defect on in this process until the context is left.

    Raises ConfigurationError for a name that is none, with the one that may have been meant.
    """
    known = _DEFECTS.get(name)
    if known is None:
        near = get_close_matches(name, _DEFECTS, n=1)
        meant = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(_DEFECTS)}"
        raise ConfigurationError(f"no planted defect is called {name!r}; {meant}")
    return known.planted()
