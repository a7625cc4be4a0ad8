"""Detects required Node.js packages that are not installed.

If a package is missing, a gate that needs the package cannot judge the project.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from orchestrator.security.files.json_file import read_object

#: Files that show that packages are installed. Yarn may write a ``.pnp`` file instead of the
#: directory ``node_modules``.
_INSTALLED = ("node_modules", ".pnp.cjs", ".pnp.js", ".pnp.loader.mjs")
#: Fields of ``package.json`` with the names of required packages.
_REQUIRED = ("dependencies", "devDependencies", "optionalDependencies", "peerDependencies")
_MOST_BYTES = 1 << 20
MESSAGE = "node_modules is missing"
#: Matches messages about a missing package from Node.js, bundlers, TypeScript, jest, and shells. A
#: message about a missing file of the project does not match.
_NOT_FOUND = (
    re.compile(r"Cannot find (?:module|package) ['\"]((?:@[\w.-]+/)?[\w-][\w.-]*)"),
    re.compile(r"\b([\w-]+): (?:command )?not found\b"),
)


def are_missing(cwd: str, top: str) -> bool:
    """True if a ``package.json`` requires packages, but no packages are installed.

    Checks the directories from ``cwd`` up to ``top``.
    """
    return bool(_missing_names(cwd, top))


def is_missing(package: str, cwd: str, top: str) -> bool:
    """True if a ``package.json`` requires this package, but no packages are installed."""
    return package in _missing_names(cwd, top)


def reports_missing(output: str, cwd: str, top: str) -> bool:
    """True if a program's output reports a required package that is not installed."""
    names = {match[1] for each in _NOT_FOUND for match in each.finditer(output)}
    return bool(names) and not names.isdisjoint(_missing_names(cwd, top))


def _missing_names(cwd: str, top: str) -> set[str]:
    names: set[str] = set()
    for directory in _upwards(cwd, top):
        if any(os.path.lexists(f"{directory}/{name}") for name in _INSTALLED):
            return set()
        names |= _required_packages(Path(directory, "package.json"))
    return names


def _required_packages(file: Path) -> set[str]:
    package = read_object(file, _MOST_BYTES) or {}
    sections = [package.get(name) for name in _REQUIRED]
    return {name for section in sections if isinstance(section, dict) for name in section}


def _upwards(cwd: str, top: str) -> Iterator[str]:
    directory = cwd
    while directory != top and directory.startswith(f"{top}/"):
        yield directory
        directory = os.path.dirname(directory)
    yield directory
