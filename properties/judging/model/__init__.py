"""The reference model: what a provider may do, as one small pure function (sessions.md 12, 13, 25).

state         State: session rows, worker queue, instance locks, as immutable values
operations    what is asked of a provider, and the answer as the caller saw it
move          Move: what the contract says an operation does, and the clause that says so
sessions      moves of a session row: renew, release
delivery      moves of the worker queue: fetch, finish, give back, renew
turns         moves of a turn: fetch, acknowledge, give back; and deletion
step          step: state and call to the states allowed next, or the rule that refuses
explanation   why a fetch may not be answered like that
observation   observe: a state against the rows that a store shows
follower      Follower: all states still possible along a run
refusal       Refusal, and how people read it

Nothing here knows a provider, nor imports more of the product than numbers: the specification alone says
what is right, and two authors rarely make the same mistake. Clause ids say which sentence a move carries out.
"""
