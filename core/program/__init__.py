"""What authors hand in: code by name and version, typed values, limits and retry policies.

`registry` says which code runs under which name; `payload` turns typed values into stored texts; `limits`
says how much a turn may ask for; `retry` is the arithmetic of retry policies. May import the contract.
"""
