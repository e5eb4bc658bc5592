"""The SQLite provider: a file for durable use, an in-memory database for tests and the simulator.

store.py            sqlite_store, SqliteStore: opening, closing, inspection hooks
provider.py         SqliteProvider, the contract: checks arguments, runs one call on the connection's thread
database.py         a connection, its transactions, contention, closing; one_thread.py, storage_errors.py
store_file.py       whether a file is still the one that was opened, and what an operator hears of it
durability.py       the journal mode that a file can have, and how often SQLite syncs
turns.py  acknowledgement.py  work.py  reads.py    what each call does inside its transaction
opening.py          files: refused, created, upgraded; memory_image.py: in-memory databases
inspection.py       what monitors read
statements.py       loads the SQL: schema.sql, queries/, migrations/
"""

from holdfast.providers.sqlite.provider import SqliteProvider
from holdfast.providers.sqlite.store import SqliteStore, sqlite_store

__all__ = ["SqliteProvider", "SqliteStore", "sqlite_store"]
