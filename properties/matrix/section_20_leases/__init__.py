"""Section 20 of the matrix: idle timer and lease registry."""
