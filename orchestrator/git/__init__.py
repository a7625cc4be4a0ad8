"""The host project's repository, by the program git."""

from orchestrator.git.landing import Landing
from orchestrator.git.repository import GitRepository

__all__ = ["GitRepository", "Landing"]
