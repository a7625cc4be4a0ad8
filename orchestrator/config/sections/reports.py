"""The section ``reports``."""

from orchestrator.config.fields.section import Section
from orchestrator.config.fields.value_types import PathText


class ReportSettings(Section):
    """Reports of jobs."""

    template_dir: PathText | None = None
    """Directory of your report templates, which replace the built-in templates; null: none."""
