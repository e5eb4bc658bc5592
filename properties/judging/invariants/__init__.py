"""The rules of sessions.md section 27 as monitors, one file per rule, named by its id and what it says.

A monitor listens to facts of the ledger and to local events, and reports the first breach with a witness. It
reads the ledger and changes nothing. `monitor` has what they share, `obligations` what timed ones need.
"""
