"""The test matrix as scenarios: one module or more per section, registered by being imported here.

`conversations` and `deliveries` are what they are made of. To add one, copy a module: every module in this
folder is found, in the order of their names.
"""

from importlib import import_module
from pkgutil import iter_modules

for _module in sorted(found.name for found in iter_modules(__path__)):
    import_module(f"{__name__}.{_module}")
