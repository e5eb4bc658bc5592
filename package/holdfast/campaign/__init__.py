"""Campaigns: scenarios and checks of the specification, run on providers, added up as evidence.

In reading order: `providers` (names to factories), `selection` (what to run), `single` (one scenario once,
with all monitors), `recording` (a run as a trace), `blocks` (the unit of work), `pool` (worker processes),
`campaign` (the whole), `fingerprint` (which code was checked). `hunt` is for planted defects, `sweep` for
every single fault, `loading` for the code of others.
"""
