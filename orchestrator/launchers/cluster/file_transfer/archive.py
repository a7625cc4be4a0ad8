"""The archive format in which server and node send each other the directories of an attempt.

A record consists of the length of its header (four bytes), the header (a JSON object), and the
content of a file. The last record has the kind ``end``. The machine that sent an archive is not
trusted: if a path or link leads out of its directory, the whole archive is rejected.
"""

import errno
import json
import os
import shutil
import stat
import struct
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from hashlib import sha256
from typing import Any, BinaryIO, TypeVar

from orchestrator.core.errors import LaunchError, RepositoryError
from orchestrator.launchers.cluster.connection.messages import ArchiveFigures
from orchestrator.security.files.tree_removal import remove

#: Maximum size of an archive in bytes, and maximum number of its records.
MOST_BYTES = 4 * 1024**3
MOST_RECORDS = 200_000
_MOST_HEADER = 64 * 1024
_COPY_BYTES = 1024 * 1024
#: A disk with less free space, in bytes, is treated as full.
_FULL_BYTES = 1024 * 1024
_TOO_MANY = (
    f"the worker has more than {MOST_RECORDS} files; change the task so that it deletes files that "
    "are not needed"
)
_LENGTH = struct.Struct(">I")
_FILE, _DIRECTORY, _LINK, _END = "file", "directory", "link", "end"
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OLD = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_Failure = TypeVar("_Failure", bound=Exception)


class UnusableFiles(LaunchError):
    """The files of an attempt cannot be sent, or the received files are not valid."""


def figures_of(path: str) -> ArchiveFigures:
    """Return the size and the digest of a file. Raise OSError if the file cannot be read."""
    digest, size = sha256(), 0
    with open(path, "rb") as file:
        while data := file.read(_COPY_BYTES):
            digest.update(data)
            size += len(data)
    return ArchiveFigures(size, digest.hexdigest())


# Packing


def pack(
    roots: Sequence[str],
    path: str,
    excluded: Collection[str] = (),
    most_bytes: int = MOST_BYTES,
    selection: tuple[str, Sequence[str]] | None = None,
) -> ArchiveFigures:
    """Write the directories ``roots`` into a new archive at ``path``. Return its size and digest.

    Omits the absolute paths ``excluded``, links that lead out of their directory, and special files
    such as pipes. A missing directory is treated as empty.

    ``selection``: a further directory, of which only some files are written, and the relative paths
    of these files. Raise UnusableFiles if the directories are too large. Raise OSError if a file
    cannot be read or written.
    """
    with open(path, "wb", opener=open_private) as file:
        writer = _Writer(file, most_bytes)
        for number, root in enumerate(roots):
            for name, entry in _entries(root, "", frozenset(excluded)):
                writer.add(number, name, entry.path)
        if selection is not None:
            root, names = selection
            for name in _with_parents(names):
                writer.add(len(roots), name, f"{root}/{name}")
        writer.header({"kind": _END})
    return figures_of(path)


def open_private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _entries(
    root: str, prefix: str, excluded: frozenset[str]
) -> Iterator[tuple[str, "os.DirEntry[str]"]]:
    """Yield each entry below ``root``/``prefix``: its path relative to ``root``, and the entry.

    A directory comes before its entries. The absolute paths ``excluded`` are omitted.
    """
    try:
        with os.scandir(f"{root}/{prefix}") as found:
            entries = sorted(found, key=lambda each: each.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in entries:
        name = f"{prefix}{entry.name}"
        if f"{root}/{name}" in excluded:
            continue
        yield name, entry
        if entry.is_dir(follow_symlinks=False):
            yield from _entries(root, f"{name}/", excluded)


def _with_parents(names: Sequence[str]) -> Iterator[str]:
    seen: set[str] = set()
    for name in names:
        for end in (n for n, character in enumerate(name) if character == "/"):
            if name[:end] not in seen:
                seen.add(name[:end])
                yield name[:end]
        yield name


class _Writer:
    def __init__(self, file: BinaryIO, most_bytes: int) -> None:
        self._file, self._most, self._records, self._bytes = file, most_bytes, 0, 0

    def header(self, fields: dict[str, Any], content: int = 0) -> None:
        text = json.dumps(fields).encode("ascii")
        self._records += 1
        self._bytes += _LENGTH.size + len(text) + content
        if self._records > MOST_RECORDS:
            raise UnusableFiles(_TOO_MANY)
        if self._bytes > self._most:
            raise UnusableFiles(
                f"the worker's files have more than {self._most} bytes; change the "
                "task so that it deletes files that are not needed"
            )
        self._file.write(_LENGTH.pack(len(text)) + text)

    def add(self, root: int, name: str, path: str) -> None:
        location = {"root": root, "path": name}
        found = os.lstat(path)
        if stat.S_ISDIR(found.st_mode):
            self.header({"kind": _DIRECTORY, **location, "mode": stat.S_IMODE(found.st_mode)})
        elif stat.S_ISLNK(found.st_mode):
            target = os.readlink(path)
            if _stays_inside(name, target):
                self.header({"kind": _LINK, **location, "to": target})
        elif stat.S_ISREG(found.st_mode):
            self._add_file(location, path)

    def _add_file(self, location: dict[str, Any], path: str) -> None:
        with os.fdopen(os.open(path, _OLD), "rb") as source:
            found = os.fstat(source.fileno())
            about = {"mode": stat.S_IMODE(found.st_mode), "time": found.st_mtime_ns}
            left = found.st_size
            self.header({"kind": _FILE, **location, "size": left, **about}, left)
            while left:
                data = source.read(min(_COPY_BYTES, left))
                if not data:
                    raise UnusableFiles(f"{location['path']} changed while it was read")
                self._file.write(data)
                left -= len(data)


# Unpacking


def unpack(path: str, staging: str, roots: int) -> None:
    """Write the content of an archive below the new directory ``staging``.

    ``roots``: the number of directories in the archive. They get the names 0, 1, 2, and so on.
    Raise UnusableFiles if the archive is not valid. Raise OSError if a file cannot be written.
    """
    os.mkdir(staging, 0o700)
    for number in range(roots):
        os.mkdir(f"{staging}/{number}", 0o700)
    # Links are created last, so that no file is written through a link.
    links: list[tuple[str, str, str]] = []
    try:
        with open(path, "rb") as file:
            for fields in _records(file):
                _unpack_one(file, fields, staging, roots, links)
        for root, name, target in links:
            _make_link(root, name, target)
    except (FileExistsError, NotADirectoryError, FileNotFoundError) as error:
        raise UnusableFiles(f"the archive of files is not valid: {error}") from error
    except KeyError as error:
        raise UnusableFiles(
            f"the archive of files is not valid: an entry has no field {error}"
        ) from error
    except (TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise UnusableFiles(
            f"the archive of files is not valid: an entry cannot be read: {error}"
        ) from error


def _records(file: BinaryIO) -> Iterator[dict[str, Any]]:
    for _ in range(MOST_RECORDS + 1):
        (length,) = _LENGTH.unpack(_exactly(file, _LENGTH.size))
        if length > _MOST_HEADER:
            raise UnusableFiles(
                f"the archive of files is not valid: an entry's header has {length} bytes"
            )
        fields = json.loads(_exactly(file, length))
        if fields["kind"] == _END:
            return
        yield fields
    raise UnusableFiles(_TOO_MANY)


def _exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise UnusableFiles("the archive of files is incomplete")
    return data


def _unpack_one(
    file: BinaryIO,
    fields: dict[str, Any],
    staging: str,
    roots: int,
    links: list[tuple[str, str, str]],
) -> None:
    number, name = fields["root"], fields["path"]
    if type(number) is not int or not 0 <= number < roots or not _is_plain(name):
        raise UnusableFiles(f"the archive of files is not valid: the path {name!r} is not allowed")
    root = f"{staging}/{number}"
    destination = f"{root}/{name}"
    match fields["kind"]:
        case "directory":
            os.mkdir(destination, 0o700)
        case "link":
            if not _stays_inside(name, fields["to"]):
                raise UnusableFiles(
                    f"the archive of files is not valid: the link {name!r} leaves its directory"
                )
            links.append((root, name, fields["to"]))
        case "file":
            _write_file(
                file, destination, int(fields["size"]), int(fields["mode"]), int(fields["time"])
            )
        case kind:
            raise UnusableFiles(
                f"the archive of files is not valid: an entry has the unknown kind {kind!r}"
            )


def _write_file(source: BinaryIO, destination: str, size: int, mode: int, modified_ns: int) -> None:
    with os.fdopen(os.open(destination, _NEW, 0o600), "wb") as target:
        if size < 0:
            raise UnusableFiles("the archive of files is not valid: a file has a negative size")
        while size:
            data = _exactly(source, min(_COPY_BYTES, size))
            target.write(data)
            size -= len(data)
        target.flush()
        os.fchmod(target.fileno(), 0o600 | (mode & 0o777))
        os.utime(target.fileno(), ns=(modified_ns, modified_ns))


def _is_plain(name: object) -> bool:
    if not isinstance(name, str) or "\0" in name:
        return False
    return all(part not in ("", ".", "..") for part in name.split("/"))


def _stays_inside(name: str, target: str) -> bool:
    """True if the link at the relative path ``name`` leads to a path in the same root directory.

    ``target``: the path that the link contains. ``..`` is allowed only at the beginning of
    ``target``. After a name, as in ``a/../b``, ``..`` is not allowed: ``a`` may be another link, so
    that ``a/..`` is an unknown directory.
    """
    if not target or target.startswith("/") or "\0" in target:
        return False
    parts = target.split("/")
    up = next((n for n, part in enumerate(parts) if part != ".."), len(parts))
    return up <= name.count("/") and ".." not in parts[up:]


def _make_link(root: str, name: str, target: str) -> None:
    # Reject a link in a directory that is itself a link: the relative target would start at the
    # target of this directory, and could then leave ``root``.
    parts = name.split("/")[:-1]
    for end in range(1, len(parts) + 1):
        if os.path.islink(f"{root}/{'/'.join(parts[:end])}"):
            raise UnusableFiles(f"the archive of files is not valid: {name!r} is below a link")
    os.symlink(target, f"{root}/{name}")


# Moving unpacked files to their directories


def put(
    staged: str, target: str, keep: Collection[str] = (), *, removes_others: bool = True
) -> None:
    """Move the content of ``staged`` into the directory ``target`` on the same file system.

    The paths ``keep`` stay unchanged. ``removes_others``: True to remove from ``target`` all files
    that ``staged`` does not have. Files are replaced atomically. A file with the same content is
    not replaced, so that its times stay unchanged. Idempotent. Raise OSError if a file cannot be
    moved or removed.
    """
    _make_directory(target)
    kept = frozenset(keep)
    above = frozenset(parent for each in kept for parent in _parents(each))
    names = set()
    with os.scandir(staged) as found:
        entries = list(found)
    for entry in entries:
        names.add(entry.name)
        destination = f"{target}/{entry.name}"
        if destination in kept:
            continue
        if entry.is_dir(follow_symlinks=False):
            put(entry.path, destination, kept, removes_others=removes_others)
        elif destination not in above and not _is_same(entry.path, destination):
            if _is_directory(destination):
                remove(destination)
            os.replace(entry.path, destination)
    for name in set(os.listdir(target)) - names if removes_others else ():
        destination = f"{target}/{name}"
        if destination not in kept and destination not in above:
            remove(destination)


def _parents(path: str) -> Iterator[str]:
    while (parent := os.path.dirname(path)) != path:
        yield parent
        path = parent


def _make_directory(path: str) -> None:
    if os.path.lexists(path) and not _is_directory(path):
        os.unlink(path)
    os.makedirs(path, 0o700, exist_ok=True)


def _is_directory(path: str) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)


def _is_same(first: str, second: str) -> bool:
    try:
        one, other = os.lstat(first), os.lstat(second)
    except OSError:
        return False
    if not (stat.S_ISREG(one.st_mode) and stat.S_ISREG(other.st_mode)):
        return False
    if (one.st_size, one.st_mode) != (other.st_size, other.st_mode):
        return False
    with open(first, "rb") as left, open(second, "rb") as right:
        while data := left.read(_COPY_BYTES):
            if data != right.read(_COPY_BYTES):
                return False
    return True


def as_full_disk(error: _Failure, path: str) -> _Failure | OSError:
    """Return ``error``, or a disk-full error if git failed and the disk of ``path`` is full.

    This is needed because git's own error does not state that the disk is full.
    """
    if isinstance(error, RepositoryError):
        with suppress(OSError):
            if shutil.disk_usage(path).free < _FULL_BYTES:
                return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return error
