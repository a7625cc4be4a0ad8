"""What runs of gates mean: findings, two runs side by side, files, tampering.

- ``failures``: What two failures of tests have in common
- ``runs``: Runs of a gate side by side: on the base, on candidates, on a merged state
- ``tampering``: Changes by which work would pass its gates without being right
"""
