"""All planted defects by name."""

from __future__ import annotations

from contextlib import AbstractContextManager
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from holdfast.core.contract.errors import ConfigurationError
from holdfast.properties.defects.defect import REGISTERED, Defect

for _module in iter_modules([str(Path(__file__).parent)]):
    if _module.name != "catalogue":
        import_module(f"{__package__}.{_module.name}")


def defects() -> dict[str, Defect]:
    """All planted defects by name: by module, and there in the order in which they are written."""
    return dict(REGISTERED)


def plant(name: str) -> AbstractContextManager[None]:
    """Switch a defect on in this process until the context is left.

    Raises ConfigurationError for an unknown name, suggesting a similar one.
    """
    known = REGISTERED.get(name)
    if known is None:
        near = get_close_matches(name, REGISTERED, n=1)
        meant = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(REGISTERED)}"
        raise ConfigurationError(f"no planted defect is called {name!r}; {meant}")
    return known.planted()
