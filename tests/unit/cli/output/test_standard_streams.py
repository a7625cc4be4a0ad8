"""Standard streams without a reader, and closed standard streams."""

import os
import pty
import subprocess
import sys

import pytest

from orchestrator.cli.output.standard_streams import is_hung_up
from orchestrator.security.files.product_files import FOLDER


def test_a_terminal_is_hung_up_when_its_other_end_is_closed() -> None:
    ours, theirs = pty.openpty()
    before = is_hung_up(theirs)
    os.close(ours)

    assert (before, is_hung_up(theirs)) == (False, True)

    os.close(theirs)
    assert not is_hung_up(theirs)


@pytest.mark.parametrize(
    # With "2>&-", bash opens its script for reading under the number of standard error.
    "redirection",
    ["<&-", ">&-", "2>&-", "2</dev/null", "<&- >&- 2>&-"],
)
def test_a_program_and_its_child_processes_can_use_closed_streams(redirection: str) -> None:
    program = """
import orchestrator.__main__, subprocess, sys
sys.stdin.isatty() or sys.stdout.isatty()
print("x", flush=True)
print("x", file=sys.stderr, flush=True)
sys.exit(subprocess.call("echo x; echo x >&2", shell=True))
"""
    command = f'exec "$0" -P -c "$1" {redirection}'
    environ = {**os.environ, "PYTHONPATH": str(FOLDER)}
    ended = subprocess.run(["sh", "-c", command, sys.executable, program], env=environ, check=False)
    assert ended.returncode == 0
