"""Planted defects: small, plausible changes of behaviour that properties must catch.

Each is switched on for a run by `plant(name)` and leaves product code as it is. `defect` says what one is,
`catalogue` has them all by name; `providers`, `worker`, `dispatcher` and `engine` have them by area.
"""

from holdfast.properties.defects.catalogue import defects, plant
from holdfast.properties.defects.defect import Defect

__all__ = ["Defect", "defects", "plant"]
