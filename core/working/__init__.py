"""Activities: fetch them, run them, keep their sessions leased (RT-6, SS-7, SS-14).

`worker` fetches, `activity_run` sees one delivery to its end, `handler` runs the function with its
`activity_context`, a plain one on one of the `plain_threads`, `item_renewal` keeps its lock. `lease_table`
decides about the sessions of a worker as a pure state machine (what it holds and when that is due is in
`lease_holdings`, its records and phases in `lease_records`), `lease_keeper` does what it decided. May import
the contract, the program, hosting and the client.
"""
