"""The test matrix as scenarios: one module per section, registered by being imported here.

`conversations` and `deliveries` are what they are made of. To add one, copy a module and name it below.
"""

from holdfast.properties.scenarios import disturbances as disturbances
from holdfast.properties.scenarios import section_01_lifecycle as section_01_lifecycle
from holdfast.properties.scenarios import section_02_routing as section_02_routing
from holdfast.properties.scenarios import section_03_several_workers as section_03_several_workers
from holdfast.properties.scenarios import section_04_renewal as section_04_renewal
from holdfast.properties.scenarios import section_05_crash_migration as section_05_crash_migration
from holdfast.properties.scenarios import section_06_shutdown_migration as section_06_shutdown_migration
from holdfast.properties.scenarios import section_10_continue_as_new as section_10_continue_as_new
from holdfast.properties.scenarios import section_11_terminal_cleanup as section_11_terminal_cleanup
from holdfast.properties.scenarios import section_15_edge_cases as section_15_edge_cases
from holdfast.properties.scenarios import section_15_races as section_15_races
