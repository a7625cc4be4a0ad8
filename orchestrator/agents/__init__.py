"""Agents: each turns a task into a command, and what the command left into evidence.

- ``adapters``: Programs as agents: how each is called, and how its output is read
- ``agent_types``: What matches ``core.ports.Agent``: driven agents, programs and the shell
- ``catalog``: What agents cost, which can work here and for which tasks
- ``driver``: The process that runs an AI agent's program, or its loop over HTTP, and watches it
- ``events``: What an agent reports while it works: lines become events and a transcript
- ``loop``: Agents that are a loop of our own over a model's HTTP interface
- ``prompts``: What an agent is given to read
- ``survey``: The embedded agent: a static analyser that maps the host project without any AI
"""
