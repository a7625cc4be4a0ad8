"""Runs git without the user's interactive settings, and turns failures into exceptions."""

import errno
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from orchestrator.core.errors import RepositoryError
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.text.formatting import one_line
from orchestrator.git.command import fifo_guard, leftover_files
from orchestrator.git.command.commit_cache import RECENT
from orchestrator.git.command.git_process import GitProcess
from orchestrator.git.command.git_sessions import (
    ANSWER_SECONDS,
    CHANGE_SECONDS,
    SESSIONS,
    SessionFailed,
    SharedPart,
    shared_part,
)

#: Seconds to wait for git before each search for a FIFO that blocks git.
PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, 360.0)
#: Timeout of a git command, in seconds. A checkout of a large repository on a slow disk takes less
#: time, so a command that takes longer counts as hung.
LONGEST_SECONDS = sum(PAUSES)
#: Bytes per read of an output that may be long.
PIECE_BYTES = 65536

#: Options that override some of the user's settings: settings that run programs, prompt the user,
#: sign commits, or change output that the product reads. The user's other settings apply, for
#: example to line endings, filters, ignored files, and safe directories.
_OPTIONS = (
    "--no-pager",
    "--literal-pathspecs",
    *("-c", "core.hooksPath=/dev/null"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "core.untrackedCache=false"),
    *("-c", "core.ignoreStat=false"),
    *("-c", "core.safecrlf=false"),
    *("-c", "core.quotePath=false"),
    *("-c", "core.splitIndex=false"),
    *("-c", "advice.detachedHead=false"),
    *("-c", "commit.gpgSign=false"),
    *("-c", "gc.auto=0"),
    *("-c", "maintenance.auto=false"),
    *("-c", "submodule.recurse=false"),
    *("-c", "diff.external="),
    *("-c", "diff.renames=false"),
    *("-c", "merge.renames=true"),
    *("-c", "merge.directoryRenames=true"),
    *("-c", "merge.conflictStyle=merge"),
    # Git LFS writes only files that are stored locally. All other LFS files stay pointers, because
    # no server is called.
    *("-c", "lfs.url=file:///nonexistent"),
    *("-c", "lfs.skipdownloaderrors=true"),
)
#: Options that disable the LFS filter, used if git-lfs is missing. A required filter without its
#: program would make every checkout fail.
_WITHOUT_LFS = (
    *("-c", "filter.lfs.process="),
    *("-c", "filter.lfs.smudge="),
    *("-c", "filter.lfs.clean="),
    *("-c", "filter.lfs.required=false"),
)
_ENVIRONMENT = {
    "LC_ALL": "C",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "true",
    "SSH_ASKPASS": "true",
    "GIT_EDITOR": "true",
    "GIT_SEQUENCE_EDITOR": "true",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
}
#: Variables by which git finds programs, settings, and the local time.
_DECISIVE = ("PATH", "HOME", "XDG_CONFIG_HOME", "TZ")


#: Maximum number of leftover locks that one call removes.
_MOST_LOCKS = 10

#: Option for ``update-ref``: change the ref itself. A worker may have made its own branch a
#: symbolic ref to a branch of the user. Without this option, git would move the user's branch.
ITSELF = ("--no-deref",)
#: Options with which git reads paths from standard input. The paths may be too long for a command
#: line.
FROM_INPUT = ("--pathspec-from-file=-", "--pathspec-file-nul")


def has_lfs() -> bool:
    """True if git-lfs can be run on this machine.

    The answer is cached only until the next second, because a user may install git-lfs while the
    server runs.
    """
    return _has_lfs(os.environ.get("PATH", os.defpath), int(time.monotonic()))


@lru_cache(maxsize=4)
def _has_lfs(search: str, _second: int) -> bool:
    programs = (os.path.join(each, "git-lfs") for each in search.split(os.pathsep))
    # ``shutil.which`` takes three times as long.
    return any(os.access(each, os.X_OK) and os.path.isfile(each) for each in programs)


@dataclass(frozen=True, slots=True)
class GitOutput:
    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        return os.fsdecode(self.out).strip()

    @property
    def line(self) -> str:
        """The output without its final line feed: one path, which may begin or end with spaces."""
        return os.fsdecode(self.out).removesuffix("\n")

    @property
    def fields(self) -> list[str]:
        """The fields of the output. Each field ends with NUL (``-z``)."""
        return os.fsdecode(self.out).split("\0")[:-1]


def with_nul(fields: Iterable[str]) -> bytes:
    """Return the fields as bytes for git's input. Each field ends with NUL (``-z``)."""
    return os.fsencode("".join(f"{each}\0" for each in fields))


@dataclass(frozen=True, slots=True)
class Git:
    """Runs git in ``directory``. The variables ``env`` may select a repository in another place."""

    directory: str
    env: Mapping[str, str]
    #: The umask of ``run`` and ``ask``; None: this process's umask.
    umask: int | None = None

    def run(
        self,
        *arguments: str,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
        accept: Sequence[int] = (0,),
    ) -> GitOutput:
        """Run git. Raise RepositoryError for an exit code that is not in ``accept``.

        If a disk is full, raise OSError instead. ``stdin``: git's input. ``env``: variables in
        addition to those of this object.
        """
        environment = {**self.env, **(env or {})}
        began = time.time()
        answer = self._run_unblocked(arguments, stdin, environment)
        if answer.code and _reports_full_disk(answer):
            self._remove_temporary(environment, began)
        if answer.code not in accept:
            if answer.code == FATAL and self._has_full_disk(environment):
                raise _full_disk_error(arguments[0], answer)
            raise failure(arguments[0], answer)
        return answer

    def _remove_temporary(self, env: Mapping[str, str], since: float) -> None:
        # Git itself does not remove incomplete temporary files.
        objects = Git(self.directory, env).ask("rev-parse", "--git-path", "objects")
        if objects:
            leftover_files.sweep(Path(self.directory, objects), since)

    def _has_full_disk(self, env: Mapping[str, str]) -> bool:
        # Git's own message does not always name a full disk as the cause.
        git_directory = env.get("GIT_DIR") or os.path.join(self.directory, ".git")
        return any(map(_is_full, (self.directory, git_directory)))

    def _run_unblocked(
        self, arguments: Sequence[str], stdin: bytes, env: Mapping[str, str]
    ) -> GitOutput:
        answer, released = self._run_once(arguments, stdin, env)
        if answer.code and released:
            # Repeat the command, because git failed when it read the pipe's empty content.
            answer, _ = self._run_once(arguments, stdin, env)
        for _ in range(_MOST_LOCKS):
            if not answer.code or not leftover_files.remove_leftover_lock(answer.err):
                break
            answer, _ = self._run_once(arguments, stdin, env)
        return answer

    def _run_once(
        self, arguments: Sequence[str], stdin: bytes, env: Mapping[str, str]
    ) -> tuple[GitOutput, bool]:
        """Run git once. Return git's output, and True if a FIFO that blocked git was removed."""
        words = [*_OPTIONS, *([] if has_lfs() else _WITHOUT_LFS), *arguments]
        try:
            environment = _with_inherited(env)
            with GitProcess(self.directory, words, environment, stdin, self.umask) as process:
                released = self._wait(process, env)
        except FileNotFoundError as error:
            raise RepositoryError(
                f"cannot run git in {self.directory}: {error}; check that git is installed, and "
                "that the directory exists"
            ) from error
        if released is None or process.code is None:
            raise RepositoryError(
                f"git {arguments[0]} timed out after {LONGEST_SECONDS:g} s in {self.directory}; "
                "check that the file system answers, and that no git filter waits"
            )
        return GitOutput(process.code, process.out, os.fsdecode(process.errors).strip()), released

    def _wait(self, process: GitProcess, env: Mapping[str, str]) -> bool | None:
        """Wait until the process ends. Return True if a FIFO that blocked git was removed.

        Otherwise, return False. If the process has not ended after LONGEST_SECONDS, return None.
        """
        released = False
        for pause in PAUSES[:-1]:
            if process.communicate(pause):
                return released
            released = fifo_guard.unblock(self.directory, env) or released
        return released if process.communicate(PAUSES[-1]) else None

    def streamed(self, *arguments: str, stdin: bytes = b"") -> Iterator[bytes]:
        """Yield the output while git writes it. Raise RepositoryError if git fails.

        If the caller stops reading early, git is killed.
        """
        with tempfile.TemporaryFile() as source:
            source.write(stdin)
            source.seek(0)
            with subprocess.Popen(
                ["git", *_OPTIONS, *arguments],
                cwd=self.directory,
                env=_with_inherited(self.env),
                stdin=source,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            ) as process:
                assert process.stdout is not None
                try:
                    while piece := process.stdout.read(PIECE_BYTES):
                        yield piece
                except GeneratorExit:
                    process.kill()
                    raise
        if process.returncode:
            raise RepositoryError(
                f"git {arguments[0]} failed in {self.directory}: exit code {process.returncode}"
            )

    def ask(self, *arguments: str) -> str:
        """Run git. Return the output without surrounding white space; "" if git fails.

        Raise RepositoryError if a signal has killed git: git then answered nothing.
        """
        answer = self._run_unblocked(arguments, b"", self.env)
        if answer.code < 0:
            raise failure(arguments[0], answer)
        return answer.text if answer.code == 0 else ""

    def is_ancestor(self, ancestor: str, commit: str) -> bool:
        """True if ``commit`` is ``ancestor``, or has ``ancestor`` in its history.

        False if a commit is missing.
        """
        check = ("merge-base", "--is-ancestor", ancestor, commit)
        return self.run(*check, accept=range(256)).code == 0

    @property
    def has_repository(self) -> bool:
        """True if the directory is in a git repository."""
        return bool(self.ask("rev-parse", "--git-dir"))

    def resolve(self, name: str) -> str:
        """Return the id of the object ``name``, such as ``HEAD^{commit}``; "" if it is missing."""
        return self.resolve_all([name])[0]

    def resolve_all(self, names: Sequence[str]) -> Sequence[str]:
        part = shared_part(self.directory, self.env)
        if part is not None and not any(map(_NO_LINE.search, names)):
            with suppress(SessionFailed):
                return self._resolved(part, [part.session_name(each) for each in names])
        command = ("rev-parse", "--verify", "--quiet", "--end-of-options")
        # The last line is the object id, because some versions of git print the option first.
        return [self.ask(*command, each).split("\n")[-1] for each in names]

    def _resolved(self, part: SharedPart, names: Sequence[str]) -> Sequence[str]:
        commits = [RECENT.commit_of(part, each) for each in names]
        unknown = [name for name, commit in zip(names, commits, strict=True) if commit is None]
        if not unknown:
            return [each or "" for each in commits]
        request = os.fsencode("".join(f"info {each}\n" for each in unknown))
        answers = iter(self._ask_session(part, _READER, request, len(unknown)))
        return [_recorded_id(part, next(answers)) if each is None else each for each in commits]

    def update_refs(self, refs: Mapping[str, str], *, new: bool = False) -> None:
        """Set each ref to its commit; delete a ref whose commit is "". All refs change, or none.

        ``new``: True if none of the refs exists yet. Raise RepositoryError if git rejects a change,
        and OSError if the disk is full.
        """
        action = "create" if new else "update"
        changes = [
            f"{action} {name} {commit}\n" if commit else f"delete {name}\n"
            for name, commit in refs.items()
        ]
        part = shared_part(self.directory, self.env)
        if part is not None and not any(name.startswith("HEAD") for name in refs):
            request = "".join(("start\n", *changes, "commit\n")).encode()
            with suppress(SessionFailed):
                answers = self._ask_session(part, _WRITER, request, len(_COMMITTED), CHANGE_SECONDS)
                if answers == _COMMITTED:
                    return
        self.run(*_WRITER, stdin="".join(changes).encode())

    def store_commit(self, content: bytes) -> str:
        """Store a commit without a new process. Return the commit's id; "" if that fails.

        ``content``: the commit as git stores it, without the header of the object.
        """
        part = shared_part(self.directory, self.env)
        if part is None:
            return ""
        with tempfile.NamedTemporaryFile(prefix="orchestrator-commit-") as file:
            file.write(content)
            file.flush()
            with suppress(SessionFailed):
                request = os.fsencode(f"{file.name}\n")
                (answer,) = self._ask_session(part, _HASHER, request, 1, CHANGE_SECONDS)
                if _OBJECT_ID.fullmatch(answer):
                    RECENT.note(part, answer.decode("ascii"))
                    return answer.decode("ascii")
        return ""

    def _ask_session(
        self,
        part: SharedPart,
        command: Sequence[str],
        request: bytes,
        lines: int,
        seconds: float = ANSWER_SECONDS,
    ) -> Sequence[bytes]:
        # Every session runs in the common directory, because no index and no setting for files
        # affects how refs are read.
        env = {"GIT_DIR": part.common}
        words = ["git", *_OPTIONS, *command]
        return SESSIONS.ask(part, words, lambda: _with_inherited(env), request, lines, seconds)


_READER = ("cat-file", "--batch-command")
_WRITER = ("update-ref", *ITSELF, "-m", "orchestrator", "--stdin")
#: Command that reads paths of files. It checks each file's content, and stores the content as a
#: commit.
_HASHER = ("hash-object", "-t", "commit", "-w", "--stdin-paths")
_OBJECT_ID = re.compile(rb"[0-9a-f]{40}|[0-9a-f]{64}")
#: Answers to a transaction that has changed all its refs.
_COMMITTED = [b"start: ok", b"commit: ok"]
#: Matches names that cannot be one line of a request.
_NO_LINE = re.compile(r"[\n\r\0]|^$")
_TYPES = (b"commit", b"tree", b"blob", b"tag")


def _recorded_id(part: SharedPart, answer: bytes) -> str:
    """Return the object id in git's answer ``ID TYPE SIZE``; "" if the object is missing.

    If the object is a commit, record it as a recent commit.
    """
    words = answer.split(b" ")
    if len(words) != 3 or words[1] not in _TYPES or not words[2].isdigit():
        return ""
    object_id = words[0].decode("ascii")
    if words[1] == b"commit":
        RECENT.note(part, object_id)
    return object_id


def _with_inherited(env: Mapping[str, str]) -> Mapping[str, str]:
    decisive = tuple(map(os.environ.get, _DECISIVE))
    return {**_inherited(decisive, int(time.monotonic())), **_ENVIRONMENT, **env}


@lru_cache(maxsize=4)
def _inherited(_decisive: Sequence[str | None], _second: int) -> Mapping[str, str]:
    """Return this process's environment without git's variables.

    The result is cached for at most a second, and only while the ``_DECISIVE`` variables stay the
    same. Without the cache, reading the environment would take a third of the CPU time of a git
    process's start.
    """
    return {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}


def _reports_full_disk(answer: GitOutput) -> bool:
    return any(each in answer.err for each in _FULL)


def _full_disk_error(what: str, answer: GitOutput) -> OSError:
    return OSError(errno.ENOSPC, f"git {what}: {answer.err[-300:]}")


def _is_full(path: str) -> bool:
    try:
        return shutil.disk_usage(path).free < LEAST_BYTES
    except OSError:
        return False


#: Git's exit code for a fatal error.
FATAL = 128
#: Minimum free disk space, in bytes. If git fails while less space is free, the disk counts as
#: full, whatever git's output is.
LEAST_BYTES = 64 * 1024
#: Git's messages about a full disk. Some of these messages do not name the reason.
_FULL = (
    "No space left on device",
    "Disk quota exceeded",
    "Out of diskspace",
    "unable to write file",
    "unable to write new index file",
    "Could not write new index file",
)


def failure(what: str, answer: GitOutput) -> Exception:
    """Return the exception for a failed git command ``what``, such as ``merge-tree``.

    If the disk is full, return an OSError, so that the caller retries the work later. Otherwise,
    return a RepositoryError.
    """
    if _reports_full_disk(answer):
        return _full_disk_error(what, answer)
    errors = one_line(answer.err)[-500:]
    errors = leftover_files.lock_advice(answer.err) or errors
    if answer.code < 0:
        # Name the signal first: git wrote its output before the signal, and the signal ended git.
        errors = f"killed by signal {-answer.code}{f' ({errors})' if errors else ''}"
    return RepositoryError(f"git {what} failed: {errors or f'exit code {answer.code}'}")
