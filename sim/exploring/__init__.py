"""Running one schedule, many schedules, or one tape twice.

`explorer` runs a scenario under a strategy, `cut_off` says of one that a limit has ended who waits for what,
`stored` is what a run leaves in its store; `checks` runs what needs no world, `determinism` runs one tape
twice.
May import the toolkit, the stage and the strategies.
"""
