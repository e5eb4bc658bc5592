"""The test matrix as scenarios: one module or folder per section, registered by being imported here.

`parts` has the nouns they share. To add one, copy a module: every module in this folder and below is
found, in the order of their names.
"""

from importlib import import_module
from pkgutil import walk_packages

for _module in sorted(found.name for found in walk_packages(__path__, f"{__name__}.")):
    import_module(_module)
