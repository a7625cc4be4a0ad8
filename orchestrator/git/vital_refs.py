"""Branches and tags of a repository whose files of refs are gone or broken."""

from collections.abc import Mapping

from orchestrator.git.running import ITSELF, Git

#: How ``noted`` and a file of packed refs begin a line, and end it.
_ASKED = ("for-each-ref", "--format=%(objectname) %(refname)")


def noted(git: Git) -> bytes:
    """All there are, as a file of packed refs tells them."""
    return git.run(*_ASKED).out


def listed(content: bytes) -> dict[str, str]:
    """Names to commits; what is no line of such a file, or half of one, is left out."""
    lines = content.decode("utf-8", "surrogateescape").split("\n")[:-1]
    pairs = (line.split(" ", 1) for line in lines if line[:1] not in ("#", "^"))
    return {pair[1]: pair[0] for pair in pairs if len(pair) == 2 and pair[1].startswith("refs/")}


def put_back(git: Git, refs: Mapping[str, str], *, missing: bool) -> None:
    """``missing``: those that are there stay as they are. A ref that cannot be is left out."""
    there = listed(noted(git)) if missing else {}
    for name in refs.keys() - there.keys():
        git.ask("update-ref", *ITSELF, name, refs[name])
