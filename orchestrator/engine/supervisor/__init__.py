"""The supervisor: the one loop that owns state, with its inbox, recovery, publisher, and locks."""
