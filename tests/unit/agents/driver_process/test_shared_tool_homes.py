"""Tools' home directories that attempts share."""

import os
import threading
import time
from pathlib import Path

import pytest

from orchestrator.agents.ai_tools.invocation.call import AgentHome
from orchestrator.agents.driver_process import shared_tool_homes


@pytest.fixture
def home(tmp_path: Path) -> AgentHome:
    """A home whose setup program is slow, and records each run."""
    program = tmp_path / "program"
    program.write_text(f'#!/bin/sh\necho "$$" >> "{tmp_path}/ran"\nsleep "${{NAP:-0.1}}"\n')
    program.chmod(0o755)
    return AgentHome(directory=tmp_path, argv=(str(program), "session", "list"))


def runs(home: AgentHome) -> list[str]:
    return (home.directory / "ran").read_text().split()


def set_up(home: AgentHome, **environ: str) -> None:
    shared_tool_homes.set_up(home, {**os.environ, **environ}, lambda: False)


def test_one_process_sets_up_a_home_while_the_others_wait(home: AgentHome) -> None:
    threads = [threading.Thread(target=set_up, args=(home,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(runs(home)) == 1


def test_a_home_is_set_up_again_for_another_version_of_the_program(home: AgentHome) -> None:
    set_up(home)
    set_up(home)
    assert len(runs(home)) == 1

    os.utime(home.argv[0], (1, 1))
    set_up(home)

    assert len(runs(home)) == 2


def test_a_stopped_setup_ends_at_once_and_leaves_nothing(home: AgentHome) -> None:
    begun, soon = time.monotonic(), home.directory / "ran"
    shared_tool_homes.set_up(home, {**os.environ, "NAP": "600"}, soon.exists)
    assert time.monotonic() - begun < 60
    assert not (home.directory / "set-up").exists()

    set_up(home)

    assert (home.directory / "set-up").exists()


def test_a_missing_program_does_not_stop_the_setup_of_its_home(tmp_path: Path) -> None:
    set_up(AgentHome(directory=tmp_path, argv=("/nowhere/program",)))

    assert not (tmp_path / "set-up").exists()
