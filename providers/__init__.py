"""Storage behind the one contract: memory, SQLite, and the conformance suite for any provider.

May import `holdfast.core.contract`; never another room, and never another provider. Clock and ids are handed
in; blocking work goes through `loop.run_in_executor`.
"""
