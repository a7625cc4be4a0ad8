"""``land --pr``: the pushed branch, and the arguments of ``gh`` and ``glab``.

Programs of these names record their arguments, because the services cannot be reached here.
"""

import os
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.core.errors import Conflict
from orchestrator.git import PullRequest
from tests.support.project import Project

SCRIPT = """#!/bin/sh
[ "$2" = list ] && {{ printf '%s' {known}; exit 0; }}
printf '%s\\n' "$0" "$@" > {record}; cat > {record}.stdin
echo https://example.org/pull/1; exit {code}
"""
MakeRequest = Callable[..., PullRequest]


@pytest.fixture
def remote(project: Project, tmp_path: Path) -> Path:
    path = tmp_path / "remote.git"
    project.git("init", "-q", "--bare", str(path))
    project.git("remote", "add", "origin", str(path))
    return path


@pytest.fixture
def make_request(project: Project, tmp_path: Path) -> MakeRequest:
    """A pull request, with some programs installed."""

    def make(*tools: str, code: int = 0, known: str = "''") -> PullRequest:
        programs = tmp_path / "programs"
        programs.mkdir()
        for name in ("git", "sh", "cat"):
            found = next(
                Path(place, name)
                for place in os.environ["PATH"].split(os.pathsep)
                if Path(place, name).exists()
            )
            (programs / name).symlink_to(found)
        for tool in tools:
            record = shlex.quote(str(tmp_path / "arguments"))
            (programs / tool).write_text(SCRIPT.format(record=record, code=code, known=known))
            (programs / tool).chmod(0o755)
        return PullRequest(
            project=project.path,
            environ={"PATH": str(programs), "GIT_CONFIG_GLOBAL": os.devnull},
            commit=project.git("rev-parse", "HEAD"),
            head="orchestrator/1/result",
            base="main",
            title="Add a greeting",
            body="Say hello.\n",
        )

    return make


def open_request(request: PullRequest) -> str:
    return request.open(*request.check())


def test_gh_gets_base_head_title_and_body(
    make_request: MakeRequest, remote: Path, project: Project, tmp_path: Path
) -> None:
    request = make_request("gh", "glab")

    assert open_request(request) == "https://example.org/pull/1"

    lines = (tmp_path / "arguments").read_text().splitlines()
    assert lines[0].endswith("/gh")
    assert lines[1:] == [
        *("pr", "create", "--base", "main", "--head", "orchestrator/1/result"),
        *("--title", "Add a greeting", "--body-file", "-"),
    ]
    assert (tmp_path / "arguments.stdin").read_text() == "Say hello.\n"
    pushed = project.git("-C", str(remote), "rev-parse", "orchestrator/1/result")
    assert pushed == request.commit


def test_an_open_request_is_updated_by_the_push(
    make_request: MakeRequest, remote: Path, project: Project, tmp_path: Path
) -> None:
    request = make_request("gh", known="https://example.org/pull/7")

    assert open_request(request) == "https://example.org/pull/7"

    assert not (tmp_path / "arguments").exists(), "no second pull request is opened"
    assert project.git("-C", str(remote), "rev-parse", "orchestrator/1/result") == request.commit


def test_a_remote_at_gitlab_uses_glab(
    make_request: MakeRequest, remote: Path, project: Project, tmp_path: Path
) -> None:
    request = make_request("gh", "glab")
    project.git("remote", "set-url", "origin", "git@gitlab.example.org:a/b.git")
    assert request.check() == ("origin", "glab")
    project.git("remote", "set-url", "origin", str(remote))

    request.open("origin", "glab")

    lines = (tmp_path / "arguments").read_text().splitlines()
    assert lines[1:] == [
        *("mr", "create", "--target-branch", "main", "--source-branch", "orchestrator/1/result"),
        *("--title", "Add a greeting", "--description", "Say hello.", "", "--yes"),
    ]


@pytest.mark.parametrize(
    ("address", "advice"),
    [
        ("https://user:secret@github.com/a/b.git", "install gh (https://cli.github.com), or push"),
        ("ssh://git@gitlab.com/a/b.git", "install glab (https://gitlab.com/cli), or push"),
        ("/somewhere/github/b.git", "install gh (https://cli.github.com) or glab"),
    ],
)
def test_without_a_program_the_error_names_the_next_step(
    make_request: MakeRequest, project: Project, address: str, advice: str
) -> None:
    project.git("remote", "add", "origin", address)

    with pytest.raises(Conflict, match="nothing was changed") as raised:
        make_request().check()

    assert advice in raised.value.message
    assert "secret" not in raised.value.message
    assert f"git -C '{project.path}' push origin " in raised.value.message


def test_without_a_remote_nothing_is_pushed(make_request: MakeRequest) -> None:
    with pytest.raises(Conflict, match=r"no remote; add one: git -C .* remote add origin"):
        make_request("gh").check()


def test_the_remote_is_that_of_the_base(make_request: MakeRequest, project: Project) -> None:
    for name in ("first", "second"):
        project.git("remote", "add", name, f"/{name}")
    request = make_request("gh")
    with pytest.raises(Conflict, match=r"git -C .* config branch\.main\.remote NAME"):
        request.check()
    project.git("config", "branch.main.remote", "second")

    assert request.check() == ("second", "gh")


def test_an_error_of_the_program_names_the_pushed_branch(
    make_request: MakeRequest, remote: Path
) -> None:
    with pytest.raises(Conflict, match="was pushed to origin, but no pull request was opened"):
        open_request(make_request("gh", code=4))


def test_a_push_that_fails_opens_nothing(
    make_request: MakeRequest, project: Project, tmp_path: Path
) -> None:
    project.git("remote", "add", "origin", "/no/such/repository")

    with pytest.raises(Conflict, match="no pull request was opened"):
        open_request(make_request("gh"))

    assert not (tmp_path / "arguments").exists()
