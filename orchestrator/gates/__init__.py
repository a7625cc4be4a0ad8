"""How projects are checked: what there is to run, and how what it leaves is read."""

from orchestrator.gates.finding import Finder
from orchestrator.gates.reading import Reports
from orchestrator.gates.secret_scan import Secrets

__all__ = ["Finder", "Reports", "Secrets"]
