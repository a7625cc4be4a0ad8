"""Python's virtual environments name the place where they were made: a copy is told its own."""

import glob
import os
import re
from collections.abc import Iterator

#: Scripts and lists of paths are small; what is larger is a program.
_MOST_BYTES = 1 << 20
_NAMES = ("bin/*", *(f"lib*/python*/site-packages/{each}" for each in ("*.pth", "*.egg-link")))
_EDITABLE = "lib*/python*/site-packages/__editable__*"


def relocate(directory: str, before: str, after: str) -> None:
    """In a copied environment: paths below ``before`` are below ``after`` from now on.

    Else its scripts would run the user's environment, and install into it.
    """
    if os.path.islink(directory) or not os.path.isfile(os.path.join(directory, "pyvenv.cfg")):
        return
    if any(os.path.islink(each.path) for each in os.scandir(directory) if each.name == "bin"):
        return
    path = re.compile(re.escape(os.fsencode(before)) + rb"(?=[/\n\r'\":;]|$)")
    for name in _texts(directory):
        with open(name, "r+b") as file:
            text = file.read()
            changed = path.sub(lambda _: os.fsencode(after), text)
            if changed != text and b"\0" not in text:
                file.seek(0)
                file.write(changed)
                file.truncate()


def _texts(directory: str) -> Iterator[str]:
    for pattern in (*_NAMES, _EDITABLE):
        for name in glob.glob(f"{glob.escape(directory)}/{pattern}"):
            regular = os.path.isfile(name) and not os.path.islink(name)
            if regular and os.path.getsize(name) <= _MOST_BYTES:
                yield name
