"""The stage: processes, what each may do next, and the choice of one step after the other.

`process` is one boot (`passes` run its code, `ending` is how it ends), `gate` its provider, `steps` what can
be chosen, `parking` where fetches wait, `polls` how long, `long_waits` how few of them a long wait needs;
`moments` and `agenda` keep times; `stage` holds them and moves time; `engine` chooses a step and does it;
`draws` asks a `strategy` and writes the tape; `faults`, `misfortune` and `script` are what goes wrong;
`blocking` is what plain functions do; `chronicle` tells watchers what happened. May import the loop.
"""
