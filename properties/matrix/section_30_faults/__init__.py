"""Section 30 of the matrix: clocks, lost messages, crashes at any point."""
