"""The in-memory provider: the contract in its most readable form (PV-29).

Read it in this order: `tables` (what is stored), `journal` (how a failing call is undone), `ready` (what a
fetch looks at), `turns` (the orchestrator queue), `work` (the worker queue), `affinity` (session rows),
`acknowledgement` (the commit of a turn), `key_values`, `reading`, `deletion`, then `calls` (one function at a
time), `waiting` (when time brings something), `provider` and `management` (the contract's face) and `store`
(the factory and the inspection hooks).
"""

from holdfast.providers.memory.provider import MemoryProvider
from holdfast.providers.memory.store import MemoryStore, memory_store

__all__ = ["MemoryProvider", "MemoryStore", "memory_store"]
