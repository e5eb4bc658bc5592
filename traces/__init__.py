"""What happened, as data: choices, the tape, events, the file format, happens-before, shrinking, export.

May import `holdfast.core`'s ids and event types, and nothing else of ours.
"""
