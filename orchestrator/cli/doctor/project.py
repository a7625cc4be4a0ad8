"""Doctor's check of the host project: its directory, and the tools that read the folder."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.cli.doctor.check import HealthCheck
from orchestrator.cli.doctor.host_tools import host_checks
from orchestrator.cli.doctor.machine import repository_space

if TYPE_CHECKING:
    from orchestrator.config import Settings


def project_checks(folder: Path, settings: "Settings | None") -> Iterator[HealthCheck]:
    """Yield the checks of the project; none without settings, because their own check names the
    problem.
    """
    from orchestrator.config.project import ProjectUnknown, project_of

    if settings is None:
        return
    try:
        project = project_of(settings, folder)
    except ProjectUnknown as error:
        message, _, lines = error.message.partition("\n")
        yield HealthCheck(name="project", ok=False, message=message, fix=lines)
        return
    yield HealthCheck(name="project", ok=True, message=f"{project.root} ({project.why})")
    workspace, least = settings.orchestrator.workspace_root, settings.workers.min_free_disk_bytes
    space = repository_space(project.root, workspace, least)
    if space is not None:
        yield space
    yield from host_checks(folder, project.root)
