"""The dashboard's files.

A file's address changes with its content, so that browsers can cache it.
"""

import hashlib
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

STATIC = Path(__file__).parents[1] / "static"
PREFIX = "/static/v/"
FOLDERS = ("app", "styles", "vendor")
#: One month, because a new version of a file has another address.
KEPT_SECONDS = 30 * 24 * 3600
#: Modules of every page, and modules of a job's page.
ENTRIES = ("app/main.js",)
JOB_ENTRIES = ("app/pages/job.js", "app/job/graph.js", "app/job/table.js")

_IMPORT = re.compile(r'^(?:import|export) [^;]*?from "(\.[^"]+)"|^import "(\.[^"]+)"', re.M)
_DIGITS = 12


def version() -> str:
    """Return the version of the dashboard: a hash of its files' paths, times, and sizes."""
    digest = hashlib.sha256()
    for path in _files():
        status = path.stat()
        digest.update(f"{path} {status.st_mtime_ns} {status.st_size}\n".encode())
    return digest.hexdigest()[:_DIGITS]


def page(version: str, is_job: bool) -> str:
    """Return the dashboard's page, in which the address of each file contains ``version``.

    The page lists all modules, so that a browser loads them in parallel.
    """
    return _page(version, JOB_ENTRIES if is_job else ())


@lru_cache(maxsize=8)
def _page(version: str, more: tuple[str, ...]) -> str:
    text = (STATIC / "index.html").read_text("utf-8").replace('"/static/', f'"{PREFIX}{version}/')
    modules = sorted(_imported((*ENTRIES, *more)))
    links = (
        f'<link rel="modulepreload" href="{PREFIX}{version}/{module}">\n' for module in modules
    )
    return text.replace("</head>", "".join(links) + "</head>")


def _imported(entries: tuple[str, ...]) -> set[str]:
    found: set[str] = set()
    left = list(entries)
    while left:
        module = left.pop()
        if module not in found:
            found.add(module)
            left.extend(_imports(STATIC / module))
    return found


def _imports(path: Path) -> Iterator[str]:
    for found in _IMPORT.finditer(path.read_text("utf-8")):
        target = (path.parent / (found[1] or found[2])).resolve()
        yield target.relative_to(STATIC.resolve()).as_posix()


def _files() -> list[Path]:
    folders = (STATIC / name for name in FOLDERS)
    inside = (path for folder in folders for path in folder.rglob("*") if path.is_file())
    return sorted([*inside, *STATIC.glob("*.*")])
