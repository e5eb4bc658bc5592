"""The specification as data.

Three files (`sessions-matrix.toml`, `provider-checks.toml` and `clauses.toml`, the last one written by
`extract_clauses` from the texts) and `load`, which reads them. Imports nothing of ours.
"""

from holdfast.properties.spec.load import (
    Clause,
    Section,
    checks,
    clauses,
    rows,
    sections,
    spec_fingerprint,
)
from holdfast.properties.spec.load import (
    MatrixRow as Row,
)
from holdfast.properties.spec.load import (
    SpecCheck as Check,
)

__all__ = [
    "Check",
    "Clause",
    "Row",
    "Section",
    "checks",
    "clauses",
    "rows",
    "sections",
    "spec_fingerprint",
]
