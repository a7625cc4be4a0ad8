"""Merging two commits as objects: no file, index or branch of anybody is touched."""

import os
import tempfile
from collections.abc import Iterator, Sequence

from orchestrator.core.repository import FileConflict, Merge, Signature
from orchestrator.git.commits import commit_tree
from orchestrator.git.running import Git, failure

#: Mode, blob, stage (1: common ancestor, 2: ours, 3: theirs) and path of one side.
Side = tuple[str, str, int, str]


def merge(
    git: Git, ours: str, theirs: str, message: str, signature: Signature, *, force: bool
) -> Merge:
    base = git.ask("merge-base", ours, theirs)
    if base == theirs:
        return Merge(commit=ours)
    if base == ours:
        return Merge(commit=theirs)
    tree, sides = _tried(git, ours, theirs)
    if sides and not force:
        return Merge(conflicts=tuple(_conflicts(sides)))
    if sides:
        tree = _with_theirs(git, tree, sides)
    commit = commit_tree(git, tree, [ours, theirs], message, signature)
    return Merge(commit=commit, conflicts=tuple(_conflicts(sides)))


def _tried(git: Git, ours: str, theirs: str) -> tuple[str, list[Side]]:
    answer = git.run("merge-tree", "--write-tree", "-z", ours, theirs, accept=(0, 1, 128))
    if answer.code == 128:
        raise failure("merge-tree", answer)
    tree, *rest = os.fsdecode(answer.out).split("\0")
    if answer.code == 0:
        return tree, []
    # Sides of files up to an empty field, then messages for people.
    return tree, [_side(each) for each in rest[: rest.index("")]]


def _side(text: str) -> Side:
    numbers, path = text.split("\t", 1)
    mode, blob, stage = numbers.split(" ")
    return mode, blob, int(stage), path


def _conflicts(sides: Sequence[Side]) -> Iterator[FileConflict]:
    for path in dict.fromkeys(path for *_, path in sides):
        blobs = {stage: blob for _, blob, stage, where in sides if where == path}
        yield FileConflict(
            path=path, base=blobs.get(1, ""), ours=blobs.get(2, ""), theirs=blobs.get(3, "")
        )


def _with_theirs(git: Git, tree: str, sides: Sequence[Side]) -> str:
    """The merged tree, with their side of every file that conflicts: also when it is gone."""
    paths = dict.fromkeys(path for *_, path in sides)
    kept = {path: (mode, blob) for mode, blob, stage, path in sides if stage == 3}
    gone = [f"0 {'0' * len(tree)}\t{path}" for path in paths]
    lines = [*gone, *(f"{mode} {blob}\t{path}" for path, (mode, blob) in kept.items())]
    with tempfile.TemporaryDirectory(prefix="orchestrator-index-") as directory:
        env = {"GIT_INDEX_FILE": os.path.join(directory, "index")}
        git.run("read-tree", tree, env=env)
        given = os.fsencode("".join(f"{line}\0" for line in lines))
        git.run("update-index", "-z", "--index-info", given=given, env=env)
        return git.run("write-tree", env=env).text
