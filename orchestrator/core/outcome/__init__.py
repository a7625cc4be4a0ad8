"""What an attempt came to, and whether it is tried again.

- ``job``: What a job came to: its status, its reason, and what its result lacks
"""
