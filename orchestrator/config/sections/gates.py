"""The section ``gates``."""

from typing import Annotated

from pydantic import Field

from orchestrator.config.fields.choices import GatesByDefault, Unjudged
from orchestrator.config.fields.section import Section
from orchestrator.config.fields.value_types import Seconds


class GateSettings(Section):
    """Gates: checks of changes before the changes are accepted (see docs/gates.md)."""

    run: Annotated[GatesByDefault, Field(strict=False)] = GatesByDefault.AUTO
    """Gates of jobs that name no gates: auto (found in the repository) or off."""
    timeout: Seconds = 600.0
    """Timeout of a gate without its own timeout, in seconds (default 10 min)."""
    tests_may_change: bool = False
    """Allow all tasks to change tests; false: only tests in files that the task's writes lists."""
    tests_may_vanish: bool = False
    """Allow all tasks to remove, rename, or skip tests; false: only tests that writes lists."""
    unjudged: Annotated[Unjudged, Field(strict=False)] = Unjudged.TELL
    """Effect of changes that no gate checked: tell (a note in the reason) or fail (the job)."""
