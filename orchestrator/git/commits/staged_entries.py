"""Entries of an index that differ from a commit."""

from collections.abc import Sequence

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.git.command.runner import Git

#: Mode of a link to a commit of another repository (a submodule).
LINK = "160000"


@dataclass(frozen=True, slots=True)
class Staged:
    path: str
    #: Mode in the commit; "000000" if the commit does not have the file.
    before: str
    #: Mode in the index; "000000" if the index does not have the file.
    mode: str
    #: Id of the blob, or of the commit of a submodule.
    object: str
    #: Git's letter for the kind of the change.
    kind: str = "A"

    @property
    def is_new_link(self) -> bool:
        return self.mode == LINK and self.before != LINK

    @property
    def is_new(self) -> bool:
        return not int(self.before)

    @property
    def is_gone(self) -> bool:
        return not int(self.mode)


def as_new(path: str) -> Staged:
    return Staged(path, "000000", "100644", "")


def staged(git: Git, start: str) -> Sequence[Staged]:
    """Return the entries of the index that differ from the commit ``start``.

    If git cannot read ``start``, compare the index with HEAD.
    """
    options = ("--cached", "--raw", "-z", "--no-renames", "--no-abbrev", "--ignore-submodules=none")
    answer = git.run("diff-index", *options, start, "--", accept=(0, 128))
    if answer.code:
        answer = git.run("diff-index", *options, "HEAD", "--")
    fields = answer.fields
    entries = []
    for header, path in zip(fields[::2], fields[1::2], strict=True):
        before, mode, _, object_id, kind = header.removeprefix(":").split(" ")
        entries.append(Staged(path, before, mode, object_id, kind))
    return entries
