"""The replay engine: one turn of one execution as a pure function.

`turn.run_turn` takes a `turn_values.TurnInput` and returns a `TurnResult`. In between: `intake` turns the
batch's messages into events (`event_writer` numbers them, `known_events` has those so far by kind), `driver`
runs the coroutine in `seclusion` and ends it by `teardown`, `replay` feeds it, `matching` compares what it
asks for with the history and has the table of all `actions` and their events, `dropped_futures` gives up what
is no longer awaited; `turn_state` is what they share, with `inbox`, `key_values` and `open_sessions` in it.
`context` and `futures` are what orchestration code sees, with `key_value_calls`, `branches`, `retries` and
`answer_values` behind them; `user_place` names a line of it in errors. May import the contract and the
program; no clock, no store, no thread of its own, no event loop.
"""
