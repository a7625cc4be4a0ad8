"""Stores the new objects of a commit in a separate directory until the commit's tree is complete.

Held-back files and interrupted commits therefore take no space in the repository. Git uses the same
method for a push.
"""

import errno
import os
import shutil
import tempfile
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from orchestrator.core import failpoints
from orchestrator.core.errors import RepositoryError
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.outcome.shortage_errors import is_shortage
from orchestrator.git.command.runner import Git

#: Prefix of the name of a quarantine directory. The directory is in the worktree's git directory
#: (``.git/worktrees/NAME``), and is removed with the worktree.
PREFIX = "orchestrator-objects-"
#: Quarantine directories of this process. Any other quarantine directory belongs to a server that
#: was killed.
_in_use: set[str] = set()
_opening = threading.Lock()


@dataclass(frozen=True, slots=True)
class Quarantine:
    #: Writes new objects to ``directory``, and also reads the objects of the repository.
    git: Git
    directory: Path

    def drop(self, objects: Collection[str]) -> None:
        """Delete new objects, so that they do not reach the repository.

        A pack is deleted only if it contains no other objects.
        """
        for name in objects:
            (self.directory / name[:2] / name[2:]).unlink(missing_ok=True)
        for index in self.directory.glob("pack/*.idx") if objects else ():
            listed = self.git.run("show-index", stdin=index.read_bytes()).text.splitlines()
            if {line.split(" ")[1] for line in listed} <= {*objects}:
                for part in list(index.parent.glob(f"{index.stem}.*")):
                    part.unlink()


@contextmanager
def opened(git: Git) -> Iterator[Quarantine]:
    """Quarantine the objects that git creates in a worktree.

    At the end of the block, all of these objects move to the repository. If the block raises, none
    of them moves. Raise RepositoryError if this process cannot write to the repository, and OSError
    if the disk is full.
    """
    admin = git.env["GIT_DIR"]
    objects = str(Path(admin).parents[1] / "objects")
    with _writing(), _opening:
        _sweep(admin)
        directory = tempfile.mkdtemp(prefix=PREFIX, dir=admin)
        _in_use.add(directory)
    try:
        new_objects, index = f"{directory}/objects", f"{directory}/index"
        env = {**git.env, **_object_variables(new_objects, objects)}
        with _writing():
            os.mkdir(new_objects)
            if "GIT_INDEX_FILE" not in git.env:
                env["GIT_INDEX_FILE"] = index
                _copy_index(f"{admin}/index", index)
        yield Quarantine(Git(git.directory, env), Path(new_objects))
        failpoints.reached("worktree: objects written")
        with _writing():
            # Replace the index only after the objects have moved. Otherwise the index would name
            # missing objects, and a ``git gc`` of another process would fail, because it reads all
            # indexes.
            _move(new_objects, objects)
            with suppress(FileNotFoundError):
                os.replace(index, f"{admin}/index")
                # If git changed nothing, both names are hard links to the same file. os.replace
                # then does nothing, so remove the private name here.
                os.unlink(index)
    finally:
        # Most quarantine directories are empty now, and removing an empty directory is cheaper than
        # removing a tree.
        with suppress(OSError):
            os.rmdir(new_objects)
            os.rmdir(directory)
        if os.path.lexists(directory):
            shutil.rmtree(directory, ignore_errors=True)
        _in_use.discard(directory)


def _copy_index(index: str, copy: str) -> None:
    # A hard link is enough, because git replaces an index, and never writes into it.
    try:
        os.link(index, copy)
    except FileNotFoundError:
        return
    except OSError:
        shutil.copy2(index, copy)


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if is_shortage(error):
            raise
        raise RepositoryError(
            f"cannot write new objects to the git repository: {error}; check the permissions of "
            "its .git directory"
        ) from error


def _sweep(admin: str) -> None:
    for name in os.listdir(admin):
        path = os.path.join(admin, name)
        if name.startswith(PREFIX) and path not in _in_use:
            shutil.rmtree(path, ignore_errors=True)


def _object_variables(directory: str, objects: str) -> Mapping[str, str]:
    # Quote the path, because a colon in an unquoted path would separate two paths.
    quoted = objects.replace("\\", "\\\\").replace('"', '\\"')
    return {"GIT_OBJECT_DIRECTORY": directory, "GIT_ALTERNATE_OBJECT_DIRECTORIES": f'"{quoted}"'}


def _move(directory: str, objects: str) -> None:
    for name in os.listdir(directory):
        source, target = os.path.join(directory, name), os.path.join(objects, name)
        try:
            os.rename(source, target)
        except OSError:
            # The repository already has a directory with this name, or is on another disk.
            os.makedirs(target, exist_ok=True)
            # Move the index of a pack last, because git uses a pack as soon as its index exists.
            for file in sorted(os.listdir(source), key=lambda name: name.endswith(".idx")):
                _replace(os.path.join(source, file), target, file)
            os.rmdir(source)


def _replace(source: str, directory: str, name: str) -> None:
    target = os.path.join(directory, name)
    try:
        os.replace(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        copy = os.path.join(directory, f"tmp_obj_{name}")
        shutil.copy2(source, copy)
        os.replace(copy, target)
        os.unlink(source)
