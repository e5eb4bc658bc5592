"""The provider contract and the types that cross it.

Read `provider` first: it is the whole of what a store must do. Around it: `store` (what a factory returns),
`management` (the optional second half), `events` and `work_items` with `failures` (what is stored), `codec`
(their wire form), and the ports through which time, ids, observation and the limit of CPU time are handed in
(`clock`, `ids`, `observe`, `watchdog`). `errors` has every exception; `arguments` checks what callers hand
over, `user_texts` shows what an author's code has raised or made. Imports nothing of ours.
"""
