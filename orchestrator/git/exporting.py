"""The files that a job's result changed, for taking them elsewhere."""

from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.core.errors import RepositoryError
from orchestrator.git.running import Git

_LINK, _MODULE = "120000", "160000"
#: What stands for a file that Git LFS keeps.
_POINTER = b"version https://git-lfs.github.com/spec/"
_KINDS = {_LINK: "it is a link", _MODULE: "it is a submodule"}


@dataclass(frozen=True, slots=True)
class Changed:
    """A path, relative to the top of the repository."""

    path: str
    executable: bool = False
    #: Empty when it is gone.
    blob: str = ""
    #: Why its content cannot be given; empty when it can.
    kind: str = ""


def changed(git: Git, base: str, result: str) -> Iterator[Changed]:
    quiet = ("--no-renames", "--raw", "-r", "-z", "--no-abbrev")
    fields = iter(git.run("diff-tree", *quiet, base, result, "--").fields)
    for words in fields:
        _, mode, _, blob, status = words.removeprefix(":").split(" ")
        gone = status.startswith("D")
        yield Changed(next(fields), mode == "100755", "" if gone else blob, _KINDS.get(mode, ""))


def content(git: Git, found: Changed) -> bytes:
    """As a checkout would write it. Raise OSError for what cannot be had."""
    try:
        written = git.run("cat-file", "--filters", f"--path={found.path}", found.blob).out
    except RepositoryError as error:
        raise OSError(error.message) from error
    if written.startswith(_POINTER):
        raise OSError("Git LFS keeps it, and its content is not here (git lfs fetch)")
    return written
