"""Conflicts of every kind are found without changes of files."""

import os
from collections.abc import Mapping

import pytest

from orchestrator.core.errors import RepositoryError
from orchestrator.git import GitRepository
from tests.support.project import Project
from tests.unit.git.conftest import WHO, branch_with

Sides = tuple[Mapping[str, str | None], Mapping[str, str | None]]

#: Changes of both sides (None: remove), the conflicting paths, and the result of "theirs".
CASES: Mapping[str, tuple[Sides, list[str], Mapping[str, str | None]]] = {
    "same line": (({"a.txt": "x\n"}, {"a.txt": "y\n"}), ["a.txt"], {"a.txt": "y"}),
    "both add": (({"n": "x\n"}, {"n": "y\n"}), ["n"], {"n": "y"}),
    "modify, delete": (({"a.txt": "x\n"}, {"a.txt": None}), ["a.txt"], {"a.txt": None}),
    "delete, modify": (({"a.txt": None}, {"a.txt": "y\n"}), ["a.txt"], {"a.txt": "y"}),
    "odd name": (({"é\n\t x": "x\n"}, {"é\n\t x": "y\n"}), ["é\n\t x"], {"é\n\t x": "y"}),
    "other files": (({"x": "x\n"}, {"y": "y\n"}), [], {"x": "x", "y": "y"}),
    "other lines": (
        ({"a.txt": "ONE\ntwo\nthree\n"}, {"a.txt": "one\ntwo\nTHREE\n"}),
        [],
        {"a.txt": "ONE\ntwo\nTHREE"},
    ),
    "both the same": (({"n": "x\n"}, {"n": "x\n"}), [], {"n": "x"}),
    "rename, modify": (
        ({"a.txt": None, "z.txt": "one\ntwo\nthree\n"}, {"a.txt": "one\ntwo\n3\n"}),
        [],
        {"z.txt": "one\ntwo\n3", "a.txt": None},
    ),
}


def test_a_merge_of_a_missing_commit_is_an_error(
    project: Project, repository: GitRepository
) -> None:
    with pytest.raises(RepositoryError, match="not something we can merge"):
        repository.merge(project.git("rev-parse", "HEAD"), "1" * 40, "x", WHO, force=False)


@pytest.fixture(autouse=True)
def no_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", os.devnull)
    monkeypatch.setenv("XDG_CONFIG_HOME", os.devnull)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("force", [False, True])
def test_merging(project: Project, repository: GitRepository, case: str, force: bool) -> None:
    (ours, theirs), conflicts, expected = CASES[case]
    first, second = branch_with(project, "ours", ours), branch_with(project, "theirs", theirs)
    before = project.snapshot()

    merged = repository.merge(first, second, "merged", WHO, force=force)

    assert [each.path for each in merged.conflicts] == conflicts
    assert project.snapshot() == before
    assert bool(merged.commit) is (force or not conflicts)
    for path, text in (expected if merged.commit else {}).items():
        found = project.git("show", f"{merged.commit}:{path}", check=False)
        assert found == (text or ""), path
        assert bool(project.git("ls-tree", merged.commit, "--", path)) is (text is not None)


def test_a_contained_commit_needs_no_merge(project: Project, repository: GitRepository) -> None:
    base, later = project.git("rev-parse", "main"), branch_with(project, "later", {"n": "x\n"})
    assert repository.merge(later, base, "m", WHO, force=False).commit == later
    assert repository.merge(base, later, "m", WHO, force=False).commit == later


def test_a_history_of_its_own_is_merged_by_its_files(
    project: Project, repository: GitRepository
) -> None:
    first = branch_with(project, "ours", {"n": "x\n"})
    project.git("checkout", "-q", "--orphan", "other")
    second = project.commit({"m": "y\n"}, "orphan").git("rev-parse", "HEAD")
    project.git("checkout", "-q", "main")

    merged = repository.merge(first, second, "merged", WHO, force=False)

    assert {"a.txt", "n", "m"} <= set(project.files(merged.commit))
