"""The tools of a loop: read, write, edit, list, search, bash, each within the agent's policy."""
