"""``top`` in a real terminal: a pseudo-terminal and the program itself."""

import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pyte
import pytest

from tests.integration.site import REPOSITORY, until
from tests.unit.cli.follow.top.test_top import write_job

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


class Terminal:
    """The program on its own pseudo-terminal."""

    def __init__(self, folder: Path, *arguments: str, **environ: str) -> None:
        self.screen = pyte.Screen(120, 20)
        self._stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self.master, self._slave = pty.openpty()
        self.resize(120, 20)
        self.before = termios.tcgetattr(self._slave)
        around = {k: v for k, v in os.environ.items() if not k.startswith("ORCHESTRATOR")}
        defaults = {
            "ORCHESTRATOR_HOME": str(folder),
            "ORCHESTRATOR_ORCHESTRATOR__WORKSPACE_ROOT": str(folder / "workspace"),
            "TERM": "xterm",
            "PYTHONPATH": str(REPOSITORY),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator", "top", *arguments],
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            env={**around, **defaults, **environ},
            cwd=folder,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self.master, 65536)
            except OSError:
                return
            self.raw += data
            self._stream.feed(data)

    def resize(self, width: int, height: int) -> None:
        self.screen.resize(height, width)
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def press(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def shows(self, text: str) -> None:
        until(lambda: text in "\n".join(self.screen.display), f"{text!r} is shown", 60)

    def hides(self, text: str) -> None:
        until(lambda: text not in "\n".join(self.screen.display), f"{text!r} is hidden", 60)

    def is_restored(self) -> bool:
        left = b"\x1b[?1049l" in self.raw and b"\x1b[?25h" in self.raw
        return left and termios.tcgetattr(self._slave) == self.before

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self._slave)
        os.close(self.master)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    (tmp_path / "config.yaml").write_text("api: {api_key: a-key-of-the-tests}\n")
    (tmp_path / "config.yaml").chmod(0o600)
    (tmp_path / "workspace").mkdir()
    write_job(tmp_path, "abc123")
    write_job(tmp_path, "def456", "failed")
    made = Terminal(tmp_path)
    yield made
    made.close()


def test_keys_move_open_search_and_quit_and_the_terminal_is_restored(terminal: Terminal) -> None:
    terminal.shows("read-only: no server runs")
    terminal.shows("abc123")
    terminal.press("/abc\r")
    terminal.hides("def456")
    terminal.press("j\r")
    terminal.shows("log of worker_1, job abc123")
    terminal.shows("last line")
    terminal.press("\x1b")
    terminal.hides("last line")
    terminal.press("x")
    terminal.shows("Cancel worker_1? y/n")
    terminal.press("y")
    terminal.shows("read-only: no server runs; start one")
    terminal.press("?")
    terminal.shows("order: attention, index, time, cost")
    terminal.press("q")
    terminal.hides("order: attention, index, time, cost")
    terminal.resize(60, 10)
    os.kill(terminal.process.pid, signal.SIGWINCH)
    terminal.shows("enter log")
    terminal.press("q")

    assert terminal.process.wait(30) == 0
    until(terminal.is_restored, "the terminal is as it was")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_restores_the_terminal(terminal: Terminal, number: signal.Signals) -> None:
    terminal.shows("abc123")

    os.kill(terminal.process.pid, number)

    expected = 0 if number is signal.SIGINT else 128 + number
    assert terminal.process.wait(30) == expected
    until(terminal.is_restored, "the terminal is as it was")


def test_a_terminal_that_cannot_draw_gets_an_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with closing(Terminal(tmp_path, TERM="dumb")) as terminal:
        terminal.shows("top needs a terminal")

        assert terminal.process.wait(30) == 2
        assert b"\x1b" not in terminal.raw


def test_a_stopped_program_restores_the_terminal_and_draws_again(terminal: Terminal) -> None:
    terminal.shows("abc123")

    terminal.press("\x1a")
    until(terminal.is_restored, "the terminal is as it was")
    terminal.screen.reset()
    os.kill(terminal.process.pid, signal.SIGCONT)
    terminal.shows("abc123")
    terminal.press("q")
    assert terminal.process.wait(30) == 0
