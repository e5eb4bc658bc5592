"""Situations: named states of affairs that a run may reach, recognised from commits and events.

A rule that was never put to the test holds as well; hence every check names the situations without which it
is evidence for nothing. They are recognised here and never set by a scenario.

    scene                        what recognisers look at
    deliveries, turns, workers   the recognisers
    table                        SITUATIONS: name, meaning, recogniser
    recogniser                   looks for all of them along a run
"""
