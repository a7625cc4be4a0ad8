"""Agents that are programs: the call of each program, and its environment.

``core/model/known_agents`` has the data that the server uses; this package is used by the driver.

- ``commands``: How each program is called: a module for each, with its ``call``
- ``invocation``: How an agent's program is started: arguments, environment, the user's own files
- ``parsing``: Shared parts of all readers: usage, outcomes, failures, JSON
- ``readers``: Output of each program: a module for each, with its reader
"""
