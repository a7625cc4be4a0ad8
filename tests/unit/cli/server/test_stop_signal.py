"""The stop signal may arrive at any line of the main thread, and takes effect once."""

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).absolute().parents[4]

#: Raises SIGTERM in the main thread at each line that ``wait`` executes, one run per line.
AT_EACH_LINE = """
import faulthandler, signal, sys
from orchestrator.cli.server.stop_signal import StopSignal

faulthandler.dump_traceback_later(30, exit=True)
for line in range(1, 100):
    stop = StopSignal()
    stop.install()
    lines = 0

    def trace(frame, event, _):
        global lines
        lines += event == "line"
        if event == "line" and lines == line:
            sys.settrace(None)
            signal.raise_signal(signal.SIGTERM)
        return trace

    sys.settrace(trace)
    arrived = stop.wait(0.01)
    sys.settrace(None)
    if lines < line:
        break
    assert arrived and stop.is_set() and stop.wait(60), line
assert not arrived and not stop.is_set() and line > 3, line
"""
TWICE = """
import signal
from orchestrator.cli.server.stop_signal import StopSignal

StopSignal().install()
signal.raise_signal(signal.SIGINT)
signal.raise_signal(signal.SIGTERM)
"""


@pytest.mark.parametrize(
    ("program", "status"), [(AT_EACH_LINE, 0), (TWICE, 130)], ids=["at each line", "twice"]
)
def test_a_stop_signal_arrives_whatever_the_main_thread_does(program: str, status: int) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, cwd=REPOSITORY
    )

    assert (ended.returncode, ended.stderr) == (status, "")
