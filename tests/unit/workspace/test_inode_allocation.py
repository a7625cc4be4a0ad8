"""Jobs are in different regions of the disk, if the file system supports that."""

import shutil
import subprocess
from pathlib import Path

import pytest

from orchestrator.workspace import spread_subdirectories


def flags(directory: Path) -> str:
    """Return the flags that lsattr shows; skip the test if the file system has none."""
    kind = subprocess.run(["stat", "-f", "-c", "%T", directory], capture_output=True, text=True)
    if "ext" not in kind.stdout or shutil.which("lsattr") is None:
        pytest.skip("only ext4 has such directories, and lsattr shows them")
    return subprocess.check_output(["lsattr", "-d", directory], text=True).split()[0]


def test_a_directory_is_marked_once_and_for_all(tmp_path: Path) -> None:
    before = flags(tmp_path)

    spread_subdirectories(tmp_path)
    spread_subdirectories(tmp_path)

    assert set(flags(tmp_path)) == {*before, "T"}


@pytest.mark.parametrize("place", ["/proc/self", "/dev/shm", "/nowhere"])
def test_other_file_systems_are_left_unchanged(place: str) -> None:
    spread_subdirectories(Path(place))


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    spread_subdirectories(tmp_path / "file")
