"""Orchestrations: fetch a batch, run its turn, acknowledge what follows (RT-5).

Pure deciders and one shell. `batch_decision` says what a fetched batch calls for, `settlement` what the
result of its turn calls for; `execution_end`, `execution_figures`, `poison`, `parent_link`, `history_scan`
and `limit_checks` are what the two are made of; `turn_commit` is what they return. `dispatcher` alone waits
and calls the provider. May import the contract, the program, the engine and hosting.
"""
