"""Section 32 of the matrix: options and interface details."""
