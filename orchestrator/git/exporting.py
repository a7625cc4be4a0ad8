"""The files that a job's result changed, for taking them elsewhere."""

from collections.abc import Iterator
from dataclasses import dataclass

from orchestrator.git.running import Git

_LINK, _MODULE = "120000", "160000"
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
    return git.run("cat-file", "blob", found.blob).out
