"""The process that runs an AI agent's program, or its loop over HTTP, and watches it.

``python -m orchestrator.agents.driver`` is what a worker of an AI agent runs: it starts the
agent's own program, reads what that reports, writes a log for people, holds the limits and
leaves ``agent.json``. Importing this package loads none of it.
"""
