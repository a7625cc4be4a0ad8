"""The section ``logging``."""

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field

from orchestrator.config.fields.choices import LogLevel
from orchestrator.config.fields.section import Section
from orchestrator.config.fields.value_types import PathText, upper_case


class Logging(Section):
    """Log of the server."""

    level: Annotated[LogLevel, Field(strict=False), BeforeValidator(upper_case)] = LogLevel.INFO
    """Minimum level: DEBUG, INFO, WARNING, ERROR, or CRITICAL."""
    enable_structured: bool = True
    """Write JSON, one object per line; false: plain text."""
    log_dir: PathText = Path("logs")
    """Directory of the server's log."""
