"""Agents: each turns a task into a command, and the command's results into evidence.

- ``adapters``: Programs as agents: how each is called, and how its output is read
- ``agent_types``: Implementations of ``core.ports.Agent``: driven agents, programs and the shell
- ``catalog``: Prices, availability and task fit of agents
- ``driver``: The process that runs an AI agent's program, or its loop over HTTP, and watches it
- ``events``: Reports of a working agent: lines become events and a transcript
- ``loop``: Built-in agents: a loop over a model's HTTP interface
- ``prompts``: Texts that agents read: prompts, roles, shared context
- ``survey``: The embedded agent: a static analyser that maps the host project without any AI
"""
