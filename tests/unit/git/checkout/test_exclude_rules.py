"""The product's directories are excluded from the user's checkout."""

import subprocess
from pathlib import Path

import pytest

from orchestrator.git import GitRepository
from orchestrator.git.checkout import exclude_rules
from tests.support.project import Project


def test_the_advice_to_create_a_repository_excludes_the_products_folder(tmp_path: Path) -> None:
    project = tmp_path / "project"
    home = project / "my tools" / "orchestrator"
    home.mkdir(parents=True)
    (home / "file").touch()
    (project / "app.py").touch()

    def advice(home: Path) -> str:
        why = GitRepository(project, home / "workspace", home).base().hindrance
        return why.partition("create one: ")[2]

    assert advice(tmp_path) == f"cd {project} && git init && git add -A && git commit"
    shown = advice(home)
    assert shown == (
        f"cd {project} && git init && echo '/my\\ tools/orchestrator/' >> .git/info/exclude && "
        "git add -A && git commit"
    )
    names = "-c user.name=a -c user.email=a@b"
    run = shown.replace("git commit", f"git {names} commit -qm first")
    # The user is often in the product's folder.
    subprocess.run(run, shell=True, cwd=home, check=True, capture_output=True)
    listed = subprocess.run(["git", "ls-files"], cwd=project, check=True, capture_output=True)
    assert listed.stdout == b"app.py\n"


def test_the_command_that_excludes_a_directory_can_be_pasted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(tmp_path / "project").begin({"app.py": ""})
    folder = project.path / "tools" / "a copy"
    folder.mkdir(parents=True)
    (folder / "file").touch()
    monkeypatch.chdir(folder.parent)

    command = exclude_rules.exclude_command(folder)

    assert command == "echo '/tools/a\\ copy/' >> ../.git/info/exclude"
    subprocess.run(command, shell=True, check=True)
    assert project.git("status", "--porcelain") == ""
    assert exclude_rules.exclude_command(folder) == ""
    assert exclude_rules.exclude_command(tmp_path / "outside") == ""
