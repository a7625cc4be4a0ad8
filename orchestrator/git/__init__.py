"""The host project's repository, by the program git."""

from orchestrator.git.carrying import Rules
from orchestrator.git.differences import between
from orchestrator.git.landing import How, Landing
from orchestrator.git.repository import GitRepository

__all__ = ["GitRepository", "How", "Landing", "Rules", "between"]
