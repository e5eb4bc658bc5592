"""What must hold: invariants, the reference model, the spec as data, the matrix as scenarios, defects.

May import `holdfast.core`'s public names, `holdfast.traces` and the toolkit of `holdfast.sim`. Tighter:
`properties.model` only core's ids and events. Wider: `properties.defects` anything in core and providers, and
only the front door imports it.
"""
