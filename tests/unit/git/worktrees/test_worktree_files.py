"""Files of a worktree that are set to versions from several commits."""

from pathlib import Path

import pytest

from orchestrator.git.command.runner import Git
from orchestrator.git.worktrees.worktree_files import set_files
from tests.support.project import Project


@pytest.mark.parametrize("ids", ["sha1", "sha256"])
def test_a_file_is_removed_in_a_repository_with_either_kind_of_ids(
    tmp_path: Path, ids: str
) -> None:
    project = Project(tmp_path)
    project.git("init", "-q", f"--object-format={ids}")
    project.write("a.txt", "a\n")
    project.write("b.txt", "b\n")
    project.git("add", "-A")
    project.git("commit", "-q", "-m", "begin")
    commit = project.git("rev-parse", "HEAD")

    set_files(Git(str(tmp_path), {}), commit, commit, {"a.txt": None, "c.txt": "b.txt"})

    assert not (tmp_path / "a.txt").exists()
    assert (tmp_path / "c.txt").read_text() == "b\n"
