"""Entry point of ``python -m orchestrator.agents.driver``."""

from orchestrator.agents.driver.main import run

run()
