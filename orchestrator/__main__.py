"""``python -m orchestrator``: the same as the program ``orchestrator``."""

from orchestrator.cli import main

main()
