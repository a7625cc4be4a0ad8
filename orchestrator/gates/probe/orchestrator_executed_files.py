"""Reports which Python files of the project were executed by a gate's Python process.

This module runs in the project's own Python, of any version. It uses only the standard library.
"""

import atexit
import os
import sys

# Import the functions by name, because the project's tests may replace attributes of ``os``.
from os import O_APPEND, O_CREAT, O_WRONLY, close, fstat, getcwd, open, write
from os.path import join, realpath

_FOREIGN = ("site-packages", "dist-packages", "node_modules")
#: Maximum size of the file that all Python processes of a gate write. Further paths are not
#: reported.
_MOST_BYTES = 1 << 24


def begin() -> None:
    """Append the path of each Python file that is executed from now on to the gate's report file.

    Only files of the worktree or of the user's checkout are recorded. A path is appended as soon as
    the file is executed, because Python may end with ``os._exit``. Exception: the path of a file
    that was imported through a link is appended at Python's exit.
    """
    names = ("SOURCES", "WORKTREE", "CHECKOUT", "LEFT_OUT")
    variables = [os.environ.get("ORCHESTRATOR_GATE_" + name, "") for name in names]
    if not all(variables[:3]):
        return
    target, worktree, checkout, left_out = variables
    excluded = [*left_out.split(os.pathsep), sys.prefix, sys.base_prefix]
    report = _Report(target, [worktree, realpath(worktree)], checkout, excluded)
    if hasattr(sys, "addaudithook"):
        sys.addaudithook(report.on_audit_event)
    atexit.register(report.end)


class _Report:
    def __init__(
        self, target: str, worktrees: "list[str]", checkout: str, excluded: "list[str]"
    ) -> None:
        self._target = target
        self._worktrees = _beginnings(worktrees)
        self._own = (*self._worktrees, *_beginnings([checkout]))
        self._excluded = _beginnings(excluded)
        self._seen = set()  # type: set[str]

    def on_audit_event(self, event: str, arguments: "tuple[object, ...]") -> None:
        if event != "exec":
            return
        # An exception here would appear in the project's own code.
        try:
            self._note(str(getattr(arguments[0], "co_filename", "")))
        except Exception:
            return

    def end(self) -> None:
        for module in list(sys.modules.values()):
            path = getattr(module, "__file__", None)
            if isinstance(path, str):
                self._note(realpath(path))

    def _note(self, path: str) -> None:
        if path in self._seen:
            return
        self._seen.add(path)
        if path[:1] not in ("<", "/", ""):
            path = join(getcwd(), path)
        if path.startswith(self._own) and self._is_source(path):
            self._append(path)

    def _is_source(self, path: str) -> bool:
        if any(part in _FOREIGN for part in path.split("/")):
            return False
        return path.startswith(self._worktrees) or not path.startswith(self._excluded)

    def _append(self, path: str) -> None:
        file = open(self._target, O_WRONLY | O_APPEND | O_CREAT, 0o600)
        try:
            if fstat(file).st_size < _MOST_BYTES:
                write(file, os.fsencode(path + "\n"))
        finally:
            close(file)


def _beginnings(directories: "list[str]") -> "tuple[str, ...]":
    return tuple(each.rstrip("/") + "/" for each in directories if each)
