"""Coverage against the sections of the spec, timelines, plots, the HTML report.

May import `holdfast.traces`, and the verdicts and spec data of `holdfast.properties`; never `holdfast.sim`,
`holdfast.providers` or the runtime. In reading order: `words` (six words and the verdict), `evidence` (what
a campaign has seen, mergeable; `evidence_file` writes it), `judging` and `summary` (the word of each row and
of the whole), `coverage` (evidence against the spec: `coverage.json`), `kills` and `hunted` (planted
defects), `gaps` (what is not covered), `ratchet` (what must not get worse), `timeline` (a trace as lanes,
marks and spans); and four ways to show them: `terminal`, `terminal_timeline`, `html` and `pages` with
`templates/`, `assets/` and `plots`, `picture`. What is sent to a terminal goes through `escaping`.

Import from the modules: this one stays empty, so that the terminal does not pay for the page or the picture.
"""
