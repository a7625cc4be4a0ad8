"""The composition root: the only place that names concrete classes."""

from orchestrator.app.assembly import build, plan, remove
from orchestrator.app.from_settings import containment_in_force, own_secrets
from orchestrator.app.job_manager import JobManager

__all__ = ["JobManager", "build", "containment_in_force", "own_secrets", "plan", "remove"]
