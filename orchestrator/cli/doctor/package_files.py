"""Finds packages of ``.venv`` that are not installed, or that lack files.

install.sh runs this file by its path, with the Python of ``.venv``: ``package_files.py LIST...``.
The file imports only the standard library, because any package may be missing.
"""

import os
import re
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

_INFO = ".dist-info"
#: Matches pins (name, version) that hold on every machine. Other pins have a marker after a
#: semicolon.
PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*==\s*([^\s;\\]++)(?!\s*;)", re.MULTILINE)


def incomplete_packages(site: str, pins: str) -> Iterator[str]:
    """Yield the normalized names of packages that cannot work.

    First yield the packages of ``pins`` that are not installed in the directory ``site``. Then
    yield the packages of ``site`` that lack a file. ``pins``: text of a list of requirements.
    """
    entries = os.listdir(site) if os.path.isdir(site) else ()
    installed = sorted(each for each in entries if each.endswith(_INFO))
    names = {info: normalized(info.removesuffix(_INFO).rpartition("-")[0]) for info in installed}
    yield from {normalized(name) for name, _ in PIN.findall(pins)}.difference(names.values())
    yield from (name for info, name in names.items() if any(lost_files(site, info)))


def normalized(name: str) -> str:
    """Return the name of a package in the form that pip compares."""
    return re.sub(r"[-_.]+", "-", name).lower()


def lost_files(site: str, info: str) -> Iterator[str]:
    """Yield the missing modules of one package, by paths in ``site``.

    ``info``: name of the directory with the package's metadata. Only modules of the two top levels
    count, because people remove tests and examples from packages to save space.
    """
    try:
        with open(os.path.join(site, info, "RECORD"), encoding="utf-8") as record:
            paths = [line.rsplit(",", 2)[0] for line in record]
    except FileNotFoundError:  # The package was installed without a list of its files.
        return
    for path in paths:
        is_module = path.endswith((".py", ".so")) and path.count("/") < 2
        if is_module and not os.path.exists(os.path.join(site, path)):
            yield path


def main(lists: list[str]) -> int:
    """Return 1 if a package is missing or lacks files, or if a list cannot be read; otherwise 0.

    ``lists``: paths of lists of requirements.
    """
    site = sysconfig.get_path("purelib")
    try:
        texts = [Path(each).read_text("utf-8") for each in lists]
        return int(any(incomplete_packages(site, "\n".join(texts))))
    except OSError:
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
