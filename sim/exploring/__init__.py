"""Running: one schedule, many, one twice.

`explorer` runs a scenario under a strategy, `checks` what needs no world, `determinism` one tape twice.
May import the toolkit, the stage and the strategies.
"""
