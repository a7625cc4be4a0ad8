"""Detects changes of a child job that its parent has undone, from the commits of both."""

from collections.abc import Callable

import pytest

from orchestrator.core.repository.repository import Undone
from orchestrator.git import GitRepository
from tests.support.project import Project
from tests.unit.git.conftest import WHO

LINES = "one\ntwo\nthree\n"
#: Gets the files of a child job, uncommitted in a worker's worktree.
Acts = Callable[[Project], object]


def delivered(project: Project) -> tuple[str, str]:
    """The commits of a child job; its files are in the checkout, uncommitted."""
    base = project.git("rev-parse", "HEAD")
    project.write("new.txt", "1\n2\n3\n4\n")
    project.write("a.txt", f"{LINES}four\n")
    project.git("add", "-A", "new.txt", "a.txt")
    tree = project.git("write-tree")
    result = project.git("commit-tree", tree, "-p", base, "-m", "child")
    project.git("reset", "-q")
    return base, result


def after(project: Project, repository: GitRepository, act: Acts, *others: str) -> Undone:
    base, result = delivered(project)
    act(project)
    project.git("add", "-A", "--", ".", ":!product")
    project.git("commit", "-q", "--allow-empty", "-m", "what the worker left")
    return repository.undone_changes(base, result, project.git("rev-parse", "HEAD"), [base], others)


def discard(project: Project) -> None:
    project.git("reset", "-q", "--hard", "main")
    project.git("clean", "-qfd", "--", "new.txt")


def committed_and_reset(project: Project) -> None:
    project.git("add", "-A", "new.txt", "a.txt")
    project.git("commit", "-q", "-m", "x")
    project.git("reset", "-q", "--hard", "HEAD~")
    project.write("own.txt", "own\n1\n")


def removed_by_a_commit(project: Project) -> None:
    project.git("add", "-A", "new.txt", "a.txt")
    project.git("commit", "-q", "-m", "x")
    project.git("rm", "-q", "new.txt")
    project.write("a.txt", LINES)


def moved(project: Project) -> None:
    project.write("a.txt", f"{LINES}four\n1\n2\n3\n")
    (project.path / "new.txt").unlink()


NEW, FOUR = ("new.txt", 0, 0), ("a.txt", 4, 4)


@pytest.mark.parametrize(
    ("act", "places", "whole"),
    [
        (discard, [FOUR, NEW], True),
        (committed_and_reset, [FOUR, NEW], True),
        (removed_by_a_commit, [FOUR, NEW], False),
        (lambda project: (project.path / "new.txt").unlink(), [NEW], False),
        (lambda project: project.write("new.txt", "other\n"), [NEW], False),
        (lambda project: project.write("a.txt", LINES), [FOUR], False),
        (lambda project: project.write("new.txt", "1\nII\nIII\nIV\n"), [], False),
        (lambda project: project.git("rm", "-qf", "dir/b.txt"), [], False),
        (moved, [], False),
    ],
)
def test_undone_changes_are_found_by_place(
    project: Project,
    repository: GitRepository,
    act: Acts,
    places: list[tuple[str, int, int]],
    whole: bool,
) -> None:
    found = after(project, repository, act)

    assert [(each.path, each.first, each.last) for each in found.places] == places
    assert found.whole is whole


def test_changes_that_another_child_job_replaces_are_not_discarded(
    project: Project, repository: GitRepository
) -> None:
    def replaced(project: Project) -> str:
        project.git("add", "-A", "new.txt", "a.txt")
        tree, head = project.git("write-tree"), project.git("rev-parse", "HEAD")
        base = project.git("commit-tree", tree, "-p", head, "-m", "state")
        project.git("reset", "-q", "--hard", head)
        return base

    base, result = delivered(project)
    other = replaced(project)
    tip = project.git("rev-parse", "HEAD")

    found = repository.undone_changes(base, result, tip, [base], [f"{other}..{base}"])

    assert (len(found.places), found.whole) == (2, False)


def test_a_fix_of_the_only_line_that_a_child_job_changed_is_not_undone(
    project: Project, repository: GitRepository
) -> None:
    base = project.git("rev-parse", "HEAD")
    result = project.commit({"a.txt": "one\n2\nthree\n"}).git("rev-parse", "HEAD")
    tip = project.commit({"a.txt": "one\nTWO\nthree\n"}).git("rev-parse", "HEAD")

    assert repository.undone_changes(base, result, tip, [base], []) == Undone()


def test_names_with_blanks_and_files_without_text(
    project: Project, repository: GitRepository
) -> None:
    base = project.git("rev-parse", "HEAD")
    files = {"a b.txt": "x\n", "\u00e4.txt": "y\n", "empty.py": "", "image": "\0\n"}
    result = project.commit(files).git("rev-parse", "HEAD")
    others = {**files, "empty.py": "filled\n", "image": "\0other\n", "a b.txt": "x\nmore\n"}
    tip = project.commit(others).git("rev-parse", "HEAD")

    found = repository.undone_changes(base, result, tip, [base], [])

    assert [each.path for each in found.places] == ["image"]
    whole = repository.undone_changes(base, result, base, [], [])
    assert ({each.path for each in whole.places}, whole.whole) == ({*files}, True)


def test_discarded_changes_are_applied_again_on_later_commits(
    project: Project, repository: GitRepository
) -> None:
    base, result = delivered(project)
    discard(project)
    own = project.commit({"own.txt": "own\n"}).git("rev-parse", "HEAD")
    # git then treats the result as merged.
    tip = repository.create_merge_commit(own, result, "joined", WHO)

    back = repository.reapply(base, result, tip, "back", WHO, force=False)

    assert project.show(back.commit, "a.txt") == f"{LINES}four"
    assert project.show(back.commit, "own.txt") == "own"
    assert project.files(back.commit) == ["a.txt", "dir/b.txt", "new.txt", "own.txt"]
    again = repository.reapply(base, result, back.commit, "back", WHO, force=False)
    assert again.commit == back.commit
