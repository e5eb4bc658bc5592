"""Coverage against the sections of the spec, timelines, plots, the HTML report.

May import `holdfast.traces`, and the verdicts and spec data of `holdfast.properties`; never `holdfast.sim`,
`holdfast.providers` or the runtime.
"""
