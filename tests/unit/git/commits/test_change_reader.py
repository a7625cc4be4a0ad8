"""Differences between commits, and versions of a file in conflict, in a real repository."""

import subprocess
from pathlib import Path

import pytest

from orchestrator.core.errors import TooLarge
from orchestrator.core.repository.change_reader import (
    Blobs,
    ChangedFile,
    DiffRequest,
    FileStatus,
    TextLimits,
)
from orchestrator.git.commits.change_reader import GitChangeReader

ALL = DiffRequest()


class Project:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.git("init", "-q", "-b", "main")
        self.git("config", "diff.relative", "true")

    def git(self, *arguments: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        command = ["git", *who, *arguments]
        ended = subprocess.run(command, cwd=self.directory, check=True, capture_output=True)
        return ended.stdout.decode().strip()

    def commit(self, files: dict[str, bytes | None]) -> str:
        for name, content in files.items():
            path = self.directory / name
            if content is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "x")
        return self.git("rev-parse", "HEAD")

    def blob(self, content: bytes) -> str:
        (self.directory / "blob").write_bytes(content)
        return self.git("hash-object", "-w", "blob")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def by_path(project: Project, base: str, commit: str, **options: object) -> dict[str, ChangedFile]:
    found = GitChangeReader(project.directory).difference(base, commit, DiffRequest(**options))  # type: ignore[arg-type]
    return {file.path: file for file in found.files}


def test_every_kind_of_change_has_its_hunks(project: Project) -> None:
    many = b"".join(b"line %d\n" % number for number in range(40))
    base = project.commit({"a.py": many, "gone": b"x\n", "old name": many, "bin": b"\0\1"})
    commit = project.commit(
        {
            "a.py": many.replace(b"line 5\n", b"five\r\nand\n").replace(b"line 30\n", b""),
            "gone": None,
            "old name": None,
            "dir/new\tname": many,
            "bin": b"\0\2",
            "added": b"diff --git a/b b/b\n@@ -1 +1 @@\nno end",
        }
    )

    found = by_path(project, base, commit)

    changed = found["a.py"]
    assert (changed.status, changed.additions, changed.deletions) == (FileStatus.MODIFIED, 2, 2)
    first, second = changed.hunks
    assert (first.old_start, first.old_lines, first.new_start, first.new_lines) == (3, 7, 3, 8)
    assert first.lines[3:6] == ("-line 5", "+five\r", "+and")
    assert (second.old_start, second.header) == (28, "line 26")
    assert (found["gone"].status, found["bin"].binary) == (FileStatus.DELETED, True)
    renamed = found["dir/new\tname"]
    assert (renamed.status, renamed.old_path) == (FileStatus.RENAMED, "old name")
    assert (renamed.hunks, found["bin"].hunks) == ((), ())
    [added] = found["added"].hunks
    assert (added.old_start, added.old_lines, added.new_lines) == (0, 0, 3)
    assert added.lines[:2] == ("+diff --git a/b b/b", "+@@ -1 +1 @@")
    assert added.lines[-1].startswith("\\ No newline")


def test_a_file_that_becomes_a_link_is_one_file(project: Project) -> None:
    base = project.commit({"a": b"1\n", "b": b"1\n"})
    (project.directory / "a").unlink()
    (project.directory / "a").symlink_to("b")
    commit = project.commit({"b": b"2\n"})

    found = by_path(project, base, commit)

    assert found["a"].status is FileStatus.TYPE_CHANGED
    assert [hunk.lines[0] for hunk in found["a"].hunks] == ["-1", "+b"]
    assert found["b"].hunks[0].lines == ("-1", "+2")


def test_one_file_and_lists_without_lines(project: Project) -> None:
    base = project.commit({"a[1]": b"1\n", "b": b"1\n"})
    commit = project.commit({"a[1]": b"2\n", "b": b"2\n"})

    assert list(by_path(project, base, commit, path="a[1]")) == ["a[1]"]
    assert by_path(project, base, commit, stat=True)["b"].hunks == ()
    assert by_path(project, base, commit, context=0)["b"].hunks[0].lines == ("-1", "+2")
    assert by_path(project, base, base) == {}


def test_paths_begin_at_the_top_of_the_repository(project: Project) -> None:
    base = project.commit({"a": b"1\n", "inner/b": b"1\n"})
    commit = project.commit({"a": b"2\n", "inner/b": b"2\n"})
    inner = GitChangeReader(project.directory / "inner")

    assert [file.path for file in inner.difference(base, commit, ALL).files] == ["a", "inner/b"]
    request = DiffRequest(path="a")
    assert [file.path for file in inner.difference(base, commit, request).files] == ["a"]


def test_large_files_and_answers_are_not_sent(project: Project) -> None:
    base = project.commit({})
    commit = project.commit({"big": b"x\n" * 500, "small": b"y\n"})
    limited = GitChangeReader(project.directory, TextLimits(file=400, answer=2000))

    big, small = limited.difference(base, commit, ALL).files
    assert (big.too_big, big.hunks, big.additions, small.too_big) == (True, (), 500, False)
    with pytest.raises(TooLarge) as raised:
        GitChangeReader(project.directory, TextLimits(answer=500)).patch(base, commit, ALL)
    assert raised.value.parts == ("big", "small")


def test_a_patch_can_be_applied(project: Project) -> None:
    base = project.commit({"a": b"1\n", "bin": b"\0\1"})
    commit = project.commit({"a": b"2\n", "bin": b"\0\2"})

    patch = GitChangeReader(project.directory).patch(base, commit, ALL)

    project.git("checkout", "-q", base)
    (project.directory / "patch").write_bytes(patch)
    project.git("apply", "patch")
    assert (project.directory / "a").read_bytes() == b"2\n"
    assert (project.directory / "bin").read_bytes() == b"\0\2"


def test_versions_of_a_file_in_conflict_have_both_sides_with_markers(project: Project) -> None:
    blobs = Blobs(
        base=project.blob(b"a\nb\nc\n"),
        ours=project.blob(b"a\nours\nc\n"),
        theirs=project.blob(b"a\ntheirs\nc\n"),
        names={"ours": "result", "theirs": "worker_2"},
    )

    found = GitChangeReader(project.directory).versions("f", blobs)

    assert (found.base, found.ours, found.theirs) == ("a\nb\nc\n", "a\nours\nc\n", "a\ntheirs\nc\n")
    assert found.merged == (
        "a\n<<<<<<< result\nours\n||||||| base\nb\n=======\ntheirs\n>>>>>>> worker_2\nc\n"
    )


def test_a_side_without_the_file_and_a_binary_file_have_no_text(project: Project) -> None:
    text, binary = project.blob(b"a\n"), project.blob(b"\0")
    reader = GitChangeReader(project.directory)

    removed = reader.versions("f", Blobs(base=text, ours=text))
    assert (removed.ours, removed.theirs, removed.merged) == ("a\n", None, None)
    assert reader.versions("f", Blobs(ours=binary, theirs=text)).theirs is None
    with pytest.raises(TooLarge) as raised:
        GitChangeReader(project.directory, TextLimits(file=1)).versions("f", Blobs(ours=text))
    assert raised.value.message == (
        "f: a version in conflict has more than 1 bytes, too many to show; read it with git: "
        f"git cat-file blob {text}"
    )


def test_only_commits_are_tips(project: Project) -> None:
    commit = project.commit({"a": b"1\n"})
    reader = GitChangeReader(project.directory)

    assert reader.tip("refs/heads/main") == commit
    assert (reader.tip("refs/heads/none"), reader.tip("--all")) == ("", "")
