"""The provider contract and the types that cross it.

Read `provider` first: it is the whole of what a store must do. Around it: `store` (what a factory returns),
`management` (the optional second half), `events` and `work_items` with `failures` (what is stored), `codec`
(their wire form), and the ports through which time, ids and observation are handed in (`clock`, `ids`,
`observe`). `errors` has every exception. Imports nothing of ours.
"""
