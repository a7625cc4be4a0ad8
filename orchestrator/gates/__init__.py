"""Gates of projects: detection of gates, and parsing of their reports.

- ``detect``: Detecting the gates of a project
- ``parsers``: Parsing the reports of tools, by format

A gate's Python process imports the modules in ``probe/``, which report the source files that the
gate executed. The product itself does not import these modules.

The names in this package are imported on first use, because most commands run no gates.
"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator.gates.detect.requested_gates import GateResolver
    from orchestrator.gates.parsers.report_formats import GateReports
    from orchestrator.gates.secret_scan import SecretScanner

#: Module of each public name. Modules are imported when the name is first used.
_HOMES = {
    "GateReports": "parsers.report_formats",
    "GateResolver": "detect.requested_gates",
    "SecretScanner": "secret_scan",
}

__all__ = ["PROBE", "GateReports", "GateResolver", "SecretScanner"]

#: Directory of modules that a gate's Python process imports at its start. The modules report the
#: source files that the gate executed.
PROBE = Path(__file__).parent / "probe"


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
