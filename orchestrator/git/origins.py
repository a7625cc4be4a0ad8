"""Which commits the lines of a file come from."""

import re
from dataclasses import replace

from orchestrator.core.repository import FileConflict, LostHunk
from orchestrator.git.running import Git

#: In the answer of ``blame --porcelain``: a commit, and the line's number in the file.
_LINE = re.compile(r"^([0-9a-f]{40,64}) \d+ (\d+)(?: \d+)?$", re.MULTILINE)
#: More places of one file are not looked up.
MOST_PLACES = 100


def authored(git: Git, commit: str, conflict: FileConflict) -> FileConflict:
    """With the commits from which the lines of ``commit`` come that are lost."""
    places = [each for each in conflict.lost if each.first and not each.removed][:MOST_PLACES]
    if not places:
        return conflict
    spans = [f"-L{each.first},{each.last}" for each in places]
    how = ("-c", "blame.ignoreRevsFile=", "blame", "--porcelain", *spans, commit)
    shown = git.run(*how, "--", conflict.path, accept=(0, 128)).out.decode("utf-8", "replace")
    origins = {int(number): name for name, number in _LINE.findall(shown)}

    def known(each: LostHunk) -> LostHunk:
        names = (origins.get(line, "") for line in range(each.first, each.last + 1))
        return replace(each, commits=tuple(dict.fromkeys(filter(None, names))))

    return replace(conflict, lost=tuple(known(e) if e in places else e for e in conflict.lost))
