"""What ends a survey before its time."""

from orchestrator.core.errors import OrchestratorError


class SurveyError(OrchestratorError):
    """The survey cannot be made."""

    kind = "survey"
