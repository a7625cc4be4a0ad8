"""Doctor's look at how workers would be held together, by really trying it."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.cli.doctor.check import HealthCheck
from orchestrator.core.errors import ContainmentUnavailable

if TYPE_CHECKING:
    from orchestrator.config import Settings


def containment_checks(folder: Path, settings: "Settings | None") -> Iterator[HealthCheck]:
    """The mode that would be in force, and what it does not hold of what the settings ask."""
    from orchestrator.app import containment_in_force  # heavy, and no help text needs them
    from orchestrator.config import Settings

    try:
        plan = containment_in_force(folder, settings or Settings())
    except ContainmentUnavailable as error:
        message, *fix = error.message.split("; ")
        yield HealthCheck(name="containment", ok=False, message=message, fix="; ".join(fix))
        return
    yield HealthCheck(name="containment", ok=True, message=plan.mode)
    if exact := plan.exact_limits():
        yield HealthCheck(name="limits", ok=True, message=f"held exactly: {', '.join(exact)}")
    for soft_spot in plan.soft_spots():
        yield HealthCheck(name="containment", ok=None, message=soft_spot)
