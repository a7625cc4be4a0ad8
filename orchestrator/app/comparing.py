"""Branches of the host project's repository, for whoever compares them."""

from collections.abc import Mapping
from pathlib import Path

from orchestrator.config import load, project_root
from orchestrator.git import between


def difference_between(folder: Path, environ: Mapping[str, str], first: str, second: str) -> bytes:
    """A patch from one branch to another. Raise NotFound for a branch that is gone."""
    settings = load(folder, environ=environ, require_key=False).settings
    return between(project_root(settings, folder), first, second)
