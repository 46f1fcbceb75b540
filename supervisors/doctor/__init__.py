"""Looks at everything that a shop needs, changes nothing, and says what would mend what is wrong.

`asking` collects facts, all at once and each within its time; `judging` makes lines of them; `deep`
holds all rows and all nodes' lists to the invariants.
"""
