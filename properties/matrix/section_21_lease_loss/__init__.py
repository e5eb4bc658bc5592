"""Section 21 of the matrix: lease loss and cancellation."""
