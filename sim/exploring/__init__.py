"""Running one schedule, many schedules, or one tape twice.

`explorer` runs a scenario under a strategy, `checks` runs what needs no world, `determinism` runs one tape
twice.
May import the toolkit, the stage and the strategies.
"""
