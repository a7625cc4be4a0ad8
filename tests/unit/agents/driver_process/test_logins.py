"""A login that a tool renews reaches the user's file before the next attempt's tool starts."""

import os
from pathlib import Path

import pytest

from orchestrator.agents.ai_tools.invocation.call import AgentLogin
from orchestrator.agents.driver_process import logins
from orchestrator.agents.driver_process.main import earlier_attempts


@pytest.fixture
def login(tmp_path: Path) -> AgentLogin:
    source = tmp_path / "home" / "auth.json"
    source.parent.mkdir()
    source.write_text('{"token": "old"}')
    os.utime(source, (1000, 1000))
    return AgentLogin(source=source, target=tmp_path / "worker_1.2" / "codex" / "auth.json")


def renew(path: Path, text: str = '{"token": "new"}', at: float = 2000) -> None:
    """Renew a login as tools do: replace the old file by a new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name("fresh")
    fresh.write_text(text)
    os.utime(fresh, (at, at))
    fresh.replace(path)


def test_each_renewed_login_is_copied_back(login: AgentLogin) -> None:
    linked = logins.link([login])
    logins.copy_renewed(linked)
    for number in range(3):
        renew(login.target, f'{{"token": {number}}}', at=2000 + number)
        logins.copy_renewed(linked)
        logins.copy_renewed(linked)
        assert login.source.read_text() == f'{{"token": {number}}}'


def test_no_copy_of_a_login_stays_that_the_user_has(login: AgentLogin) -> None:
    linked = logins.link([login])
    renew(login.target)
    logins.finish(linked)
    assert login.source.read_text() == '{"token": "new"}'
    assert login.target.is_symlink()

    login.source.write_text('{"token": "of the user"}')
    renew(login.target, '{"token": "of nobody else"}')
    logins.finish(linked)
    assert login.target.read_text() == '{"token": "of nobody else"}'


def test_an_incomplete_or_invalid_login_is_not_copied_back(login: AgentLogin) -> None:
    linked = logins.link([login])
    for text in ('{"token": "ne', "", "{}"):
        renew(login.target, text)
        logins.copy_renewed(linked)
    assert login.source.read_text() == '{"token": "old"}'


def test_a_login_that_the_user_changed_during_the_attempt_stays(login: AgentLogin) -> None:
    linked = logins.link([login])
    login.source.write_text('{"token": "of the user"}')
    renew(login.target)
    logins.copy_renewed(linked)
    assert login.source.read_text() == '{"token": "of the user"}'


def test_a_tool_renews_what_another_worker_has_renewed_before(login: AgentLogin) -> None:
    linked = logins.link([login])
    login.source.write_text('{"token": "of another worker"}')
    logins.copy_renewed(linked)
    renew(login.target)
    logins.copy_renewed(linked)
    assert login.source.read_text() == '{"token": "new"}'


@pytest.mark.parametrize(("at", "expected"), [(2000, "new"), (500, "old")])
def test_the_next_attempt_copies_a_login_that_a_killed_attempt_renewed(
    login: AgentLogin, at: float, expected: str
) -> None:
    control = login.target.parents[1]
    earlier = control.with_name("worker_1.1") / "codex" / "auth.json"
    renew(earlier, at=at)

    logins.recover([login], control, earlier_attempts(control))

    assert login.source.read_text() == f'{{"token": "{expected}"}}'
    assert earlier.is_symlink() is (expected == "new"), "the user's login is stored nowhere else"


@pytest.mark.parametrize(("at", "expected"), [(2000, "new"), (500, "old")])
def test_the_next_attempt_in_a_shared_directory_links_the_login_again(
    login: AgentLogin, at: float, expected: str
) -> None:
    renew(login.target, at=at)

    logins.link([login])

    assert login.target.readlink() == login.source
    assert login.source.read_text() == f'{{"token": "{expected}"}}'
