"""Agents: each turns a task into a command, and the command's results into evidence.

- ``activity``: Output of a working agent: its events and its transcript
- ``ai_tools``: Claude Code, Codex, and other AI tools: how each is called, how its output is read
- ``availability``: Which agents this machine and the nodes of a cluster can run
- ``driver_process``: The process that runs an AI tool or a model loop, and watches it
- ``model_loop``: Built-in agents: each calls a model over HTTP in a loop
- ``prices``: Prices of models: the built-in table, and the cost of a usage
- ``prompts``: Texts that agents read: prompts, roles, shared context
- ``survey``: The agent ``survey``: a static analyzer that maps the project without AI

``driven_agent`` (AI agents, which the driver runs) and ``command_agents`` (commands and other
programs) implement ``core.ports.agents.Agent``. ``agent_registry`` finds an agent by its name, and
selects the agent for the name ``auto``.
"""
