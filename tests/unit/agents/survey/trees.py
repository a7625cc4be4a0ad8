"""Small projects on disk for the tests of the survey."""

import subprocess
from collections.abc import Mapping
from pathlib import Path

from orchestrator.agents.survey.analysis.project_map import map_files
from orchestrator.agents.survey.analysis.result import SurveyResult
from orchestrator.agents.survey.assignment.survey_task import SurveyEnvironment
from orchestrator.agents.survey.project_files.listing import list_files


def plant(root: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write ``files`` below ``root``, and return ``root``."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def git(root: Path, *arguments: str, author: str = "Ada") -> None:
    """Run git in ``root``, as ``author``."""
    identity = ["-c", f"user.name={author}", "-c", "user.email=a@example.org"]
    subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True)


def commit(root: Path, author: str = "Ada") -> None:
    """Commit everything in ``root``."""
    git(root, "add", "-A")
    git(root, "commit", "-qm", "change", author=author)


def survey_paths(root: Path, *paths: str) -> SurveyResult:
    """Survey ``paths`` of the project ``root`` in this process, without workers."""
    listing = list_files(SurveyEnvironment(root=root, directory=root), paths)
    return map_files(root, listing, list(paths), lambda line: None)
