"""What authors of scenarios and checks see.

`scenario` declares one, `world` is what its body gets, `handle` holds one process over all its boots;
`bench` and `recorded` are for checks at the level of one store; `suspects` looks for what no guard can
intercept. May import the stage.
"""
