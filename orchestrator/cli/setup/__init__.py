"""Commands that set up and maintain the product: init, config, keys, agents.

- ``cluster``: Commands for the machines of a cluster: ``nodes`` and ``node``
- ``integrations``: Commands for other services: incoming events (triggers), and outgoing messages
"""
