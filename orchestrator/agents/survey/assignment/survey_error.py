"""Errors that end a survey early."""

from orchestrator.core.errors import OrchestratorError


class SurveyError(OrchestratorError):
    """The survey cannot be completed."""

    kind = "survey"
