"""Settings of launches that all workers and gates of a server share."""

import os
from collections.abc import Mapping
from pathlib import Path

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.security.allowed_environment import allowed_environment
from orchestrator.security.files import tool_config_boundary

#: Environment variable with the path of a gate's report. Workers get this variable, too, so that
#: they can run the gate's command.
GATE_REPORT = "ORCHESTRATOR_GATE_REPORT"


@dataclass(frozen=True, kw_only=True, slots=True)
class LaunchSettings:
    """Settings that the launches of all workers and gates of a server share. Paths are absolute."""

    #: Directory with the server's settings and state: the portable folder, or
    #: ``.orchestrator/local/`` in the project.
    home: Path
    project_root: Path
    #: Directory with the ``orchestrator`` command.
    bin: Path
    #: The environment of the server. Workers get only some of these variables (see
    #: ``allowed_environment``).
    environment: Mapping[str, str]
    workspace: Path
    grace_seconds: float
    log_limit_bytes: int
    #: Path of the file that a running server locks.
    server_lock: Path
    #: Seconds for which a worker may continue without a server; 0: no limit.
    orphan_timeout: float
    #: True if workers have no network, so that they cannot reach this server.
    offline: bool
    #: The umask of workers and gates in the user's checkout. None: only the user can read the files
    #: that workers and gates create.
    umask: int | None
    #: The server's own secrets. No log may contain them.
    secrets: tuple[str, ...]


def base_environment(settings: LaunchSettings) -> dict[str, str]:
    return {
        **allowed_environment(settings.environment),
        **tool_config_boundary.variables(settings.workspace),
    }


#: Directories of a project's own programs.
_PROGRAMS = (".venv/bin", "venv/bin", "node_modules/.bin")


def project_programs(project: Path) -> list[str]:
    """Return the existing directories with the project's own programs, for the search path."""
    directories = [str(project / each) for each in _PROGRAMS]
    return [each for each in directories if os.path.isdir(each)]
