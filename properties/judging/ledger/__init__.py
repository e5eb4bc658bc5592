"""What all monitors of a run share: the state derived from its commits and local events (sessions.md 27a).

instances   histories: open sessions, incarnations, activities
items       the worker queue
workers     leases, attempts, the book of faults
rows        the store's own rows, through its hooks
facts       what a commit means
ledger      Ledger: takes in one commit or local event after another
"""
