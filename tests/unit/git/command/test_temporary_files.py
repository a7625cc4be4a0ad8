"""Temporary files that git leaves on a full disk."""

import os
import time
from pathlib import Path

import pytest

from orchestrator.git.command import temporary_files


def test_only_what_is_new_and_open_nowhere_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(temporary_files, "SETTLE_SECONDS", 0.0)
    names = ("ab/tmp_obj_1", "pack/tmp_pack_1", "pack/tmp_idx_1", "tmp_obj_2")
    for name in (*names, "ab/tmp_obj_old", "ab/tmp_obj_open", "ab/cd"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    began = time.time() - 60
    os.utime(tmp_path / "ab" / "tmp_obj_old", (began - 60, began - 60))

    with (tmp_path / "ab" / "tmp_obj_open").open():
        removed = temporary_files.sweep(tmp_path, began)

    assert sorted(removed) == sorted(tmp_path / name for name in names)
    kept = sorted(each.name for each in tmp_path.rglob("*") if each.is_file())
    assert kept == ["cd", "tmp_obj_old", "tmp_obj_open"]


def test_a_directory_that_is_not_there_has_nothing(tmp_path: Path) -> None:
    assert temporary_files.sweep(tmp_path / "none", 0.0) == []
