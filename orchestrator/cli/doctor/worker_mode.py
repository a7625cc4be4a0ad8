"""Doctor's look at how workers run: here, or on the Windows side of WSL."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from orchestrator.cli.doctor.check import HealthCheck

if TYPE_CHECKING:
    from orchestrator.config import Settings

NAME = "execution mode"
_FIX = (
    "run the server inside WSL, with interop on ([interop] enabled=true, appendWindowsPath=true "
    "in /etc/wsl.conf, then wsl --shutdown); or set orchestrator.execution_mode: native"
)


def mode_checks(settings: "Settings | None", environ: Mapping[str, str]) -> Iterator[HealthCheck]:
    if settings is None:
        return
    mode = str(settings.orchestrator.execution_mode)
    if mode == "windows":
        yield _windows(environ)
    else:
        where = "inside WSL" if environ.get("WSL_DISTRO_NAME") else "on this system"
        yield HealthCheck(name=NAME, ok=True, message=f"{mode}: workers run {where}")


def _windows(environ: Mapping[str, str]) -> HealthCheck:
    from orchestrator.agents.adapters.invocation.windows import missing

    lacking = missing(environ.get("PATH"))
    if lacking:
        message = f"windows: {' and '.join(lacking)} cannot be found"
        return HealthCheck(name=NAME, ok=False, message=message, fix=_FIX)
    message = "windows: AI tools run on the Windows side, with their logins there; all else here"
    return HealthCheck(name=NAME, ok=True, message=message)
