"""The program that searches files: JSON on standard input, matching lines on standard output.

The program is run by its path, and imports only the standard library.
"""

import json
import os
import re
import stat
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from itertools import islice
from pathlib import Path

MAX_LINES = 300
_MAX_LINE = 300
_MAX_FILE = 2 * 1024 * 1024
#: Large directories without source files.
_SKIPPED = frozenset((".git", "node_modules", ".venv", "__pycache__", ".mypy_cache"))


def main() -> int:
    request = json.load(sys.stdin)
    try:
        pattern = re.compile(request["pattern"])
    except re.error as error:
        sys.stderr.write(f"not a regular expression: {error}")
        return 2
    files = _files(Path(request["path"]), request["files"])
    lines = (line for file in files for line in _lines(file, pattern, Path(request["root"])))
    matches = list(islice(lines, MAX_LINES + 1))
    note = (
        [f"[more than {MAX_LINES} lines match: use a narrower search]"]
        if len(matches) > MAX_LINES
        else []
    )
    text = "\n".join([*matches[:MAX_LINES], *note])
    sys.stdout.buffer.write(text.encode("utf-8", "replace"))
    return 0


def _files(start: Path, names: str) -> Iterator[Path]:
    # Links are skipped, because they may lead outside of the allowed directory.
    if start.is_file():
        yield start
    for folder, folders, files in os.walk(start):
        folders[:] = sorted(set(folders) - _SKIPPED)
        for name in sorted(files):
            path = Path(folder, name)
            if fnmatch(name, names) and _is_regular(path):
                yield path


def _is_regular(path: Path) -> bool:
    try:
        status = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size <= _MAX_FILE


def _lines(path: Path, pattern: re.Pattern[str], root: Path) -> Iterator[str]:
    try:
        content = path.read_bytes()
    except OSError:
        return
    if b"\0" in content:
        return
    shown = path.relative_to(root) if path.is_relative_to(root) else path
    for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
        if pattern.search(line):
            yield f"{shown}:{number}:{line[:_MAX_LINE]}"


if __name__ == "__main__":
    sys.exit(main())
