"""The replay engine: one turn of one execution as a pure function.

`turn.run_turn` takes a `turn_values.TurnInput` and returns a `TurnResult`. In between: `intake` turns the
batch's messages into events, `driver` runs the coroutine, `replay` feeds it, `matching` compares what it asks
for with the history and has the table of all actions and their events, `dropped_futures` gives up what is no
longer awaited; `turn_state` is what they share. `context` and `futures` are what orchestration code sees. May
import the contract and the program; no clock, no store, no thread, no event loop.
"""
