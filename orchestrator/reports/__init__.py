"""Reports of finished jobs: Markdown for people, JSON for programs."""

from orchestrator.reports.rendering import Reports
from orchestrator.reports.writing import ReportError

__all__ = ["ReportError", "Reports"]
