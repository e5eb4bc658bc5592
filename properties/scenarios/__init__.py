"""The test matrix as scenarios: one module per section, registered by being imported here.

`conversations` is what they are made of. To add one, copy a section's module and name it below.
"""

from holdfast.properties.scenarios import (
    section_01_lifecycle,
    section_05_crash_migration,
)

SECTIONS = (
    section_01_lifecycle,
    section_05_crash_migration,
)
"""The modules of the sections, in the order of the matrix."""
