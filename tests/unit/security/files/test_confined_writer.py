"""Files of workers are written into the named directory, and nowhere else."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.security.files.confined_writer import ConfinedWriter
from orchestrator.security.files.untrusted_files import NotPlain
from tests.support.crashing import Crash, crash_at


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "target").mkdir()
    return tmp_path / "target"


def test_a_file_is_written_whole_with_its_directories(target: Path) -> None:
    placing = ConfinedWriter(target)
    assert placing.read("a/b/c.txt") is None
    placing.put("a/b/c.txt", b"one", executable=False)
    placing.put("run.sh", b"two", executable=True)
    assert placing.read("a/b/c.txt") == b"one"
    assert os.access(target / "run.sh", os.X_OK)
    placing.put("a/b/c.txt", b"three", executable=False)
    assert [each.name for each in (target / "a" / "b").iterdir()] == ["c.txt"]
    assert (target / "a" / "b" / "c.txt").read_bytes() == b"three"


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "a/../../x",
        "/etc/x",
        "",
        "a//b",
        "./a",
        "a\0b",
        ".git/hooks/post-commit",
        "a/.GIT/x",
    ],
)
def test_a_path_that_leads_elsewhere_is_refused(target: Path, path: str) -> None:
    with pytest.raises(NotPlain):
        ConfinedWriter(target).read(path)
    with pytest.raises(NotPlain):
        ConfinedWriter(target).put(path, b"x", executable=False)
    assert list(target.iterdir()) == []


def test_links_devices_and_directories_are_not_written_to(target: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "dear").write_text("dear")
    (target / "link").symlink_to(outside)
    (target / "file").symlink_to(outside / "dear")
    (target / "directory").mkdir()
    os.mkfifo(target / "fifo")
    (target / "plain").write_text("x")
    for path in ("link/dear", "file", "directory", "fifo", "plain/below"):
        with pytest.raises(NotPlain):
            ConfinedWriter(target).read(path)
        with pytest.raises(NotPlain):
            ConfinedWriter(target).put(path, b"x", executable=False)
    assert (outside / "dear").read_text() == "dear"
    assert [each.name for each in outside.iterdir()] == ["dear"]


def test_a_failed_write_leaves_the_old_file(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (target / "a").write_text("before")

    def full(*arguments: object, **more: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        ConfinedWriter(target).put("a", b"after", executable=False)
    assert (target / "a").read_text() == "before"
    assert [each.name for each in target.iterdir()] == ["a"]


def test_a_crash_before_the_rename_leaves_what_was_there(target: Path) -> None:
    (target / "a").write_text("before")

    with crash_at(1, "apply: before the rename"), pytest.raises(Crash):
        ConfinedWriter(target).put("a", b"after", executable=False)

    assert (target / "a").read_text() == "before"
    ConfinedWriter(target).put("a", b"after", executable=False)
    assert (target / "a").read_text() == "after"


def test_the_next_write_removes_leftovers_of_a_killed_one(target: Path) -> None:
    killed = (
        "import os, pathlib, sys\n"
        "from orchestrator.security.files.confined_writer import ConfinedWriter\n"
        "os.replace = lambda *_, **__: os.kill(os.getpid(), 9)\n"
        "ConfinedWriter(pathlib.Path(sys.argv[1])).put('a', b'after', executable=False)\n"
    )
    ended = subprocess.run([sys.executable, "-c", killed, str(target)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert [each.name.startswith(".orchestrator-") for each in target.iterdir()] == [True]

    ConfinedWriter(target).put("a", b"after", executable=False)

    assert [each.name for each in target.iterdir()] == ["a"]
