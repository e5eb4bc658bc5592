"""The SQLite provider: a file for durable use, an in-memory database for tests and the simulator.

store.py            sqlite_store, SqliteStore: opening, closing, inspection hooks; store_arguments.py
provider.py         SqliteProvider, the contract: checks arguments, runs one call on the connection's thread
management.py       its second half: inspecting; deletion.py: deleting and pruning
calls.py            how a call of either reaches its connection, and waits for work
database.py         a connection, its transactions, contention, closing; one_thread.py, storage_errors.py
store_file.py       whether a file is still the one that was opened, and what an operator hears of it
durability.py       the journal mode that a file can have, and how often SQLite syncs
turns.py  acknowledgement.py  work.py  reads.py    what each call does inside its transaction
opening.py          files: refused, created, upgraded; memory_image.py: in-memory databases
table_check.py      whether the tables of a file are those of this version
adoption.py         which files of the reference implementation are taken, and why others are not
inspection.py       what monitors read
statements.py       loads the SQL: schema.sql, queries/, migrations/
"""

from holdfast.providers.sqlite.provider import SqliteProvider
from holdfast.providers.sqlite.store import SqliteStore, sqlite_store

__all__ = ["SqliteProvider", "SqliteStore", "sqlite_store"]
