"""Invariants about what workers do with the sessions they hold: leases, renewals, signals, shutdown."""
