"""Branches of the host project's repository, for whoever compares them or takes one over."""

from collections.abc import Mapping
from pathlib import Path

from orchestrator.config import load, project_root
from orchestrator.git import Landing, between


def difference_between(folder: Path, environ: Mapping[str, str], first: str, second: str) -> bytes:
    """A patch from one branch to another. Raise NotFound for a branch that is gone."""
    settings = load(folder, environ=environ, require_key=False).settings
    return between(project_root(settings, folder), first, second)


def landing(folder: Path, environ: Mapping[str, str], root_id: str, job_id: str) -> Landing:
    """What a job changed in the host project's repository, for taking it over."""
    settings = load(folder, environ=environ, require_key=False).settings
    return Landing(project_root(settings, folder), root_id, job_id)
