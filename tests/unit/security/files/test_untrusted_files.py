"""Files that a worker may have tampered with."""

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.security.files.untrusted_files import open_log, read_regular, read_tail


def test_a_plain_file_is_read_up_to_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "output.md"
    path.write_bytes(b"0123456789")

    assert read_regular(path, 4) == b"0123"
    assert read_tail(path, 4) == b"6789"
    assert read_tail(path, 100) == b"0123456789"


@pytest.mark.parametrize("kind", ["missing", "link", "hard link", "fifo", "directory"])
def test_only_regular_files_are_read(tmp_path: Path, kind: str) -> None:
    secret, path = tmp_path / "secret", tmp_path / "output.md"
    secret.write_text("secret")
    {
        "missing": lambda: None,
        "link": lambda: path.symlink_to(secret),
        "hard link": lambda: path.hardlink_to(secret),
        "fifo": lambda: os.mkfifo(path),
        "directory": path.mkdir,
    }[kind]()

    assert read_regular(path, 100) is None
    assert read_tail(path, 100) == b""


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["link", "fifo", "directory"])
def test_only_regular_files_are_opened_as_logs(tmp_path: Path, kind: str) -> None:
    other, path = tmp_path / "other", tmp_path / "worker.log"
    other.write_text("mine")
    {
        "link": lambda: path.symlink_to(other),
        "fifo": lambda: os.mkfifo(path),
        "directory": path.mkdir,
    }[kind]()

    with pytest.raises(OSError):
        os.close(open_log(path))
    assert other.read_text() == "mine"


@pytest.mark.parametrize("step", ["job_x", "depth_0", "worker_1"])
def test_a_directory_that_became_a_link_is_not_followed(tmp_path: Path, step: str) -> None:
    elsewhere, workspace = tmp_path / "elsewhere", tmp_path / "workspace"
    path = workspace / "job_x" / "depth_0" / "worker_1" / "output.md"
    path.parent.mkdir(parents=True)
    path.write_text("secret")
    assert read_regular(path, 100, within=workspace) == b"secret"
    directory = next(each for each in path.parents if each.name == step)
    directory.rename(elsewhere)
    directory.symlink_to(elsewhere)

    assert path.read_text() == "secret"
    assert read_regular(path, 100, within=workspace) is None
    assert read_tail(path, 100, within=workspace) == b""


def test_a_workspace_that_is_a_link_itself_is_the_users_choice(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "log").write_text("text")
    (tmp_path / "workspace").symlink_to(tmp_path / "disk")

    assert read_regular(tmp_path / "workspace" / "log", 100, tmp_path / "workspace") == b"text"


def test_a_device_is_not_read() -> None:
    assert read_regular(Path("/dev/zero"), 100) is None


def test_no_path_leads_upwards(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "a").mkdir()
    path = tmp_path / "a" / ".." / "secret"

    assert read_regular(path, 100, within=tmp_path / "a") is None


def test_a_file_that_is_exchanged_all_the_time_is_never_read_through_a_link(
    tmp_path: Path,
) -> None:
    secret, path, real = tmp_path / "secret", tmp_path / "d" / "output.md", tmp_path / "real"
    secret.mkdir()
    (secret / "output.md").write_text("secret")
    real.mkdir()
    (real / "output.md").write_text("plain")
    stop = threading.Event()

    def exchange() -> None:
        while not stop.is_set():
            for target in (real, secret):
                if target is real:
                    os.rename(real, path.parent)
                    os.rename(path.parent, real)
                else:
                    path.parent.symlink_to(secret)
                    path.parent.unlink()

    worker = threading.Thread(target=exchange)
    worker.start()
    try:
        found = {read_regular(path, 100, within=tmp_path) for _ in range(3000)}
    finally:
        stop.set()
        worker.join()
    assert found <= {None, b"plain"}


@given(st.lists(st.sampled_from(["..", ".", "a", "b", "link", "fifo", "secret", "", "\0"])))
def test_no_spelling_of_a_path_reads_outside(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str]
) -> None:
    base = tmp_path_factory.getbasetemp() / "spelled"
    inside = base / "inside"
    if not base.exists():
        (inside / "a" / "b").mkdir(parents=True)
        (base / "secret").write_text("secret")
        (inside / "link").symlink_to(base)
        (inside / "a" / "link").symlink_to(base / "secret")
        os.mkfifo(inside / "fifo")
    try:
        found = read_regular(Path(f"{inside}/{'/'.join(parts)}"), 100, within=inside)
    except ValueError as error:  # no path has a NUL
        assert "null" in str(error)
        return
    assert found is None
