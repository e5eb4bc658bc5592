"""Storage behind the one contract: memory, SQLite, PostgreSQL, and the conformance suite for any of them.

May import `holdfast.core.provider`, the types it names, `holdfast.core.codec` and `holdfast.core.errors`;
never another room, and never another provider. Clock and ids are handed in; blocking work goes through
`loop.run_in_executor`.
"""
