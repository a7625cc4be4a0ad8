"""AI tools, such as Claude Code and Codex: how each is called, and how its output is read.

The driver uses this package. The server uses only the data in ``core/model/known_agents``.

- ``commands``: Command line, files, and environment of each program: one module per program
- ``invocation``: How an agent's program is started: arguments, environment, the user's own files
- ``reader_parts``: Shared parts of all readers: usage, outcomes, failures, lines for a log
- ``readers``: Readers of each program's output: one module per program
"""
