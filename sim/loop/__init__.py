"""Virtual asyncio: the event loop of one simulated process, its tasks, its clock, and what it refuses.

`virtual_time` is the one number that moves, `clock` and `ids` are what a process has of time and ids;
`event_loop`, `tasks`, `timers` and `asyncgens` are asyncio's own in a fixed order; `complaints` is what
asyncio would have logged; `refusals` and `guards` turn away what would reach the real machine: `ways_out` is
the table of it, and `locks` never wait for another thread; `driving` runs a provider's coroutine within one
step. May import `core`.
"""
