"""The world: virtual clock and loop, processes, faults, strategies, the explorer, the toolkit of scenarios.

May import `holdfast.core` and `holdfast.traces`. Never a concrete provider, `holdfast.properties` or
`holdfast.reports`: those are handed in.
"""
