"""The test matrix as scenarios: one module per section, registered by being imported here.

`conversations` is what they are made of, `deliveries` reads what happened; `disturbances` goes beyond the
matrix. To add a section, copy a section's module and name it below.
"""

from holdfast.properties.scenarios import (
    disturbances,
    section_01_lifecycle,
    section_04_renewal,
    section_05_crash_migration,
    section_06_shutdown_migration,
)

SECTIONS = (
    section_01_lifecycle,
    section_04_renewal,
    section_05_crash_migration,
    section_06_shutdown_migration,
    disturbances,
)
"""The modules, the sections in the order of the matrix."""
