"""Invariants about what a fetch may hand out, to whom, and how often."""
