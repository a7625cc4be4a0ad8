"""How projects are checked: what there is to run, and how what it leaves is read."""

from pathlib import Path

from orchestrator.gates.finding import Finder
from orchestrator.gates.reading import Reports
from orchestrator.gates.secret_scan import Secrets

__all__ = ["PROBE", "Finder", "Reports", "Secrets"]

#: Modules that a Python imports at its start, in gates, to report which sources it read.
PROBE = Path(__file__).parent / "probe"
