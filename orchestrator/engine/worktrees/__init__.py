"""Worktrees of workers, checkpoints, the user's checkout.

- ``start``: Start commits of attempts that build on other work
"""
