"""Section 25 of the matrix: delivery order and eligibility."""
