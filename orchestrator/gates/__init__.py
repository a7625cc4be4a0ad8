"""Gates of projects: detection of gates, and parsing of their reports.

- ``detect``: Detecting the gates of a project
- ``parsers``: Parsing the reports of tools, by format

The product does not import the modules in ``probe/``. A gate's Python imports them, so that they
report which source files the gate executed.
"""

from pathlib import Path

from orchestrator.gates.detect.resolve import GateResolver
from orchestrator.gates.parsers.report_formats import GateReports
from orchestrator.gates.secret_scan import Secrets

__all__ = ["PROBE", "GateReports", "GateResolver", "Secrets"]

#: Directory of modules that Python imports when it starts in a gate. They report which sources it
#: read.
PROBE = Path(__file__).parent / "probe"
