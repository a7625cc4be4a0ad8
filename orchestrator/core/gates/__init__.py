"""Results of gates: findings, repeated runs, files, tampering.

- ``runs``: Comparing runs of a gate: on the base, on candidates, on a merged state
- ``tampering``: Changes that would make gates pass although the work is wrong
"""
