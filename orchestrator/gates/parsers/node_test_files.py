"""Recognizes test files that test nothing, which ``node --test`` reports as passed tests.

``node --test`` runs each test file. If the file calls no function of ``node:test``, the whole file
counts as one passed test, whose name is the file's path. Such a file may contain assertions. In two
cases, the file tests nothing:

- The file has no code, apart from imports of Node's own modules.
- The file imports ``node:test``, and has the name of a test file. Then its tests did not begin, for
  example because code that the file imports has called ``process.exit(0)``. Other files may be
  helpers: ``node --test`` runs every file in a directory ``test``.
"""

import os
import re
from collections.abc import Mapping
from enum import Enum, auto

from orchestrator.core.gates.file_kinds import JAVASCRIPT
from orchestrator.gates.parsers.report_json import relative
from orchestrator.security.files.untrusted_files import read_regular

#: Maximum bytes of a test file that are read.
_MOST_BYTES = 1 << 16
#: Maximum number of characters of a test file without code.
_MOST_EMPTY = 1 << 12
_FILE = re.compile(r".*\.[cm]?[jt]s")
_NODE_MODULE = r"['\"](?:node:[\w/]+|assert(?:/strict)?|fs|path)['\"]"
#: Matches text of a test file that tests nothing: comments, and imports of Node's own modules.
_NO_CODE = re.compile(
    r"/\*.*?\*/|//[^\n]*|['\"]use strict['\"]|;"
    rf"|\bimport\b[^;\n]*?{_NODE_MODULE}"
    rf"|\b(?:const|let|var)\b[^;=\n]*=\s*require\(\s*{_NODE_MODULE}\s*\)(?:\.\w+)*",
    re.DOTALL,
)
#: Matches an import of ``node:test``, except an import of ``mock`` only.
_IMPORTS_TESTS = re.compile(r"(?<!\{ mock \} from )(?<!\{ mock \} = require\()['\"]node:test['\"]")
#: Matches a passed test whose name is a path, in the output formats ``spec`` and ``tap``. A file of
#: ``tap`` with tests has lines between these two lines.
_PASSED = re.compile(
    r"^(?:✔ (\S.*?\.[cm]?[jt]s)(?: \([\d.]+ms\))?"
    r"|# Subtest: (\S.*?\.[cm]?[jt]s)\nok \d+ - .*)$",
    re.MULTILINE,
)
#: Why a file of which no test ran counts as a failed test.
ENDED_EARLY = "the test file ended before its tests began"


class Emptiness(Enum):
    """Why no test ran in a test file that is reported as passed."""

    NO_CODE = auto()
    ENDED_EARLY = auto()


def emptiness_of(test: str, cwd: str) -> Emptiness | None:
    """Return why no test ran in a test file; None if the file may have tested something.

    ``test``: name of a passed test. If the name is no path of a file, return None. ``cwd``: the
    directory in which the tests ran.
    """
    path = relative(test, cwd)
    if not _FILE.fullmatch(path) or os.path.isabs(path):
        return None
    content = read_regular(os.path.join(cwd, path), _MOST_BYTES, within=cwd)
    if content is None:
        return None
    text = content.decode("utf-8", "replace")
    if len(text) <= _MOST_EMPTY and not _NO_CODE.sub("", text).strip():
        return Emptiness.NO_CODE
    has_tests = JAVASCRIPT.fullmatch(path) is not None and _IMPORTS_TESTS.search(text) is not None
    return Emptiness.ENDED_EARLY if has_tests else None


def empty_files(printed: str, cwd: str) -> Mapping[str, Emptiness]:
    """Return the test files in which no test ran, although ``printed`` reports them as passed."""
    names = {match[1] or match[2] for match in _PASSED.finditer(printed)}
    found = ((relative(name, cwd), emptiness_of(name, cwd)) for name in sorted(names))
    return {name: emptiness for name, emptiness in found if emptiness}
