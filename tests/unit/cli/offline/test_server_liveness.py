"""A recorded process id, and the process that now has this id."""

import os
import subprocess
import sys
import time

from orchestrator.cli.offline.server_liveness import is_same_process

STARTED_LONG_AGO = 1_000_000.0


def test_a_process_that_lives_is_the_one_that_was_written_down() -> None:
    assert is_same_process(os.getpid(), time.time())
    assert is_same_process(os.getpid(), None)


def test_a_reused_process_number_is_another_process() -> None:
    assert not is_same_process(os.getpid(), STARTED_LONG_AGO)


def test_an_ended_process_does_not_run_before_and_after_it_is_collected() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.DEVNULL)
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
    assert not is_same_process(ended.pid, None)
    ended.wait()
    assert not is_same_process(ended.pid, None)


def test_an_invalid_process_number_is_no_process() -> None:
    assert not any(is_same_process(pid, None) for pid in (0, -1, 2**70))
