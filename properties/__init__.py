"""What must hold: rules and their judging, the spec as data, the matrix as scenarios, planted defects.

    spec/       the specification as data; imports nothing of ours
    judging/    ledger, invariants, reference model, situations, and the suite that runs them over a run
    matrix/     the scenarios, by section of the matrix, made of the nouns in its `parts`
    defects/    small wrong changes that the above must catch; may import anything in core and providers

May import `holdfast.core`, `holdfast.traces` and `holdfast.sim`. Tighter: `judging.model` only core's
ids and events. `judging` knows no scenario, `matrix` no defect; only the front door imports the defects.
"""
