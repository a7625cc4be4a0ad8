"""Commands for the machines of a cluster: ``nodes`` and ``node``."""
