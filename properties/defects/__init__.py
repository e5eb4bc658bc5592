"""Planted defects: small, plausible changes of behaviour that properties must catch.

Each is switched on for a run by `plant(name)` and leaves product code as it is. `defect` has the decorator
that makes a function or class a defect, and helpers to replace attributes; `replacements` has replacements
that several share; `catalogue` has all defects by name. Every other module has those of one area.
"""

from holdfast.properties.defects.catalogue import defects, plant
from holdfast.properties.defects.defect import Defect

__all__ = ["Defect", "defects", "plant"]
