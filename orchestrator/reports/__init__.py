"""Reports of finished jobs: Markdown for people, JSON for programs.

- ``figures``: Numbers of a job: usage, time, the critical path
"""

from orchestrator.reports.atomic_write import ReportError, write_report
from orchestrator.reports.rendering import Reports

__all__ = ["ReportError", "Reports", "write_report"]
