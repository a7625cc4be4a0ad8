"""Reports of finished jobs: Markdown for people, JSON for programs."""

from orchestrator.reports.rendering import Reports
from orchestrator.reports.writing import ReportError, write_report

__all__ = ["ReportError", "Reports", "write_report"]
