"""How messages name the command, so that what they show can be pasted."""

#: As it is typed in the folder. Every command in a message begins with it.
COMMAND = "bin/orchestrator"
