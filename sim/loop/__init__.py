"""Virtual asyncio: the event loop of one simulated process, its tasks, its clock, and what it refuses.

`virtual_time` is the one number that moves; `event_loop` and `tasks` are asyncio's own in a fixed order;
`complaints` is what asyncio would have logged; `refusals` and `guards` turn away what would reach the real
machine; `driving` runs a provider's coroutine within one step. May import `core`.
"""
