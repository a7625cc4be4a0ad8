"""Archives of an attempt's files: copies are exact, and hostile archives write nothing."""

import json
import os
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from orchestrator.launchers.cluster.file_transfer.archive import (
    UnusableFiles,
    figures_of,
    pack,
    put,
    unpack,
)


def written(path: Path, *records: Mapping[str, Any], content: bytes = b"") -> str:
    """Write an archive with these records. The content follows the second-to-last record."""
    parts: list[bytes] = []
    for fields in (*records, {"kind": "end"}):
        header = json.dumps(fields).encode()
        parts += [struct.pack(">I", len(header)), header]
    parts[-2:-2] = [content]
    path.write_bytes(b"".join(parts))
    return str(path)


def a_file(path: str, size: int = 1, root: int = 0) -> Mapping[str, Any]:
    return {"kind": "file", "root": root, "path": path, "size": size, "mode": 0o600, "time": 0}


def a_link(path: str, to: str) -> Mapping[str, Any]:
    return {"kind": "link", "root": 0, "path": path, "to": to}


def a_directory(path: str) -> Mapping[str, Any]:
    return {"kind": "directory", "root": 0, "path": path, "mode": 0o700}


def test_a_directory_arrives_as_it_was_sent(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "deep" / "er").mkdir(parents=True)
    (source / "deep" / "run").write_text("#!/bin/sh")
    (source / "deep" / "run").chmod(0o755)
    os.utime(source / "deep" / "run", ns=(5, 1_234_567_891_234_567_891))
    (source / os.fsdecode(b"na\xefve")).write_text("a name that is not UTF-8")
    (source / "deep" / "link").symlink_to("../deep/run")
    (source / "secret").write_text("left out")
    figures = pack([str(source)], str(tmp_path / "archive"), [str(source / "secret")])
    assert figures == figures_of(str(tmp_path / "archive"))
    unpack(str(tmp_path / "archive"), str(tmp_path / "staging"), 1)
    target = tmp_path / "target"
    (target / "gone").mkdir(parents=True)
    (target / "kept").write_text("kept")
    (target / "deep").symlink_to(tmp_path)
    put(str(tmp_path / "staging" / "0"), str(target), [str(target / "kept")])
    assert sorted(os.listdir(os.fsencode(target))) == [b"deep", b"kept", b"na\xefve"]
    status = (target / "deep" / "run").stat()
    assert (status.st_mode & 0o777, status.st_mtime_ns) == (0o755, 1_234_567_891_234_567_891)
    assert os.readlink(target / "deep" / "link") == "../deep/run"
    assert (target / "deep" / "er").is_dir()
    assert not (tmp_path / "run").exists(), "nothing is written through a link"


def test_a_file_with_the_same_content_stays(tmp_path: Path) -> None:
    for name in ("staged", "target"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_text("a")
    before = (tmp_path / "target" / "a").stat()
    put(str(tmp_path / "staged"), str(tmp_path / "target"))
    assert (tmp_path / "target" / "a").stat() == before


def test_links_to_the_outside_and_pipes_are_omitted(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "a").mkdir(parents=True)
    for name, to in {"1": "/etc", "a/2": "../..", "3": "..", "a/4": "../a/../../x"}.items():
        (source / name).symlink_to(to)
    os.mkfifo(source / "pipe")
    pack([str(source)], str(tmp_path / "archive"))
    unpack(str(tmp_path / "archive"), str(tmp_path / "staging"), 1)
    assert [path.name for path in (tmp_path / "staging" / "0").rglob("*")] == ["a"]


def test_a_directory_that_is_too_large_is_not_sent(tmp_path: Path) -> None:
    (tmp_path / "big").mkdir()
    (tmp_path / "big" / "file").write_bytes(bytes(2000))
    with pytest.raises(UnusableFiles, match="more than 1000 bytes"):
        pack([str(tmp_path / "big")], str(tmp_path / "archive"), most_bytes=1000)


@pytest.mark.parametrize(
    "records",
    [
        [a_file("../outside")],
        [a_file("/outside")],
        [a_file("a/../../outside")],
        [a_file("")],
        [a_file("a", root=1)],
        [a_file("a", root=-1)],
        [a_file("missing/a")],
        [a_file("a", size=-1)],
        [a_file("a", size=10**12)],
        [{**a_file("a"), "size": float("inf")}],
        [{**a_file("a"), "time": 10**30}],
        [a_directory("a"), a_directory("a")],
        [a_link("a", "/etc")],
        [a_link("a", "../x")],
        [a_link("a", "b/../../x")],
        [a_link("a", "."), a_file("a/x")],
        [a_directory("d"), a_directory("d/e"), a_link("d/e/up", "../.."), a_link("d/e/up/x", "..")],
        [{"kind": "device", "root": 0, "path": "a"}],
        [{"kind": "file"}],
        [{"path": "a"}],
    ],
    ids=str,
)
def test_a_hostile_archive_is_refused(tmp_path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    path = written(tmp_path / "archive", *records, content=b"x")
    staging = tmp_path / "work" / "staging"
    staging.parent.mkdir()
    with pytest.raises(UnusableFiles):
        unpack(path, str(staging), 1)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["archive", "work"]
    assert [each.name for each in staging.parent.iterdir()] == ["staging"]


def test_a_missing_field_of_an_entry_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "archive", {"path": "a", "root": 0}, content=b"")
    with pytest.raises(UnusableFiles, match="an entry has no field 'kind'"):
        unpack(path, str(tmp_path / "staging"), 1)


def test_an_archive_without_its_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "archive"
    written(path, a_file("a"), content=b"x")
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(UnusableFiles, match="incomplete"):
        unpack(str(path), str(tmp_path / "staging"), 1)
