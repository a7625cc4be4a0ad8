"""Extracts the part that configures gates from files that also hold other settings. Pure."""

import configparser
import json
import tomllib
from collections.abc import Callable, Mapping
from typing import Any

#: Tables of pyproject.toml that build, install, or release, and judge nothing.
_BUILD_TOOLS = frozenset(
    {"poetry", "uv", "hatch", "setuptools", "setuptools_scm", "pdm", "flit", "scikit-build"}
    | {"maturin", "bumpversion", "semantic_release", "commitizen", "towncrier", "cibuildwheel"}
)
#: Keys of package.json with the configuration of checks.
_OF_PACKAGE = (
    *("scripts", "jest", "vitest", "mocha", "ava", "tap", "nyc", "c8", "babel", "xo", "standard"),
    *("eslintConfig", "eslintIgnore", "prettier", "stylelint", "lint-staged", "browserslist"),
)
#: Sections of setup.cfg that describe the package.
_OF_SETUP = ("metadata", "options")


def judging_part(path: str, text: str) -> object:
    """Return the part of a file that configures gates; versions with equal parts judge alike.

    Return the whole text of another file, and of a file that cannot be parsed.
    """
    read = _READERS.get(path.rpartition("/")[2])
    try:
        return text if read is None else read(text)
    except (ValueError, RecursionError, configparser.Error):
        return text


def _pyproject(text: str) -> object:
    tools = tomllib.loads(text).get("tool", {})
    return {name: table for name, table in tools.items() if name not in _BUILD_TOOLS}


def _package(text: str) -> object:
    found: Mapping[str, Any] = json.loads(text or "{}")
    return {name: found.get(name) for name in _OF_PACKAGE}


def _setup(text: str) -> object:
    parser = configparser.RawConfigParser()
    parser.read_string(text)
    own = (name for name in parser.sections() if not name.startswith(_OF_SETUP))
    return {name: dict(parser[name]) for name in own}


_READERS: Mapping[str, Callable[[str], object]] = {
    "pyproject.toml": _pyproject,
    "package.json": _package,
    "setup.cfg": _setup,
}
#: Names of the files that this module can read.
MIXED = tuple(_READERS)
