"""Saves the ignored files of a worktree as a separate commit, and restores them."""

import filecmp
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import field
from pathlib import Path

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.delivered_work import is_delivered
from orchestrator.core.repository.repository import Signature
from orchestrator.core.text.path_patterns import within
from orchestrator.git.command.private_index import private_index
from orchestrator.git.command.runner import Git, with_nul
from orchestrator.git.commits.commit_creation import commit_tree
from orchestrator.git.environments import copied_files

#: Maximum size of a saved directory or file, in bytes. A larger directory or file is neither saved
#: nor rolled back.
MOST_BYTES = 64 * 1024 * 1024
#: Maximum number of files in a saved directory.
MOST_FILES = 5_000
#: Maximum size of all saved files together, in bytes.
MOST_BYTES_IN_ALL = 256 * 1024 * 1024
#: Maximum number of all saved files together.
MOST_FILES_IN_ALL = 20_000
_NOTE = "Orchestrator-Ignored: "


@dataclass(slots=True)
class Ignored:
    """The ignored files of a worktree. Paths are relative to the worktree."""

    #: Files that are saved.
    files: list[str] = field(default_factory=list)
    size: int = 0
    #: Files and directories that are not saved, with the reason. A key is a path without a trailing
    #: slash.
    not_kept: dict[str, str] = field(default_factory=dict)
    #: Files that equal the files at the same paths in the user's checkout. The commit does not need
    #: their content.
    shared: list[str] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        return not (self.files or self.not_kept or self.shared)


def save(git: Git, top: str, message: str, signature: Signature) -> str:
    """Save the worktree's ignored files in a commit. Return the commit; "" if no file is ignored.

    ``top``: directory of the user's checkout.
    """
    ignored = find_ignored(git, top)
    if ignored.is_empty:
        return ""
    note = json.dumps({"not_kept": ignored.not_kept, "shared": ignored.shared})
    with private_index() as env:
        git.run("update-index", "--add", "-z", "--stdin", stdin=with_nul(ignored.files), env=env)
        tree = git.run("write-tree", env=env).text
    return commit_tree(git, tree, [], f"{message}\n\n{_NOTE}{note}\n", signature)


def find_ignored(git: Git, top: str) -> Ignored:
    """Find the ignored files of a worktree. ``top``: directory of the user's checkout."""
    ignored, carried = Ignored(), _copied_paths(git)
    options = ("--others", "--ignored", "--exclude-standard", "--directory", "-z")
    for entry in git.run("ls-files", *options).fields:
        name = entry.rstrip("/")
        if name in carried and os.path.isdir(os.path.join(git.directory, name)):
            ignored.not_kept[name] = "copied from your checkout"
        else:
            _add_entry(ignored, git.directory, name, top)
    return ignored


def matching(git: Git, prefix: str, promised: Sequence[str]) -> list[str]:
    """Return the ignored files below ``prefix`` that match a path or pattern of ``promised``.

    The patterns and the returned paths are relative to ``prefix``.
    """
    options = ("--others", "--ignored", "--exclude-standard", "-z", "--")
    plain = not any(set(each) & set("*?[") for each in promised)
    pathspecs = [os.path.normpath(os.path.join(prefix, each)) for each in promised] if plain else ()
    carried = _copied_paths(git)
    ignored = git.run("ls-files", *options, *pathspecs).fields
    own = (each for each in ignored if not any(within(each, top) for top in carried))
    paths = [os.path.relpath(each, prefix or ".") for each in own]
    return [path for path in paths if any(is_delivered(each, [path]) for each in promised)]


def _copied_paths(git: Git) -> frozenset[str]:
    return frozenset(copied_files.copied_paths(Path(git.env["GIT_DIR"])))


def _add_entry(ignored: Ignored, directory: str, entry: str, top: str) -> None:
    files: list[str] = []
    size = 0
    for path, file_size in _sized_files(directory, entry):
        if file_size < 0:
            ignored.not_kept[entry] = "nested repository"
            return
        files.append(path)
        size += file_size
        if _too_much(ignored, len(files), size):
            ignored.not_kept[entry] = "too large"
            return
    if len(files) == 1 and _is_shared(f"{directory}/{entry}", f"{top}/{entry}"):
        ignored.shared.append(entry)
        return
    ignored.files += files
    ignored.size += size


def _too_much(ignored: Ignored, files: int, size: int) -> bool:
    in_all = len(ignored.files) + files > MOST_FILES_IN_ALL
    in_all = in_all or ignored.size + size > MOST_BYTES_IN_ALL
    return in_all or files > MOST_FILES or size > MOST_BYTES


def _sized_files(directory: str, entry: str) -> Iterator[tuple[str, int]]:
    """Yield the files and links at a path, each with its size in bytes.

    For a nested repository, also yield the repository's directory, with -1 in place of a size.
    Pipes and devices are omitted.
    """
    place = os.path.join(directory, entry)
    if os.path.islink(place) or not os.path.isdir(place):
        yield from _sized_file(directory, entry)
        return
    for parent, names, files in os.walk(place):
        if ".git" in names or ".git" in files:
            yield os.path.relpath(parent, directory), -1
        links = [name for name in names if os.path.islink(os.path.join(parent, name))]
        for name in (*files, *links):
            yield from _sized_file(
                directory, os.path.relpath(os.path.join(parent, name), directory)
            )


def _sized_file(directory: str, path: str) -> Iterator[tuple[str, int]]:
    place = os.path.join(directory, path)
    with suppress(OSError):
        if os.path.islink(place) or os.path.isfile(place):
            yield path, os.lstat(place).st_size


def _is_shared(own: str, users: str) -> bool:
    with suppress(OSError):
        return not os.path.islink(own) and filecmp.cmp(own, users, shallow=False)
    return False


def note_of(git: Git, commit: str) -> Mapping[str, object]:
    """Return the note that ``save`` wrote into its commit; empty if the commit has none.

    The note has the fields ``not_kept`` and ``shared`` of ``Ignored``.
    """
    lines = os.fsdecode(git.run("cat-file", "commit", commit).out).split("\n")
    text = next((each for each in lines if each.startswith(_NOTE)), "")
    note: object = json.loads(text.removeprefix(_NOTE) or "{}")
    return note if isinstance(note, dict) else {}


def restore(git: Git, top: str, commit: str) -> None:
    """Restore the files of a commit that ``save`` created. Idempotent.

    Existing files are overwritten. The commit does not contain the files in ``Ignored.shared``:
    such a file is copied from the user's checkout, and only if it is missing in the worktree.
    """
    with private_index() as env:
        git.run("read-tree", commit, env=env)
        git.run("checkout-index", "--all", "--force", env=env)
    shared = note_of(git, commit).get("shared", ())
    for path in shared if isinstance(shared, list) else ():
        users, own = Path(top, path), Path(git.directory, path)
        if not os.path.lexists(own) and users.is_file():
            own.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(users, own)


def clear(git: Git, excluded: Mapping[str, str]) -> None:
    """Remove all untracked files, including ignored files, except the paths in ``excluded``."""
    for entry in git.run("ls-files", "--others", "--directory", "-z").fields:
        _remove(os.path.join(git.directory, entry.rstrip("/")), git.directory, excluded)


def _remove(path: str, directory: str, excluded: Mapping[str, str]) -> None:
    name = os.path.relpath(path, directory)
    if name in excluded:
        return
    if os.path.islink(path) or not os.path.isdir(path):
        with suppress(FileNotFoundError):
            os.unlink(path)
    elif any(each.startswith(f"{name}/") for each in excluded):
        for child in os.listdir(path):
            _remove(os.path.join(path, child), directory, excluded)
    else:
        shutil.rmtree(path)
