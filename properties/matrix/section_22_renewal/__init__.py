"""Section 22 of the matrix: renewal schedule, single flight, piggyback."""
