"""Checks of projects: detecting gates, and reading their reports.

- ``detect``: Detecting the gates of a project
- ``parsers``: Parsing the reports of tools, by format

The files of ``probe/`` are no package. The Python of a gate imports them, and they report which
sources it ran.
"""

from pathlib import Path

from orchestrator.gates.detect.resolve import Finder
from orchestrator.gates.parsers.report_formats import GateReports
from orchestrator.gates.secret_scan import Secrets

__all__ = ["PROBE", "Finder", "GateReports", "Secrets"]

#: Directory of modules that Python imports when it starts in a gate. They report which sources it
#: read.
PROBE = Path(__file__).parent / "probe"
