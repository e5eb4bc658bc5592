"""Invariants about histories: what is recorded, completed and replayed."""
