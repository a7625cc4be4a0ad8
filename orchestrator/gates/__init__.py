"""Checks of projects: detecting gates, and reading their reports.

- ``detect``: Detecting the gates of a project
- ``parsers``: Parsing the reports of tools, by format

The files of ``probe/`` are no package: Python imports them in a gate, and they report which
sources it ran.
"""

from pathlib import Path

from orchestrator.gates.detect.resolve import Finder
from orchestrator.gates.parsers.report_formats import GateReports
from orchestrator.gates.secret_scan import Secrets

__all__ = ["PROBE", "Finder", "GateReports", "Secrets"]

#: Directory of modules that Python imports at its start in gates, to report which sources it read.
PROBE = Path(__file__).parent / "probe"
