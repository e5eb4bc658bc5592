"""Section 19 of the matrix: provider validations named by the status note and the audit."""
