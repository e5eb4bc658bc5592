"""Section 23 of the matrix: ack atomicity and the close signal."""
