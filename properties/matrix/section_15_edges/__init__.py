"""Section 15 of the matrix: edge cases and races."""
