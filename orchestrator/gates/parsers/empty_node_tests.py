"""Recognizes test files that test nothing, which ``node --test`` reports as passed tests.

``node --test`` runs each test file. If the file calls no function of ``node:test``, the whole file
counts as one passed test, whose name is the file's path. Such a file may contain assertions. But a
file without any code, apart from imports of Node's own modules, tests nothing.
"""

import os
import re

from orchestrator.gates.parsers.report_json import relative
from orchestrator.security.files.untrusted_files import read_regular

#: Maximum bytes of a test file that are read. A larger file counts as a file that tests something.
_MOST_BYTES = 1 << 12
_FILE = re.compile(r".*\.[cm]?[jt]s")
_NODE_MODULE = r"['\"](?:node:[\w/]+|assert(?:/strict)?|fs|path)['\"]"
#: Matches text of a test file that tests nothing: comments, and imports of Node's own modules.
_NO_CODE = re.compile(
    r"/\*.*?\*/|//[^\n]*|['\"]use strict['\"]|;"
    rf"|\bimport\b[^;\n]*?{_NODE_MODULE}"
    rf"|\b(?:const|let|var)\b[^;=\n]*=\s*require\(\s*{_NODE_MODULE}\s*\)(?:\.\w+)*",
    re.DOTALL,
)
#: Matches a passed test whose name is a path, in the output formats ``spec`` and ``tap``.
_PASSED = re.compile(r"^(?:✔|ok \d+ -) (\S.*?\.[cm]?[jt]s)(?: \([\d.]+ms\))?$", re.MULTILINE)


def is_empty(test: str, cwd: str) -> bool:
    """True if the name of a passed test is the path of a test file that tests nothing.

    ``cwd``: the directory in which the tests ran.
    """
    path = relative(test, cwd)
    if not _FILE.fullmatch(path) or os.path.isabs(path):
        return False
    content = read_regular(os.path.join(cwd, path), _MOST_BYTES, within=cwd)
    if content is None or len(content) == _MOST_BYTES:
        return False
    return not _NO_CODE.sub("", content.decode("utf-8", "replace")).strip()


def count_empty(printed: str, cwd: str) -> int:
    """Return the number of passed tests in ``printed`` that are test files that test nothing."""
    names = {match[1] for match in _PASSED.finditer(printed)}
    return sum(is_empty(name, cwd) for name in names)
