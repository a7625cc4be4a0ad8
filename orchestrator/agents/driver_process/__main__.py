"""Entry point of ``python -m orchestrator.agents.driver_process``."""

from orchestrator.agents.driver_process.main import run

run()
