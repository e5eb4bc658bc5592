"""What every shell of a process needs: settings, tasks, slots, pace, logs and counters.

`options` has every setting, `idle_options` finds those that do nothing; `crew` keeps the asyncio tasks;
`slots` fetch and process, at a `pace`, and dispose of what they fetched with a `final_call`; `backoff` says
how long to wait; `log`, `standard_logging` and `metrics` report it (`instruments` and `gauge_poll` for a
sink); `forwarding` and `instrumented` wrap a provider; `watching_thread` is the watchdog, which interrupts
with `strikes` and, where that does not help, ends the process by a `kernel_timer`. May import the contract.
"""
