"""Section 27 of the matrix: continue-as-new, durable carry-over."""
