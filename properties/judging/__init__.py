"""Judging a run: what it meant, which rules it kept, which situations it reached.

`suite` is the one watcher of a run. It feeds the `ledger` (what each commit means), the monitors of
`invariants` (one rule, one file; `registry` lists them), the reference `model` and the recognisers of
`situations`. `verdict` is what comes out; `timing` has the durations that timed rules are stated in.
`fidelity` looks at runs that went wrong outside the rules.
"""
