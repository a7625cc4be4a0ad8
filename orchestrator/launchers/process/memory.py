"""How much memory a worker's processes use, with what they wrote to shared memory."""

import os
from collections.abc import Iterator, Sequence

from orchestrator.launchers.process import proc

_DIRECTORY = "/dev/shm"
#: How links of /proc/<pid>/fd begin that lead to files in memory.
_IN_MEMORY = (f"{_DIRECTORY}/", "/memfd:")
#: Of a link's mode: the file is open for writing.
_WRITES = 0o200
_BLOCK, _KIB = 512, 1024

#: (device, inode)
File = tuple[int, int]


class Memory:
    """Of one worker. Remembers which files in memory its processes were seen to write."""

    def __init__(self) -> None:
        self._written: set[File] = set()

    def exceeds(self, limit: int, members: Sequence[proc.Process]) -> bool:
        """True if the members use more than ``limit`` bytes."""
        pids = [process.pid for process in members]
        files = self._files(pids)
        held = sum(files.values())
        # Shares are at most what is resident. To know them, the kernel has to walk all pages.
        if held + sum(map(proc.resident_bytes, pids)) <= limit:
            return False
        return held + sum(_share(pid, files) for pid in pids) > limit

    def _files(self, pids: Sequence[int]) -> dict[File, int]:
        """The sizes of the files that were written, as far as the files still exist."""
        found: dict[File, int] = {}
        for pid in pids:
            for file, size, is_written in _open_files(pid):
                found[file] = size
                if is_written:
                    self._written.add(file)
        if pids and not self._written <= found.keys():
            found.update(_linked_files(pids[0]))
        return {file: size for file, size in found.items() if file in self._written}


def _open_files(pid: int) -> Iterator[tuple[File, int, bool]]:
    """(file, bytes, whether it is open for writing) of the files in memory."""
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return
    for name in names:
        path = f"/proc/{pid}/fd/{name}"
        try:
            # No other file is looked at: a lost network drive would not answer.
            if os.readlink(path).startswith(_IN_MEMORY):
                yield *_identity(os.stat(path)), bool(os.lstat(path).st_mode & _WRITES)
        except OSError:
            continue


def _linked_files(pid: int) -> Iterator[tuple[File, int]]:
    """(file, bytes) of what lies in the /dev/shm that a process sees."""
    for place, _, names in os.walk(f"/proc/{pid}/root{_DIRECTORY}"):
        for name in names:
            try:
                yield _identity(os.lstat(f"{place}/{name}"))
            except OSError:
                continue


def _identity(found: os.stat_result) -> tuple[File, int]:
    return (found.st_dev, found.st_ino), found.st_blocks * _BLOCK


def _share(pid: int, files: dict[File, int]) -> int:
    """A process's part, in bytes, of what lies in memory alone, but for these files."""
    proportional = _total(pid, "smaps_rollup", b"Pss_Anon:", b"Pss_Shmem:")
    if not proportional:  # not ours to see
        return _total(pid, "status", b"RssAnon:", b"RssShmem:")
    return proportional - (_mapped(pid, files) if files else 0)


def _total(pid: int, name: str, *fields: bytes) -> int:
    lines = (line.split() for line in proc.read(f"/proc/{pid}/{name}").splitlines())
    return sum(int(words[1]) for words in lines if words and words[0] in fields) * _KIB


def _mapped(pid: int, files: dict[File, int]) -> int:
    """A process's part, in bytes, of these files."""
    total, counts = 0, False
    for line in proc.read(f"/proc/{pid}/smaps").splitlines():
        words = line.split()
        if not words[0].endswith(b":"):
            major, minor = (int(number, 16) for number in words[3].split(b":"))
            counts = (os.makedev(major, minor), int(words[4])) in files
        elif counts and words[0] == b"Pss:":
            total += int(words[1])
        elif counts and words[0] == b"Anonymous:":  # changed pages of a private mapping
            total -= int(words[1])
    return total * _KIB
