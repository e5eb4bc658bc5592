"""Section 31 of the matrix: data model, upgrade, wrappers."""
