"""A state file that contains no JSON of the expected kind counts as missing."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.security.files.json_file import read_list, read_object

MOST_BYTES = 1000
OBJECT, LIST = b'{"a": 1}', b'["a"]'

NO_JSON = {
    "empty": b"",
    "cut": b'{"a": ',
    "not UTF-8": b'{"a": "\xff"}',
    "two values": OBJECT + OBJECT,
    "a number that is too long": b'{"a": %s}' % (b"1" * 5000),
    "null": b"null",
    "a number": b"1",
    "a text": b'"a"',
}
#: Python's decoder raises RecursionError for the first three.
NESTED = {
    "lists": b"[" * 60_000,
    "closed lists": b"[" * 200_000 + b"]" * 200_000,
    "objects": b'{"a":' * 60_000,
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state.json"


@pytest.mark.parametrize("content", [OBJECT, b"\xef\xbb\xbf" + OBJECT, b" " * 992 + OBJECT])
def test_an_object_is_read_up_to_the_limit(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert read_object(path, MOST_BYTES) == {"a": 1}
    assert read_object(str(path), MOST_BYTES, within=path.parent) == {"a": 1}
    assert read_list(path, MOST_BYTES) is None


def test_a_list_is_read(path: Path) -> None:
    path.write_bytes(LIST)
    assert read_list(path, MOST_BYTES) == ["a"]
    assert read_object(path, MOST_BYTES) is None


@pytest.mark.parametrize("content", (NO_JSON | NESTED).values(), ids=NO_JSON | NESTED)
def test_other_content_counts_as_missing(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert read_object(path, 1_000_000) is None
    assert read_list(path, 1_000_000) is None


@pytest.mark.parametrize("value", [OBJECT, LIST], ids=["object", "list"])
def test_a_file_that_is_too_large_counts_as_missing(path: Path, value: bytes) -> None:
    # The first bytes are complete JSON.
    path.write_bytes(value.ljust(MOST_BYTES + 1))
    assert read_object(path, MOST_BYTES) is read_list(path, MOST_BYTES) is None


def linked(path: Path) -> None:
    path.with_name("other").write_bytes(OBJECT)
    path.symlink_to("other")


def hard_linked(path: Path) -> None:
    path.with_name("other").write_bytes(OBJECT)
    path.hardlink_to(path.with_name("other"))


@pytest.mark.parametrize("make", [linked, hard_linked, Path.mkdir, os.mkfifo, lambda path: None])
def test_a_path_that_is_no_plain_file_counts_as_missing(
    path: Path, make: Callable[[Path], None]
) -> None:
    make(path)
    assert read_object(path, MOST_BYTES) is read_list(path, MOST_BYTES) is None


def test_a_directory_that_is_a_link_counts_as_missing_below_a_trusted_one(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "state.json").write_text(json.dumps({"a": 1}))
    (tmp_path / "link").symlink_to("own")
    path = tmp_path / "link" / "state.json"
    assert read_object(path, MOST_BYTES) == {"a": 1}
    assert read_object(path, MOST_BYTES, within=tmp_path) is None
