"""Storage behind the one contract: memory, SQLite, and the conformance suite for any provider.

What all providers may use: `arguments` checks those of a call, `waiting` is long polling, `breakage` makes
calls fail halfway. May import `holdfast.core.contract`; never another room, and never another provider.
Clock and ids are handed in; blocking work goes through `loop.run_in_executor`.
"""
