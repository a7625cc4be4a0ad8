"""The process that runs an AI tool or a model loop, and watches it.

A worker of an AI agent runs ``python -m orchestrator.agents.driver_process``. The driver starts the
agent's program, reads its reports, writes a log for people, enforces the limits, and writes
``agent.json``. Importing this package imports none of its modules.
"""
