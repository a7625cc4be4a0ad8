"""Reports of finished jobs: Markdown for people, JSON for programs.

- ``figures``: Numbers of a job: usage, time, the critical path

``templates`` has the Jinja templates of the Markdown pages, such as FINAL_RESULT.md.
"""

from orchestrator.reports.report_writer import ReportError, Reports, write_report

__all__ = ["ReportError", "Reports", "write_report"]
