"""Section 26 of the matrix: checks in program order and replay details."""
