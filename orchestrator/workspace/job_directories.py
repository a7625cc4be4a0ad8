"""Paths of a job's files, and creation of these files."""

import errno
import os
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from itertools import chain, islice
from operator import attrgetter
from pathlib import Path

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.delivered_work import normalized
from orchestrator.core.model.human_input.messages import (
    READ_SUFFIX,
    WorkerMessage,
    message_document,
    message_file_name,
)
from orchestrator.core.model.job import Job, Worker
from orchestrator.security.files.atomic_write import replace_file
from orchestrator.security.files.untrusted_files import NotPlain, open_log, read_tail
from orchestrator.workspace.attach_lock import ATTACHED, is_attached

#: Files in a worker's directory that orchestrator itself writes.
OWN_FILES = frozenset(
    {
        "task.json",
        "prompt.md",
        "dependencies.json",
        "plan.schema.json",
        "review.schema.json",
        ATTACHED,
    }
)
#: Files in which a worker reports its result to orchestrator.
REPORTS = frozenset({"output.md", "result.json"})
#: Maximum number of files that are listed individually.
MAX_FILES = 10_000
#: Directories that package managers and compilers fill. Files in these directories are listed last,
#: so that the limited list first contains all other files.
INSTALLED = frozenset({"node_modules", ".venv", "venv", "__pycache__"})
OUTPUT_LIMIT_BYTES = 32 * 1024
ATTEMPT_MARK = "--- attempt {number} ---\n"

Snapshot = Mapping[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class JobDirectories:
    """The paths of jobs' files in the workspace, whose directory is ``root``.

    A method that creates a directory also accepts an existing directory. Paths that every worker
    needs are strings, because creating thousands of ``Path`` objects takes time.
    """

    root: Path

    def holds_jobs(self) -> bool:
        return any(self.root.glob("job_*/status.json"))

    def job_directory(self, root_id: str) -> Path:
        return _joined(self.root, f"job_{root_id}")

    def worker_directory(self, worker: Worker) -> str:
        return f"{self._job_path(worker)}/depth_{worker.depth}/{worker.id}"

    def log(self, worker: Worker) -> str:
        return f"{self._job_path(worker)}/logs/depth_{worker.depth}_{worker.id}.log"

    def exit_record(self, worker: Worker, attempt: int) -> str:
        return f"{self._job_path(worker)}/attempts/{worker.id}.{attempt}.exit.json"

    def control(self, worker: Worker, attempt: int) -> str:
        """Return the control directory of an attempt, with its input, output, and settings."""
        return f"{self._job_path(worker)}/attempts/{worker.id}.{attempt}"

    def sessions(self, worker: Worker) -> str:
        """Return the directory for the AI tool's sessions, shared by all attempts of the worker."""
        return f"{self._job_path(worker)}/attempts/{worker.id}.sessions"

    def is_attached(self, worker: Worker) -> bool:
        return is_attached(self.worker_directory(worker))

    def _job_path(self, worker: Worker) -> str:
        return f"{self.root}/job_{worker.root_id}"

    def final_report(self, job: Job) -> Path:
        directory = self.job_directory(job.root_id)
        return directory / ("FINAL_RESULT.md" if job.is_root else f"reports/job_{job.id}.md")

    def report(self, job: Job, name: str) -> Path | None:
        directory = self.job_directory(job.root_id)
        if not name or "/" in name or name.startswith("."):
            return None
        if name == "FINAL_RESULT.md":
            return self.final_report(job)
        if name.startswith("LEVEL_") and name.endswith("_REPORT.md"):
            depth = name.removeprefix("LEVEL_").removesuffix("_REPORT.md")
            return directory / f"depth_{depth}" / name if depth.isdecimal() else None
        return directory / "reports" / name

    def refuse_link(self, root_id: str) -> None:
        """Raise NotPlain if a worker has replaced the job's directory with a link."""
        directory = self.job_directory(root_id)
        if os.path.islink(directory):
            raise NotPlain(
                f"cannot write to the job's directory {directory}, because a link has replaced it; "
                "remove the link"
            )

    def prepare_job(self, root_id: str) -> None:
        """Create the directory of a root job.

        Raise NotPlain if a link has replaced the directory. Raise another OSError if the directory
        cannot be created.
        """
        self.refuse_link(root_id)
        directory = self.job_directory(root_id)
        if not self.root.is_dir():
            # The workspace was moved. Do not create the directory at the old path: files that
            # belong in the moved workspace would be written there.
            raise FileNotFoundError(errno.ENOENT, "the workspace no longer exists", str(self.root))
        for name in ("logs", "attempts", "reports"):
            (directory / name).mkdir(mode=0o700, parents=True, exist_ok=True)
        directory.chmod(0o700)

    def prepare_worker(self, worker: Worker, files: Mapping[str, str]) -> str:
        """Write ``files`` into the worker's directory. Return the path of the directory.

        ``files``: texts by file name. If ``files`` is empty, do not create the directory. The
        process that starts the worker creates the directory later. If the worker runs only briefly,
        the creation here would double the time that the server spends on the worker.
        """
        self.refuse_link(worker.root_id)
        directory = self.worker_directory(worker)
        depth = os.path.dirname(directory)
        # ``depth`` alone does not show that ``prepare_job`` has run: the creation of a worktree may
        # have created ``depth``. ``prepare_job`` creates "reports" last.
        if not (os.path.isdir(depth) and os.path.isdir(f"{self._job_path(worker)}/reports")):
            self.prepare_job(worker.root_id)
            os.makedirs(depth, 0o700, exist_ok=True)
        if files:
            os.makedirs(directory, 0o700, exist_ok=True)
        for name, text in files.items():
            _write_new(Path(directory, name), text)
        return directory

    def prepare_control(self, worker: Worker, attempt: int, files: Mapping[str, str]) -> str:
        directory = self.control(worker, attempt)
        os.makedirs(directory, 0o700, exist_ok=True)
        for name, text in files.items():
            _write_new(Path(directory, name), text)
        return directory

    def write_message(self, worker: Worker, message: WorkerMessage) -> str:
        directory = self.control(worker, worker.attempt)
        os.makedirs(directory, 0o700, exist_ok=True)
        path = Path(directory, message_file_name(message.id))
        if os.path.lexists(path.with_suffix(READ_SUFFIX)):
            return ""
        replace_file(path, message_document(message).encode())
        return str(path)

    def mark_attempt(self, worker: Worker, number: int) -> None:
        path = self.log(worker)
        # The log of the previous attempt may end in the middle of a line.
        newline = "" if read_tail(path, 1, self.root) in (b"", b"\n") else "\n"
        rejections = "".join(self._rejections(worker, number - 1))
        with os.fdopen(open_log(path), "ab") as log:
            log.write((newline + rejections + ATTEMPT_MARK.format(number=number)).encode())

    def _rejections(self, worker: Worker, attempt: int) -> Iterator[str]:
        failure = worker.failure_of(attempt)
        for gate, path in failure.rejections if failure else ():
            if path:
                output = f"{self._job_path(worker)}/{path}"
                yield f"gate {gate} rejected attempt {attempt}; output: {output}\n"

    def attempt_output(self, worker: Worker, number: int) -> str:
        tail = read_tail(self.log(worker), OUTPUT_LIMIT_BYTES, self.root)
        text = tail.decode("utf-8", "replace")
        return text.rpartition(ATTEMPT_MARK.format(number=number))[2] if number > 1 else text

    def link_recursive(self, worker: Worker) -> None:
        """Create the link ``<worker>_recursive``, which marks a worker with child jobs."""
        link = Path(f"{self.worker_directory(worker)}_recursive")
        if not link.is_symlink():
            link.symlink_to(worker.id, target_is_directory=True)

    def is_bare(self, worker: Worker) -> bool:
        """True if the worker's directory is empty, is a link, or does not exist."""
        directory = self.worker_directory(worker)
        try:
            with os.scandir(directory) as entries:
                # A worker may have replaced its directory with a link. Files of the link's target
                # do not belong to the worker.
                return next(entries, None) is None or os.path.islink(directory)
        except OSError:
            return True

    def snapshot(self, worker: Worker, promised: Collection[str] = ()) -> Snapshot:
        directory = self.worker_directory(worker)
        if os.path.islink(directory):
            return {}
        hidden = OWN_FILES | REPORTS.difference(map(normalized, promised))
        deferred: list[tuple[str, str]] = []
        worker_files = _files(directory, "", hidden, deferred)
        installed_files = (_files(*each, hidden) for each in deferred)
        return dict(islice(chain(worker_files, chain.from_iterable(installed_files)), MAX_FILES))


@lru_cache(maxsize=1024)
def _joined(root: Path, *names: str) -> Path:
    # Cached, because each path is used several times per worker, and joining paths is slow.
    return root.joinpath(*names)


def _files(
    directory: str,
    prefix: str,
    hidden: Collection[str],
    deferred: list[tuple[str, str]] | None = None,
) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield the path of each file below a directory, with the file's size and mtime (nanoseconds).

    ``prefix``: beginning of each yielded path. ``hidden``: paths to omit, with their prefix. If
    ``deferred`` is a list, omit the files in directories with a name in ``INSTALLED``. Add these
    directories to ``deferred`` instead, each as a pair of its path and its new prefix.
    """
    try:
        with os.scandir(directory) as iterator:
            entries = list(iterator)
    except OSError:
        return
    for entry in sorted(entries, key=attrgetter("name")):
        name = prefix + entry.name
        if entry.is_dir(follow_symlinks=False):
            if deferred is not None and entry.name in INSTALLED:
                deferred.append((entry.path, name + "/"))
            elif entry.name != ".git":
                yield from _files(entry.path, name + "/", hidden, deferred)
        elif entry.is_file(follow_symlinks=False) and name not in hidden:
            status = entry.stat(follow_symlinks=False)
            yield name, (status.st_size, status.st_mtime_ns)


def _write_new(path: Path, text: str) -> None:
    # A worker may have put a link here in an earlier attempt.
    path.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
