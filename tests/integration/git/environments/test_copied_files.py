"""Ignored files that a build needs are copied into worktrees, and never copied back."""

import json
import os
import subprocess
import sys
from pathlib import Path
from shlex import quote

import pytest

from tests.integration.git.conftest import FILES, Host, MakeHost
from tests.support.project import Project, edit

IGNORED = ".env\n.env.*\n!.env.example\nnode_modules/\n.venv/\nbuild/\n"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    files = {**FILES, ".gitignore": IGNORED, ".env.example": "KEY=\n"}
    project = Project(tmp_path / "project").begin(files)
    project.write(".env", "KEY=secret\n")
    project.write("pkg/.env.local", "LOCAL=1\n")
    project.write("node_modules/left-pad/index.js", "left\n")
    project.write("build/deep/settings.json", "{}\n")
    return project


def check(host: Host, script: str, **more: object) -> dict[str, object]:
    unchanged = host.watch_changes()
    ended = host.run(edit(script, **more))
    assert ended["status"] == "completed", ended
    assert unchanged() == []
    assert host.record(ended["job_id"])["leaks"] == []
    return ended


def test_settings_of_the_environment_are_copied_and_never_committed(
    project: Project, make_host: MakeHost
) -> None:
    script = (
        "grep -x KEY=secret .env; grep -x LOCAL=1 pkg/.env.local; test -L node_modules/left-pad\n"
        'test "$(stat -c %a .env)" = 600; test -z "$(git status --porcelain)"\n'
        # The worker makes the file no longer ignored, and commits it.
        "echo changed > .env; : > .gitignore; echo x > x.txt"
    )
    host = make_host(project)
    job = check(host, script)["job_id"]
    files = host.project.files(f"orchestrator/{job}/result")
    assert "x.txt" in files and ".env" not in files and "pkg/.env.local" not in files


@pytest.mark.nightly
def test_what_is_derived_and_not_ignored_is_not_named_as_held_back(
    project: Project, make_host: MakeHost
) -> None:
    os.symlink("left-pad", project.path / "node_modules/pad")
    (project.path / ".gitignore").write_text("")
    project.git("commit", "-qam", "nothing is ignored")
    ended = make_host(project).run(
        edit("mkdir -p web/node_modules; : > web/node_modules/x.js; echo x > x.txt")
    )
    [row] = ended["results"]["tasks"]
    assert "not committed (git.never_commit): web/node_modules (1 file)" in row["reason"], row
    files = project.files(f"orchestrator/{ended['job_id']}/result")
    assert not [each for each in files if "node_modules" in each]


@pytest.mark.nightly
def test_directories_are_copied_when_the_settings_name_them(
    project: Project, make_host: MakeHost
) -> None:
    git = {"copy_ignored": ["node_modules", "build/*/settings.json", ".env"]}
    script = (
        "grep -x left node_modules/left-pad/index.js; test -e build/deep/settings.json\n"
        "test ! -e pkg/.env.local; test ! -L node_modules\n"
        "echo worse > node_modules/left-pad/index.js; rm -rf node_modules/left-pad"
    )
    check(make_host(project, git=git), script)


def test_a_link_is_hidden_and_what_is_added_beside_it_stays_in_the_worktree(
    project: Project, make_host: MakeHost
) -> None:
    script = (
        "grep -x left node_modules/left-pad/index.js; test -L node_modules/left-pad\n"
        'mkdir node_modules/new; rm node_modules/left-pad; test -z "$(git status --porcelain)"'
    )
    check(make_host(project, git={"link_ignored": ["node_modules"]}), script)


def test_the_project_may_name_more(project: Project, make_host: MakeHost) -> None:
    project.commit({".worktreeinclude": "# more\n/build/\n\n../outside\nREADME.md\n"}, "include")
    check(make_host(project), "test -e build/deep/settings.json; test -e .env; test ! -e outside")


def test_files_that_git_does_not_ignore_in_the_worktree_are_not_copied(
    project: Project, make_host: MakeHost
) -> None:
    project.git("rm", "-q", "--cached", ".gitignore")
    project.git("commit", "-q", "-m", "nothing is ignored")
    check(make_host(project), "test ! -e .env")


def test_a_further_attempt_has_them_again(project: Project, make_host: MakeHost) -> None:
    flag = project.path.parent / "flag"
    script = f'test -e .env; [ -e "{flag}" ] || {{ touch "{flag}"; git clean -fdxq; exit 1; }}'
    check(make_host(project), f"{script}; echo x > x.txt", retries=1)


@pytest.mark.usefixtures("spawning")
def test_a_child_job_has_them_as_the_worker_has_them_that_started_it(
    project: Project, make_host: MakeHost
) -> None:
    project.write(".env.linked", "mine\n")
    child = (
        "grep -x KEY=changed .env; grep -x mine .env.linked; test ! -e .env.pipe\n"
        'grep -x new pkg/.env.new; grep -x LOCAL=1 pkg/.env.local; test -z "$(git status -s)"\n'
        'test -x .env.run; test "$(stat -c %a .env)" = 600; echo x > x.txt; echo deep > .env'
    )
    script = (
        "echo KEY=changed > .env; ln -sf /etc/passwd .env.linked; mkfifo .env.pipe\n"
        "echo new > pkg/.env.new; touch .env.run; chmod +x .env.run\n"
        f"echo {quote(json.dumps([edit(child)]))} > $ORCHESTRATOR_WORKER_DIR/child.json\n"
        "orchestrator spawn x --tasks $ORCHESTRATOR_WORKER_DIR/child.json --wait\n"
        "grep -x KEY=changed .env; test -e x.txt"
    )
    host = make_host(project)
    job = check(host, script)["job_id"]
    files = host.project.files(f"orchestrator/{job}/result")
    assert "x.txt" in files and not any(".env.new" in each for each in files)


def test_unreadable_files_are_not_copied(project: Project, make_host: MakeHost) -> None:
    os.mkfifo(project.path / ".env.pipe")
    (project.path / ".env.gone").symlink_to("nowhere")
    check(make_host(project), "test -e .env; test ! -e .env.pipe; test ! -e .env.gone")


def test_a_copied_environment_is_not_the_users(project: Project, make_host: MakeHost) -> None:
    where = project.path / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(where)], check=True)
    tool = where / "bin" / "tool"
    tool.write_text(f"#!{where}/bin/python\nimport sys\nprint(sys.prefix)\n")
    tool.chmod(0o755)
    script = (
        'test "$(.venv/bin/tool)" = "$PWD/.venv"; . .venv/bin/activate\n'
        'test "$VIRTUAL_ENV" = "$PWD/.venv"; echo x > x.txt'
    )
    check(make_host(project, git={"copy_ignored": [".venv"]}), script)
