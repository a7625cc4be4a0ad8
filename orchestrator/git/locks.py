"""Locks that a git left behind that was killed: no other one goes on where they are."""

import re
from shlex import quote

_HELD = re.compile(r"Unable to create '(?P<path>.+?\.lock)': File exists")


def path_of(said: str) -> str:
    """The lock that git could not have, by what it says; empty: that was not the reason."""
    found = _HELD.search(said)
    return found["path"] if found else ""


def in_words(path: str) -> str:
    return (
        f"{path} is there, as another git is at work in the repository, or was killed there; "
        f"when none is: `rm {quote(path)}`, and try again"
    )
