"""The test matrix as scenarios: one module per section, registered by being imported here."""
