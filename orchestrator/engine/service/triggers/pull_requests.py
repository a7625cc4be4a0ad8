"""Opens pull requests for the completed jobs of triggers that have the setting ``pull_request``."""

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from orchestrator.core.errors import OrchestratorError
from orchestrator.core.events import Event, EventKind
from orchestrator.core.model.caller import Caller, Scope
from orchestrator.core.model.job import Job
from orchestrator.core.model.states import JobStatus
from orchestrator.core.ports.read_models import JobFilter
from orchestrator.core.text.command_name import COMMAND
from orchestrator.engine.service.service import Service
from orchestrator.security.files.atomic_write import replace_file

logger = logging.getLogger(__name__)

DIRECTORY = ".events/pull_requests"
#: Seconds between two checks if no job has ended, and timeout of one command ``land --pr``.
CHECK_SECONDS, LAND_SECONDS = 30.0, 600.0
#: Maximum number of jobs of one trigger that are checked, the latest first.
MOST_JOBS = 50
#: Maximum number of attempts for one run of a job, and seconds between two attempts. A retry helps
#: if the network or the hosting service is down.
MOST_ATTEMPTS, RETRY_SECONDS = 3, 30.0


def record_of(workspace: Path, job_id: str, run: int) -> Path:
    """Return the path of the file with the output of ``land --pr`` for a run of a job.

    If the last attempt fails, the file has the error output.
    """
    return workspace / DIRECTORY / f"{job_id}-{run}"


def record_opened(workspace: Path, job_id: str, run: int) -> None:
    """Record that a person has opened a pull request that the server could not open."""
    record = record_of(workspace, job_id, run)
    if record.exists():
        _opened_mark(record).touch()


def _opened_mark(record: Path) -> Path:
    return record.with_name(f"{record.name}.opened")


class PullRequests:
    """Runs ``land --pr`` each time that a job of a trigger is completed.

    The outcome of each ``land --pr`` is recorded on disk. If the server crashes before the record
    is written, the next server repeats the command. A repetition is harmless, because the command
    finds the pushed commit and the existing pull request.
    """

    def __init__(
        self,
        service: Service,
        callers: Collection[str],
        folder: Path,
        workspace: Path,
        environ: Mapping[str, str],
        home: Sequence[str] = (),
    ) -> None:
        """``callers``: the names under which the triggers submit jobs.

        ``home``: the arguments with which a command uses the server's home.
        """
        self._service = service
        self._callers = callers
        self._folder = folder
        self._environ = environ
        self._home = home
        self._workspace = workspace
        #: By the name of the record: number of failed attempts, and time of the next attempt.
        self._failures: dict[str, tuple[int, float]] = {}
        self._wake = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="pull requests", daemon=True)

    def start(self) -> None:
        if self._callers:
            self._service.job_details.subscribe(self._observe)
            self._thread.start()

    def stop(self) -> None:
        """Start no further command. A running command continues to its end. Idempotent."""
        self._stopped = True
        self._wake.set()

    def _observe(self, events: Sequence[Event]) -> None:
        if any(each.kind is EventKind.JOB_ENDED for each in events):
            self._wake.set()

    def _run(self) -> None:
        while not self._stopped:
            try:
                self._check()
            except (OrchestratorError, OSError) as error:
                logger.warning("cannot check for pull requests to open, retrying: %s", error)
            self._wake.wait(CHECK_SECONDS)
            self._wake.clear()

    def _check(self) -> None:
        since = self._since()
        for name in self._callers:
            # A caller with this scope sees only its own jobs.
            caller = Caller(name=name, scopes=frozenset({Scope.SUBMIT}))
            job_filter = JobFilter(statuses=(JobStatus.COMPLETED,))
            page = self._service.job_lists.jobs(caller, job_filter, page=1, page_size=MOST_JOBS)
            for card in self._service.job_lists.cards([each.id for each in page.jobs]):
                job = card.job
                record = record_of(self._workspace, job.id, job.run)
                if job.created_at < since or self._stopped:
                    continue
                if not record.exists():
                    self._land_if_due(job, record)
                elif job.facts.pull_request_error and _opened_mark(record).exists():
                    self._service.landings.record_pull_request(job, "")

    def _land_if_due(self, job: Job, record: Path) -> None:
        """Run ``land --pr`` for a job, unless it is too early for another attempt.

        Write the output to the file ``record`` after a success, or after the last failed attempt.
        """
        attempts, due = self._failures.get(record.name, (0, 0.0))
        if time.monotonic() < due:
            return
        output, is_open = self._land(job)
        reason = " ".join(output.split())[-500:]
        if not is_open and attempts + 1 < MOST_ATTEMPTS:
            self._failures[record.name] = (attempts + 1, time.monotonic() + RETRY_SECONDS)
            logger.warning("cannot open a pull request for job %s, retrying: %s", job.id, reason)
            return
        if is_open:
            logger.info("opened the pull request of job %s: %s", job.id, output.strip())
        else:
            retry = f"{COMMAND} land {job.id} --pr"
            logger.error(
                "cannot open a pull request for job %s: %s; retry: %s", job.id, reason, retry
            )
            self._service.landings.record_pull_request(job, reason)
        self._failures.pop(record.name, None)
        record.write_text(output)

    def _since(self) -> float:
        # Return the time at which pull requests were first enabled (Unix time).
        # Earlier jobs get no pull request.
        directory = self._workspace / DIRECTORY
        directory.mkdir(parents=True, exist_ok=True)
        since_file = directory / "since"
        if not since_file.exists():
            replace_file(since_file, str(time.time()).encode())
        return float(since_file.read_text())

    def _land(self, job: Job) -> tuple[str, bool]:
        """Run ``land --pr`` for a job, with the credentials and git hooks of the server's user.

        Return (output, succeeded). ``output``: standard output; after a failure, standard error;
        after a timeout, a text about the timeout.
        """
        command = [*self._home, "land", job.id, "--pr", "--yes"]
        try:
            process = subprocess.run(
                [sys.executable, "-m", "orchestrator", *command],
                cwd=self._folder,
                env=dict(self._environ),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=LAND_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"the command land --pr took longer than {LAND_SECONDS:g} s", False
        return (process.stderr, False) if process.returncode else (process.stdout, True)
