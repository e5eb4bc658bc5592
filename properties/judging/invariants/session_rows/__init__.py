"""Invariants about the rows of sessions in the store: when they exist, and how they change."""
