"""The durable runtime: what durable execution is.

Orchestrations replayed from history, activities, timers, events, children, continue-as-new and explicit
activity sessions; the provider contract (`holdfast.core.provider`); the ports for clock, ids and observation.

May import nothing of ours. It knows no store, reads no clock and draws no randomness: all three are handed
in, and so the same code runs in production and in the simulator.
"""
