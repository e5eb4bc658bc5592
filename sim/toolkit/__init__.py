"""What you write scenarios and checks with.

`scenario` declares a scenario, `world` is what its body gets, `handle` controls one process across its boots;
`instance_failed` is what it is told of an instance that did not complete;
`bench` and `recorded` are for checks of one store; `suspects` looks for what no guard can intercept. May
import the stage.
"""
