"""Conflict markers in lines of files, as git writes them."""

import os

from orchestrator.git.command.runner import Git

_SAID = ": leftover conflict marker"
_ONLY_MARKERS = "core.whitespace=-blank-at-eol,-blank-at-eof,-space-before-tab"


def lines(git: Git, start: str, end: str, *paths: str) -> list[tuple[str, str]]:
    """Return the path and the line number of each conflict marker that ``end`` has and ``start``
    lacks.
    """
    how = ("-c", _ONLY_MARKERS, "diff-tree", "--check", "-r")
    shown = git.run(*how, start, end, "--", *paths, accept=(0, 2))
    said = (line for line in os.fsdecode(shown.out).splitlines() if line.endswith(_SAID))
    places = (line.removesuffix(_SAID).rpartition(":") for line in said)
    return [(path, number) for path, _, number in places]
