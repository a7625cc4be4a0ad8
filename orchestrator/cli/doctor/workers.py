"""Doctor's check of workers: their containment (by trying it), and their system."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.cli.doctor.check import HealthCheck
from orchestrator.core.errors import ContainmentUnavailable

if TYPE_CHECKING:
    from orchestrator.config import Settings

_MODE = "execution mode"
_MODE_FIX = (
    "run the server inside WSL, with interop on ([interop] enabled=true, appendWindowsPath=true "
    "in /etc/wsl.conf, then wsl --shutdown); or set orchestrator.execution_mode: native"
)


def containment_checks(folder: Path, settings: "Settings | None") -> Iterator[HealthCheck]:
    """Yield the effective mode, and the requested settings that it does not enforce."""
    # imported here, because they are slow and --help does not need them
    from orchestrator.app import containment_in_force
    from orchestrator.config import Settings

    try:
        plan = containment_in_force(folder, settings or Settings())
    except ContainmentUnavailable as error:
        message, *fix = error.message.split("; ")
        yield HealthCheck(name="containment", ok=False, message=message, fix="; ".join(fix))
        return
    yield HealthCheck(name="containment", ok=True, message=plan.mode)
    if exact := plan.exact_limits():
        yield HealthCheck(name="limits", ok=True, message=f"enforced exactly: {', '.join(exact)}")
    for soft_spot in plan.soft_spots():
        yield HealthCheck(name="containment", ok=None, message=soft_spot)


def mode_checks(settings: "Settings | None", environ: Mapping[str, str]) -> Iterator[HealthCheck]:
    if settings is None:
        return
    mode = str(settings.orchestrator.execution_mode)
    if mode == "windows":
        yield _windows_mode(environ)
    else:
        where = "inside WSL" if environ.get("WSL_DISTRO_NAME") else "on this system"
        yield HealthCheck(name=_MODE, ok=True, message=f"{mode}: workers run {where}")


def _windows_mode(environ: Mapping[str, str]) -> HealthCheck:
    from orchestrator.agents.adapters.invocation.windows import missing

    lacking = missing(environ.get("PATH"))
    if lacking:
        message = f"windows: {' and '.join(lacking)} not found on the PATH"
        return HealthCheck(name=_MODE, ok=False, message=message, fix=_MODE_FIX)
    message = "windows: AI tools run on the Windows side with their logins; other programs run here"
    return HealthCheck(name=_MODE, ok=True, message=message)
