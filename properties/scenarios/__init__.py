"""The test matrix as scenarios: one module per section, registered by being imported here.

    section_01_lifecycle,
    section_01_lifecycle,
    section_05_crash_migration,
    section_05_crash_migration,
"""
"""The modules of the sections, in the order of the matrix."""
)
)
SECTIONS = (
`conversations` is what they are made of. To add one, copy a section's module and name it below.
from holdfast.properties.scenarios import (
from holdfast.properties.scenarios import section_04_renewal as section_04_renewal
from holdfast.properties.scenarios import section_06_shutdown_migration as section_06_shutdown_migration
