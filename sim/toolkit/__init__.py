"""What you write scenarios and checks with.

`scenario` declares a scenario, `world` is what its body gets, `handle` controls one process across its boots;
`limits` say where its runs are cut off; `instance_failed` is what it is told of an instance that failed;
`bench` and `recorded` are for checks of one store; `suspects` looks for what no guard can intercept,
and `module_state` for what outlives a run. May import the stage.
"""
