"""Files that are replaced atomically."""

import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestrator.security.files.atomic_write import replace_file


def test_a_file_is_replaced_as_a_whole_and_for_its_owner_only(tmp_path: Path) -> None:
    path, elsewhere = tmp_path / "status.json", tmp_path / "elsewhere"
    elsewhere.write_text("untouched")
    path.symlink_to(elsewhere)

    replace_file(path, b"new")

    assert path.read_bytes() == b"new"
    assert not path.is_symlink()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert elsewhere.read_text() == "untouched"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["elsewhere", "status.json"]


def test_a_file_at_the_temporary_name_is_not_written_through(tmp_path: Path) -> None:
    path, other = tmp_path / "a", tmp_path / "other"
    other.write_text("untouched")
    temporary = tmp_path / f".a.{os.getpid()}.{threading.get_ident()}.tmp"
    temporary.hardlink_to(other)

    replace_file(path, b"new")

    assert path.read_bytes() == b"new"
    assert other.read_text() == "untouched"
    assert sorted(os.listdir(tmp_path)) == ["a", "other"]


def test_a_file_that_cannot_be_replaced_leaves_no_temporary_file(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()

    with pytest.raises(IsADirectoryError):
        replace_file(tmp_path / "a", b"new")

    assert os.listdir(tmp_path) == ["a"]


def test_several_threads_may_replace_the_same_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    contents = [bytes([65 + each]) * 5000 for each in range(4)]

    def replace_often(content: bytes) -> None:
        for _ in range(100):
            replace_file(path, content)

    with ThreadPoolExecutor(len(contents)) as threads:
        list(threads.map(replace_often, contents))

    assert path.read_bytes() in contents
    assert os.listdir(tmp_path) == ["a"]
