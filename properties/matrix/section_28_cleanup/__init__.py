"""Section 28 of the matrix: terminal cleanup on every path."""
