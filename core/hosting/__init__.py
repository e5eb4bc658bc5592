"""What every shell of a process needs: settings, tasks, pace, logs and counters.

`options` has every setting; `crew` keeps the asyncio tasks; `pace` and `backoff` say how long to wait;
`log` and `metrics` tell of it; `forwarding` and `instrumented` wrap a provider. May import the contract.
"""
