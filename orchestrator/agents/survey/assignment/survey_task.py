"""The assignment of one survey worker, from ``task.json`` and the worker's environment."""

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from orchestrator.agents.survey.assignment.survey_error import SurveyError
from orchestrator.core.lazy_dataclass import dataclass

#: Name of the file with the task, which the engine writes into the worker's directory.
TASK_FILE = "task.json"
#: Beginning of the names of root jobs' directories in a workspace.
JOB_DIRECTORY_PREFIX = "job_"


@dataclass(frozen=True, kw_only=True)
class SurveyTask:
    """The fields of ``task.json`` that a survey needs.

    Without ``files``, the whole project is surveyed.
    """

    title: str = ""
    prompt: str = ""
    request: str = ""
    files: tuple[str, ...] = ()
    #: True if the task must create or change files, which a survey cannot do.
    promises_files: bool = False


@dataclass(frozen=True, kw_only=True)
class SurveyEnvironment:
    root: Path
    directory: Path
    #: Orchestrator's own directories below ``root``, which are never surveyed.
    excluded: tuple[Path, ...] = ()
    depth: int = 0
    max_depth: int = 0
    has_server: bool = False


def read_task(directory: Path) -> SurveyTask:
    """Read ``task.json`` in ``directory``. Raise SurveyError if it is missing or malformed."""
    path = directory / TASK_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SurveyError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise SurveyError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise SurveyError(f"{path} must hold one JSON object")
    return SurveyTask(
        title=_text(content, "title"),
        prompt=_text(content, "prompt"),
        request=_text(content, "request"),
        files=_files(content),
        promises_files=bool(content.get("writes")),
    )


def _text(content: dict[str, Any], field: str) -> str:
    value = content.get(field)
    return value if isinstance(value, str) else ""


def _files(content: dict[str, Any]) -> tuple[str, ...]:
    value = content.get("files") or []
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise SurveyError(f"{TASK_FILE}: 'files' must be a list of paths")
    return tuple(_path_inside_project(entry) for entry in value)


def _path_inside_project(entry: str) -> str:
    # A survey must not read files outside of the project.
    path = PurePosixPath(entry)
    if not entry or path.is_absolute() or ".." in path.parts or "\0" in entry:
        raise SurveyError(f"{TASK_FILE}: files: {entry!r} is not a path inside the project")
    return str(path)


def read_environment(environ: Mapping[str, str], directory: Path) -> SurveyEnvironment:
    """Read the worker's environment. Without ``ORCHESTRATOR_PROJECT_ROOT``, use ``directory``.

    Raise SurveyError if the project root is not a directory, or if a depth is not a number.
    """
    root = Path(environ.get("ORCHESTRATOR_PROJECT_ROOT") or directory).resolve()
    if not root.is_dir():
        raise SurveyError(f"the project root {root} is not a directory")
    home = environ.get("ORCHESTRATOR_HOME")
    worker_directory = Path(environ.get("ORCHESTRATOR_WORKER_DIR") or directory).resolve()
    own_directories = [_workspace_of(worker_directory)] + ([Path(home).resolve()] if home else [])
    return SurveyEnvironment(
        root=root,
        directory=worker_directory,
        excluded=tuple(path for path in own_directories if root in path.parents),
        depth=_number(environ, "ORCHESTRATOR_DEPTH"),
        max_depth=_number(environ, "ORCHESTRATOR_MAX_DEPTH"),
        has_server=bool(
            environ.get("ORCHESTRATOR_API_URL") and environ.get("ORCHESTRATOR_API_KEY")
        ),
    )


def _workspace_of(worker_directory: Path) -> Path:
    for parent in worker_directory.parents:
        if parent.name.startswith(JOB_DIRECTORY_PREFIX):
            return parent.parent
    return worker_directory


def _number(environment: Mapping[str, str], name: str) -> int:
    value = environment.get(name) or "0"
    if not value.isascii() or not value.isdigit():
        raise SurveyError(f"{name} must be a number, not {value!r}")
    return int(value)
