"""Activities: fetch them, run them, keep their sessions leased (RT-6, SS-7, SS-14).

`worker` fetches, `activity_run` sees one delivery (an `attempt`) to its end, `handler` runs the function with
its `activity_context`, a plain one on one of the `plain_threads`, `item_renewal` keeps its lock;
`system_activities` are built in. `lease_table` decides about the sessions of a worker as a pure state machine
(what it holds is in `lease_holdings`, when that is due in `due_times`, its records and phases in
`lease_records`), `lease_keeper` does what it decided. May import the contract, the program, hosting and the
client.
"""
