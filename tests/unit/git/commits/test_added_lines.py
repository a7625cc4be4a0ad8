"""Each commit is searched for secrets, because history keeps lines that a later commit removes."""

import os
from pathlib import Path

import pytest

from orchestrator.core.errors import RepositoryError
from orchestrator.gates import SecretScanner
from orchestrator.git import GitRepository
from orchestrator.git.objects_and_refs import MOST_CACHED_BYTES
from tests.support.project import Project

#: Concatenated, so that no scanner reports this file.
KEY = "ghp" + "_" + "a1B2" * 9
OTHER = "ghp" + "_" + "c3D4" * 9


@pytest.fixture
def project(tmp_path: Path) -> Project:
    files = {"a.txt": "a\nb\nc\n", "old.txt": f"x\n{OTHER}\n"}
    made = Project(tmp_path / "project").begin(files)
    made.git("branch", "start")
    made.git("checkout", "-q", "-b", "work")
    return made


@pytest.fixture
def repository(project: Project) -> GitRepository:
    home = project.path / "product"
    return GitRepository(project.path, home / "workspace", home)


def found(repository: GitRepository) -> list[str]:
    start, tip = repository.commit_of("start"), repository.commit_of("work")
    reading = SecretScanner().scan(
        repository.log_with_diffs(start, tip), lambda texts: repository.texts_in(start, texts)
    )
    assert KEY not in str(reading)
    return [each.text for each in reading.findings]


def finding_at(project: Project, revision: str, place: str) -> str:
    commit = project.git("rev-parse", revision)[:12]
    return f"{place}: GitHub token (value not shown), added by commit {commit}"


def test_lines_are_the_same_when_they_are_read_again(
    project: Project, repository: GitRepository
) -> None:
    project.commit({"a.txt": f"a\n{KEY}\nc\n", "big.txt": "x\n" * MOST_CACHED_BYTES}, "with it")
    start, tip = repository.commit_of("start"), repository.commit_of("work")
    partly = repository.log_with_diffs(start, tip)
    next(iter(partly))
    partly.close()  # type: ignore[attr-defined]
    first = b"".join(repository.log_with_diffs(start, tip))
    assert first.count(b"+x\n") == MOST_CACHED_BYTES
    project.git("rm", "-q", "big.txt")
    project.commit({"a.txt": "a\n"}, "smaller")
    end = repository.commit_of("work")
    added = [b"".join(repository.log_with_diffs(tip, end)) for _ in range(2)]
    assert added[0] == added[1]
    assert b"smaller" in added[0]
    assert b"".join(repository.log_with_diffs(start, tip)) == first


def test_a_secret_that_a_later_commit_removes_is_found_with_its_commit(
    project: Project, repository: GitRepository
) -> None:
    project.commit({"a.txt": f"a\n{KEY}\nc\n"}, "with it")
    project.commit({"a.txt": "a\nb\nc\n"}, "without it")
    project.commit({"b.txt": "b\n"}, "more")
    assert found(repository) == [finding_at(project, "HEAD~2", "a.txt:2")]


def test_a_file_that_was_there_for_one_commit_is_found(
    project: Project, repository: GitRepository
) -> None:
    project.commit({"d/key.txt": KEY})
    project.git("rm", "-q", "d/key.txt")
    project.git("commit", "-qm", "gone")
    assert found(repository) == [finding_at(project, "HEAD~1", "d/key.txt:1")]


def test_the_message_of_a_commit_is_read(project: Project, repository: GitRepository) -> None:
    message = f"subject\n\n@@ -1 +1 @@\n+++ b/x\n+the key is {KEY}"
    project.commit({"b.txt": "b\n"}, message)
    commit = project.git("rev-parse", "HEAD")[:12]
    assert found(repository) == [f"the message of commit {commit}: GitHub token (value not shown)"]


def test_a_secret_that_a_merge_adds_is_found_and_a_merged_secret_is_found_once(
    project: Project, repository: GitRepository
) -> None:
    project.commit({"a.txt": f"one\nb\n{KEY}\n"})
    project.git("checkout", "-q", "-b", "side", "start")
    project.commit({"a.txt": "a\nb\ntwo\n"})
    project.git("checkout", "-q", "work")
    project.git("merge", "-q", "side", check=False)
    new = "ghp" + "_" + "e5F6" * 9
    project.commit({"a.txt": f"one\nb\n{KEY}\n{new}\n"}, "merged")
    expected = [finding_at(project, "HEAD^1", "a.txt:3"), finding_at(project, "HEAD", "a.txt:4")]
    assert sorted(found(repository)) == sorted(expected)


def test_a_secret_of_the_start_may_be_moved_removed_and_added_again(
    project: Project, repository: GitRepository
) -> None:
    project.git("mv", "old.txt", "moved.txt")
    project.git("commit", "-qm", "moved")
    project.git("rm", "-q", "moved.txt")
    project.git("commit", "-qm", "gone")
    project.commit({"again.txt": f"y\n{OTHER}\n{KEY}\n"})
    assert found(repository) == [finding_at(project, "HEAD", "again.txt:3")]


def test_a_history_of_its_own_is_compared_with_the_start(
    project: Project, repository: GitRepository
) -> None:
    project.git("checkout", "-q", "--orphan", "other")
    project.commit({"b.txt": KEY}, "new root")
    project.git("branch", "-f", "work")
    assert found(repository) == [finding_at(project, "work", "b.txt:1")]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32"])
def test_files_that_git_treats_as_binary_are_scanned(
    project: Project, repository: GitRepository, encoding: str
) -> None:
    (project.path / "w.txt").write_bytes(f"one\r\ntoken {KEY}\r\n".encode(encoding))
    (project.path / ".gitattributes").write_text("*.pem binary\n")
    (project.path / "b.pem").write_bytes(b"\0\1\2" + KEY.encode() + b"\0")
    project.git("add", "-A")
    project.git("commit", "-qm", "binary")
    assert found(repository) == [
        finding_at(project, "HEAD", "b.pem:1"),
        finding_at(project, "HEAD", "w.txt:2"),
    ]


def test_settings_of_the_user_for_diffs_change_nothing(
    project: Project, repository: GitRepository
) -> None:
    for name, value in {
        "diff.noprefix": "true",
        "diff.interHunkContext": "5",
        "diff.submodule": "log",
        "log.showSignature": "true",
        "log.showRoot": "false",
        "color.ui": "always",
        "format.pretty": "oneline",
        "diff.external": "false",
        "core.quotePath": "true",
    }.items():
        project.git("config", name, value)
    project.commit({"ä b.txt": f"one\n{KEY}\n", "a.txt": "x\nb\ny\n"})
    assert found(repository) == [finding_at(project, "HEAD", "ä b.txt:2")]


def test_secrets_in_files_whose_names_are_no_text_are_found(
    project: Project, repository: GitRepository
) -> None:
    name = os.fsencode(str(project.path)) + b"/caf\xe9\n.txt"
    with open(name, "wb") as file:
        file.write(KEY.encode())
    project.git("add", "-A")
    project.git("commit", "-qm", "x")
    assert len(found(repository)) == 1


def test_a_commit_that_cannot_be_read_is_an_error(
    project: Project, repository: GitRepository
) -> None:
    project.commit({"b.txt": "b\n"})
    blob = project.git("rev-parse", "HEAD:b.txt")
    os.unlink(project.path / ".git" / "objects" / blob[:2] / blob[2:])
    # Without this, git would read the file.
    os.unlink(project.path / "b.txt")
    with pytest.raises(RepositoryError):
        found(repository)
