"""Histories of real projects, created from the source archives of their releases."""

import difflib
import io
import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from tests.support.project import Project

#: Folder with a directory of ``<name>-<version>.tar.gz`` files for each project.
FOLDER = os.environ.get("ORCHESTRATOR_TEST_RELEASES", "")
_VERSION = re.compile(r"-(\d+(?:\.\d+)*)\.tar\.gz$")

#: Content of files by path; None: the file does not exist.
Part = Mapping[str, bytes | None]


def projects() -> list[str]:
    return sorted(each.name for each in Path(FOLDER).iterdir() if each.is_dir()) if FOLDER else []


def archives(name: str) -> list[tuple[str, Path]]:
    """Return pairs of version and archive, in the order of versions."""
    found = [(_VERSION.search(each.name), each) for each in Path(FOLDER, name).glob("*.tar.gz")]
    known = [(match[1], path) for match, path in found if match]
    return sorted(known, key=lambda pair: [int(number) for number in pair[0].split(".")])


def history(name: str, to: Path) -> tuple[Project, list[str]]:
    """Create a repository with a commit and a tag for each release. Return it and the versions.

    The last release is checked out.
    """
    project = Project(to)
    project.git("init", "-q", "-b", "main")
    versions = []
    for version, archive in archives(name):
        for path in to.iterdir():
            if path.name != ".git":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        _extract(archive, to)
        project.git("add", "--all", "--force", ".")
        project.git("commit", "-q", "-m", f"release {version}")
        project.git("tag", version)
        versions.append(version)
    return project, versions


def _extract(archive: Path, to: Path) -> None:
    command = ["tar", "-xf", str(archive), "--strip-components=1", "-C", str(to)]
    left_out = ["--exclude=PKG-INFO", "--exclude=*.egg-info"]
    subprocess.run([*command, *left_out], check=True)


def changed(project: Project, before: str, after: str) -> dict[str, bytes | None]:
    """Return the files that differ between two releases, with their content in ``after``."""
    names = project.git("diff", "--name-only", "--no-renames", "-z", before, after)
    return contents(project, after, names.split("\0")[:-1])


def contents(project: Project, revision: str, paths: Iterable[str]) -> dict[str, bytes | None]:
    """Return the content of files in a commit, by path; None for missing files."""
    names = list(paths)
    names_of_blobs = "".join(f"{revision}:{path}\n" for path in names).encode()
    batch = ["git", "cat-file", "--batch"]
    ran = subprocess.run(
        batch, cwd=project.path, input=names_of_blobs, capture_output=True, check=True
    )
    found: dict[str, bytes | None] = {}
    stream = io.BytesIO(ran.stdout)
    for name in names:
        about = stream.readline().split()
        size = int(about[-1]) if about[-1] != b"missing" else None
        found[name] = None if size is None else stream.read(size + 1)[:-1]
    return found


def shares(parts: Part, count: int) -> list[dict[str, bytes | None]]:
    """Divide the files among ``count`` workers."""
    names = sorted(parts)
    return [{name: parts[name] for name in names[number::count]} for number in range(count)]


def halves(old: bytes, new: bytes) -> tuple[bytes, bytes] | None:
    """Return two versions of ``old``, each with half of the hunks of ``new``.

    Return None if there are fewer than two hunks.
    """
    before, after = old.splitlines(keepends=True), new.splitlines(keepends=True)
    steps = difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    hunks = [step for step in steps if step[0] != "equal"]
    if len(hunks) < 2:
        return None
    first, second = (b"".join(_with(before, after, steps, hunks[n::2])) for n in (0, 1))
    return first, second


def _with(
    before: Sequence[bytes],
    after: Sequence[bytes],
    steps: Sequence[tuple[str, int, int, int, int]],
    taken: Sequence[tuple[str, int, int, int, int]],
) -> Iterator[bytes]:
    for step in steps:
        _, old, old_end, new, new_end = step
        yield from after[new:new_end] if step in taken else before[old:old_end]


def branch(project: Project, start: str, part: Part, name: str, release: str) -> str:
    """Create a branch from ``start`` with these files of a release, outside the checkout.

    Return its commit.
    """
    work = project.path.parent / "tree"
    index = project.path.parent / "index"
    index.unlink(missing_ok=True)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    inside = Side(work, project.path / ".git", index)
    inside.git("read-tree", start)
    for path, data in part.items():
        if data is None:
            inside.git("rm", "-q", "--cached", "--", path)
        else:
            place = work / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
    there = [path for path, data in part.items() if data is not None]
    if there:
        inside.git("add", "--force", "--", *there)
    listed = project.git("ls-tree", "-r", "-z", release).split("\0")
    programs = {each.partition("\t")[2] for each in listed if each.startswith("100755")}
    for path in programs & set(there):
        inside.git("update-index", "--chmod=+x", "--", path)
    tree = inside.git("write-tree")
    commit = project.git("commit-tree", "-p", start, "-m", name, tree)
    project.git("branch", "-f", name, commit)
    return commit


class Side(Project):
    """A repository whose files and index are in another directory."""

    def __init__(self, path: Path, repository: Path, index: Path) -> None:
        super().__init__(path)
        self._place = ("--git-dir", str(repository), "--work-tree", str(path))
        self._index = str(index)

    def git(self, *arguments: str, check: bool = True) -> str:
        os.environ["GIT_INDEX_FILE"] = self._index
        try:
            return super().git("-c", "core.autocrlf=false", *self._place, *arguments, check=check)
        finally:
            del os.environ["GIT_INDEX_FILE"]
