"""Derives a Python environment for a worktree from the environment of the user's checkout.

The derived environment has its own ``site-packages``, so that no program writes into the user's
environment. Python in the derived environment also finds the user's packages. Links to the
checkout's sources (editable installs) are changed, so that they lead to the same paths in the
worktree.
"""

import os
import re
import shutil
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import quote

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.text.path_patterns import within
from orchestrator.security.files.untrusted_files import read_regular

CONFIGURATION = "pyvenv.cfg"
#: Maximum size of scripts and lists of paths, in bytes. A larger file counts as a binary program.
_MOST_BYTES = 1 << 20
#: Names of two lists of paths (``.pth`` files). Python reads all such lists in the order of their
#: names, so it reads ``_PACKAGES`` first, and ``_ADDED`` last.
_PACKAGES, _ADDED = "00-packages-of-the-checkout.pth", "zz-packages-of-the-worktree.pth"
_EDITABLE = ("__editable__", "_editable_", "__editables_")
#: Maximum length of a script's interpreter line that all systems can read.
_LONGEST_SHEBANG = 120


@dataclass(frozen=True, slots=True)
class PathMove:
    before: str
    after: str

    def of(self, path: str) -> str:
        """Return the path after the move of ``before`` to ``after``.

        A path that is neither ``before`` nor below ``before`` is returned unchanged.
        """
        if within(path, self.before):
            return self.after + path[len(self.before) :]
        return path

    def text(self, content: bytes) -> bytes:
        plain, in_address = (self.before, self.after), (quote(self.before), quote(self.after))
        for before, after in {tuple(map(os.fsencode, each)) for each in (plain, in_address)}:
            ends = rb"(?=[/\n\r'\":;]|$)"
            content = re.sub(re.escape(before) + ends, after.replace(b"\\", rb"\\"), content)
        return content


def is_environment(directory: str) -> bool:
    return os.path.isfile(f"{directory}/{CONFIGURATION}") and os.path.isdir(f"{directory}/bin")


def derive(source: str, target: str, sources: PathMove, added: Sequence[str] = ()) -> None:
    """Create the environment ``target``, which must not exist, from the environment ``source``.

    ``sources`` maps the checkout's files to their paths in the worktree. ``added``: directories
    with packages that ``source`` lacks. Raise OSError if a file cannot be read or written.
    """
    os.makedirs(f"{target}/bin", mode=0o700)
    Path(target, ".gitignore").write_text("*\n")
    for packages in _site_packages(source):
        place = f"{target}/{os.path.relpath(packages, source)}"
        os.makedirs(place)
        _derive_packages(packages, place, source, sources)
        _write_lines(f"{place}/{_PACKAGES}", [packages])
        if added:
            _write_lines(f"{place}/{_ADDED}", added)
    for name in ("share", "etc"):
        if os.path.isdir(f"{source}/{name}"):
            os.symlink(f"{source}/{name}", f"{target}/{name}")
    if not os.path.lexists(f"{target}/lib64") and os.path.islink(f"{source}/lib64"):
        os.symlink("lib", f"{target}/lib64")
    for entry in list(os.scandir(f"{source}/bin")):
        _derive_program(entry.path, f"{target}/bin/{entry.name}", PathMove(source, target))
    # Copy this file last, because a directory without it is no environment.
    shutil.copyfile(f"{source}/{CONFIGURATION}", f"{target}/{CONFIGURATION}")


def leads_to(directory: str, sources: PathMove) -> bool:
    """True if the environment ``directory`` contains a link to the checkout's sources."""
    return any(_has_link(packages, directory, sources) for packages in _site_packages(directory))


def _has_link(packages: str, source: str, sources: PathMove) -> bool:
    for entry in list(os.scandir(packages)):
        if entry.is_symlink():
            real = os.path.realpath(entry.path)
            if sources.of(real) != real and not within(real, source):
                return True
        elif entry.name.endswith((".pth", ".egg-link")) or entry.name.startswith(_EDITABLE):
            text = read_regular(entry.path, _MOST_BYTES) or b""
            if sources.text(text) != text:
                return True
    return False


def packages_of(directory: str) -> list[str]:
    return list(_site_packages(directory))


def _site_packages(directory: str) -> Iterator[str]:
    for packages in Path(directory, "lib").glob("python*/site-packages"):
        if packages.is_dir():
            yield str(packages)


def _derive_program(source: str, target: str, move: PathMove) -> None:
    if os.path.islink(source):
        os.symlink(move.of(os.readlink(source)), target)
        return
    status = os.lstat(source)
    if not stat.S_ISREG(status.st_mode):
        return
    script = None if status.st_size > _MOST_BYTES else read_regular(source, _MOST_BYTES)
    if script is None or b"\0" in script or os.fsencode(move.before) not in script:
        os.symlink(source, target)
        return
    descriptor = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, status.st_mode & 0o777)
    with open(descriptor, "wb") as file:
        file.write(_with_shebang(move.text(script)))


def _with_shebang(script: bytes) -> bytes:
    """Return a script whose ``#!`` line the system can run.

    If the interpreter's path is too long, a shell starts the script, as in scripts of pip.
    """
    first, _, rest = script.partition(b"\n")
    if not first.startswith(b"#!/") or len(first) <= _LONGEST_SHEBANG:
        return script
    return b"#!/bin/sh\n'''exec' \"" + first[2:].strip() + b'" "$0" "$@"\n\' \'\'\'\n' + rest


# -- packages --------------------------------------------------------------------------------------


def _derive_packages(packages: str, place: str, source: str, sources: PathMove) -> None:
    for entry in list(os.scandir(packages)):
        to = f"{place}/{entry.name}"
        if entry.name.endswith(".pth"):
            _derive_list(entry.path, to, source, sources)
        elif entry.is_symlink():
            real = os.path.realpath(entry.path)
            if sources.of(real) != real and not within(real, source):
                os.symlink(sources.of(real), to)
        elif entry.name.endswith(".egg-link") or entry.name.startswith(_EDITABLE):
            _copy_text(entry.path, to, sources)
        elif entry.name.endswith(".dist-info") and _is_installed_from(entry.path, sources):
            shutil.copytree(entry.path, to)
            _copy_text(f"{entry.path}/direct_url.json", f"{to}/direct_url.json", sources)


def _derive_list(listed: str, to: str, source: str, sources: PathMove) -> None:
    """Copy a ``.pth`` file. Paths of the project's sources become paths in the worktree.

    Lines of code in the file are copied, too, with the modules that they import.
    """
    if listed.endswith("-nspkg.pth"):  # Python finds namespace packages even without this file.
        return
    lines = []
    for line in (read_regular(listed, _MOST_BYTES) or b"").splitlines():
        text = os.fsdecode(line.strip())
        if text.startswith(("import ", "import\t")):
            lines.append(sources.text(line))
            _copy_modules(text, os.path.dirname(listed), os.path.dirname(to), sources)
        elif text and not text.startswith("#"):
            path = os.path.normpath(os.path.join(os.path.dirname(listed), text))
            lines.append(os.fsencode(path if within(path, source) else sources.of(path)))
    if lines:
        Path(to).write_bytes(b"\n".join(lines) + b"\n")


def _copy_modules(line: str, packages: str, place: str, sources: PathMove) -> None:
    for name in re.findall(r"import\s+([\w.]+)", line):
        module = f"{packages}/{name}.py"
        text = read_regular(module, _MOST_BYTES) or b""
        if os.fsencode(sources.before) in text:
            _copy_text(module, f"{place}/{name}.py", sources)


def _copy_text(path: str, to: str, sources: PathMove) -> None:
    text = read_regular(path, _MOST_BYTES)
    if text is not None:
        Path(to).write_bytes(sources.text(text))


def _is_installed_from(distribution: str, sources: PathMove) -> bool:
    url = read_regular(f"{distribution}/direct_url.json", _MOST_BYTES) or b""
    return os.fsencode(quote(sources.before)) in url


def _write_lines(path: str, paths: Sequence[str]) -> None:
    Path(path).write_bytes(b"".join(os.fsencode(each) + b"\n" for each in paths))
