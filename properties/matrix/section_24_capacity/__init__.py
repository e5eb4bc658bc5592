"""Section 24 of the matrix: capacity and fetch modes."""
