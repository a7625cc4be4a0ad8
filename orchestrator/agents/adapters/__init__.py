"""Agents that are programs: what each of them is called with, and what it needs around it.

``core/model/known_agents`` has what the server knows of them; what is here is used by the driver.

- ``commands``: How each program is called: a module for each, with its ``call``
- ``invocation``: How an agent's program is started: arguments, environment, the user's own files
- ``parsing``: What the readers of all programs share: usage, outcomes, failures, JSON
- ``readers``: What each program prints: a module for each, with its reader
"""
