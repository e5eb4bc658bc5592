"""All planted defects by name."""

from __future__ import annotations

from contextlib import AbstractContextManager
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from holdfast.core.contract.errors import ConfigurationError
from holdfast.properties.defects.defect import Defect


def _found() -> dict[str, Defect]:
    """Those of every module of this folder that has some, in the order of the modules' names."""
    found: dict[str, Defect] = {}
    for module in sorted(each.name for each in iter_modules([str(Path(__file__).parent)])):
        if module != "catalogue":
            for one in getattr(import_module(f"{__package__}.{module}"), "DEFECTS", ()):
                if one.name in found:
                    raise ValueError(f"two planted defects are called {one.name!r}: names are unique")
                found[one.name] = one
    return found


_DEFECTS = _found()


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
