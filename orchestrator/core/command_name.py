"""Name of the command in messages, so that users can paste what a message shows."""

#: As it is typed in the folder. Every command in a message begins with it.
COMMAND = "bin/orchestrator"
