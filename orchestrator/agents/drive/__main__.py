"""``python -m orchestrator.agents.drive``."""

from orchestrator.agents.drive.main import run

run()
