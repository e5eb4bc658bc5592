"""Section 29 of the matrix: graceful shutdown, order and failures."""
