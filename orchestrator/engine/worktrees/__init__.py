"""Where workers work: worktrees, checkpoints, the user's checkout.

- ``start``: What an attempt starts from that follows other work
"""
