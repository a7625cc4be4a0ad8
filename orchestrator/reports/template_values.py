"""The values that templates get about workers and jobs.

Texts are exactly as workers and users wrote them. A template must filter all values except ids,
states, and numbers (see ``template_filters.py``).
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Self

from orchestrator.core.candidates.comparison import Comparison
from orchestrator.core.gates.gate import GateOutcome, GateResult, GateStatus
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.agent_session import Session
from orchestrator.core.model.attempt.attempt_result import EndedBy
from orchestrator.core.model.attempt.exit_cause import RAN_NOTHING
from orchestrator.core.model.attempt.failure import Failure, Rollback
from orchestrator.core.model.human_input.feedback import Comment
from orchestrator.core.model.human_input.messages import WorkerMessage
from orchestrator.core.model.job import Attempt, Job, Worker
from orchestrator.core.model.job_settings import Workdir
from orchestrator.core.model.states import JobStatus, WorkerStatus
from orchestrator.core.outcome.job.reason import changed_nothing, remarks_of
from orchestrator.reports.figures.job_tree_index import JobTreeIndex
from orchestrator.reports.figures.worker_figures import WorkerFigures
from orchestrator.reports.template_filters import bounded, ending

#: Maximum number of earlier attempts of a worker in a report, in addition to the last attempt.
EARLIER_ATTEMPTS = 5

REQUEST_CHARACTERS = 4_000

#: Maximum characters of an output in a table row. Longer outputs get a separate section.
BRIEF_CHARACTERS = 160
_NOT_BRIEF = frozenset("\n`*#|[<")

SECTION = "\n## "
#: Minimum characters of an output's last section. A shorter section is not compared with the last
#: sections of other outputs.
REPEATED_CHARACTERS = 300


@dataclass(frozen=True, kw_only=True, slots=True)
class ChildJobLine:
    """The values of a job that fit into one line of a report."""

    id: str
    depth: int
    status: JobStatus
    seconds: float
    request: str
    parent_worker_id: str | None
    #: Path of the job's report, relative to the root job's directory.
    report: str
    tasks: int
    tasks_succeeded: int


@dataclass(frozen=True, kw_only=True, slots=True)
class EarlierAttempt:
    """An attempt of a worker before its latest attempt."""

    number: int
    #: Why the attempt failed, or what the changes of a successful attempt lack; may be empty.
    reason: str
    has_failed: bool
    #: True if the next attempt began with comments of a person.
    has_comments: bool
    #: The classified failure; None for attempts of an earlier release.
    failure: Failure | None


@dataclass(frozen=True, kw_only=True, slots=True)
class PersonText:
    """A text of a person: an answer to a question, or one round of feedback."""

    at: float
    #: Id of the task that was answered, or of the worker that got the feedback.
    subject: str
    text: str
    comments: Sequence[Comment] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerView:
    """The values of a worker for templates."""

    id: str
    job_id: str
    depth: int
    task_id: str
    title: str
    agent: str
    status: WorkerStatus
    succeeded: bool
    started: bool
    #: True if the worker's program was started at least once.
    has_log: bool
    #: Names of the locks that the worker's task claims.
    locks: Sequence[str]
    #: True if this worker did not succeed, but another candidate of the same task succeeded.
    replaced: bool
    #: False if the worker is a candidate that was not chosen.
    counts: bool
    reason: str
    attempts: int
    #: The attempts directly before the last attempt, at most ``EARLIER_ATTEMPTS``.
    earlier_attempts: Sequence[EarlierAttempt]
    #: The classified failure of the last attempt; None if the attempt did not fail.
    failure: Failure | None
    #: The latest session of the worker's AI tool, if the worker had several attempts.
    session: Session | None
    #: Rollbacks by people.
    rollbacks: Sequence[Rollback]
    #: Messages from people, in order.
    messages: Sequence[WorkerMessage]
    #: Seconds of all attempts, including the waits for child jobs; None if there was no attempt.
    seconds: float | None
    cpu_seconds: float | None
    peak_memory_bytes: int | None
    #: The output, shortened for the report. ``output_length`` is the length of the whole output.
    output: str
    output_length: int
    #: Files that the worker created, changed, or removed.
    files: Sequence[str]
    #: True if the worker ran a command in a directory without the project's files.
    is_outside_project: bool
    log_truncated: bool
    #: Results of the latest attempt's gates.
    gates: Sequence[GateResult]
    refused_child_jobs: int
    strays: Sequence[str]
    child_jobs: Sequence[ChildJobLine]
    #: Path of the worker's directory, relative to the root job's directory.
    directory: str
    log: str

    @property
    def shortened(self) -> bool:
        return len(self.output) < self.output_length

    @property
    def has_failed(self) -> bool:
        """True if the worker failed or timed out; False if it was skipped or cancelled."""
        return self.status in {WorkerStatus.FAILED, WorkerStatus.TIMEOUT}

    @property
    def is_judged(self) -> bool:
        return any(gate.status is not GateStatus.SKIPPED for gate in self.gates)

    @property
    def has_evidence(self) -> bool:
        """True if a report has more to show about the worker than its row and its output."""
        return bool(
            self.gates or self.earlier_attempts or self.session or self.locks or self.strays
        )

    @property
    def gate_counts(self) -> str:
        """The numbers of gates by outcome, such as ``2 passed, 1 failed``; empty without gates."""
        if not self.gates:
            return ""
        counts = Counter(gate.outcome for gate in self.gates)
        return ", ".join(f"{counts[each]} {each.words}" for each in GateOutcome if counts[each])

    @property
    def left_out(self) -> bool:
        """True if the worker has output, but the report shows no part of the output."""
        return self.output_length > 0 and not self.output

    def without_final_details(self) -> Self:
        """Return the worker without the details that FINAL_RESULT.md already has."""
        return replace(
            self,
            reason="",
            rollbacks=(),
            messages=(),
            log_truncated=False,
            refused_child_jobs=0,
        )

    @property
    def has_remarks(self) -> bool:
        return bool(
            self.earlier_attempts
            or self.rollbacks
            or self.messages
            or self.log_truncated
            or self.refused_child_jobs
        )

    @property
    def is_brief(self) -> bool:
        """True if the whole output fits into a table row, and has no Markdown."""
        if self.output_length > BRIEF_CHARACTERS or self.left_out:
            return False
        return not _NOT_BRIEF & {*self.output}


@dataclass(frozen=True, kw_only=True, slots=True)
class JobView:
    """The values of a job for templates."""

    line: ChildJobLine
    #: The request, shortened for the report. ``request_length`` is the length of the whole request.
    request: str
    request_length: int
    reason: str
    #: The sentences of the job's reason, except sentences on unmerged changes.
    remarks: Sequence[str]
    #: Number of successful workers that should have changed files, but changed no file.
    changed_nothing: int
    cancelled_by: str | None
    workers: Sequence[WorkerView]
    tasks: int
    tasks_succeeded: int
    #: Comparisons of tasks with several candidates.
    comparisons: Sequence[Comparison]
    #: Number of workers of the job that are not in ``workers``.
    workers_omitted: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Maker:
    """A worker that created, changed, or removed a file."""

    id: str
    directory: str
    #: Status of the worker if the worker did not succeed; otherwise empty.
    failed: str


@dataclass(frozen=True, kw_only=True, slots=True)
class MadeFile:
    """A file that workers created, changed, or removed."""

    path: str
    workers: Sequence[Maker]
    #: Path of a file of the project, relative to the root job's directory; empty for other files.
    link: str
    #: True for a file of the project that was created and later removed.
    is_removed: bool = False
    #: Added and removed lines in the merged result; None: not in the result, or unknown.
    lines: tuple[int, int] | None
    #: Ids of the workers whose changes are not merged.
    unmerged: Collection[str]
    #: What the result has instead of changed lines: "not merged"; "no change" if later changes
    #: restored or removed the file; "unknown" for the last files of a large result.
    without_lines: str = "not merged"

    @property
    def merged_by(self) -> Sequence[Maker]:
        return [each for each in self.workers if each.id not in self.unmerged]

    @property
    def not_merged_by(self) -> Sequence[Maker]:
        return [each for each in self.workers if each.id in self.unmerged]


class ReportSpace:
    """The number of characters that remain for workers' output in a report."""

    def __init__(self, per_worker: int, total: int) -> None:
        self._per_worker = per_worker
        self._left = total
        #: Long last sections of the outputs that are already in the report. Similar workers often
        #: end their outputs with the same section.
        self._endings: set[str] = set()

    def without_repeated_ending(self, text: str) -> str:
        """Return a worker's output, with a repeated last section replaced by "as above".

        A last section counts as repeated if an earlier output in the report ends with the same
        section.
        """
        beginning, head, last_section = text.rpartition(SECTION)
        if head + last_section not in self._endings:
            return text
        title, _, _ = last_section.partition("\n")
        return f"{beginning.rstrip()}\n\n*{title}: as above.*"

    def take(self, text: str) -> str:
        """Return the beginning of a worker's output that fits into the report's remaining space.

        The remaining space then shrinks by the length of the returned text.
        """
        shown = bounded(text, min(self._per_worker, self._left))
        self._left -= len(shown)
        _, head, last_section = text.rpartition(SECTION)
        if head and shown == text and len(last_section) >= REPEATED_CHARACTERS:
            self._endings.add(head + last_section)
        return shown

    def take_end(self, text: str, lines: int) -> str:
        """Return the last ``lines`` lines of an output, as far as they fit into the space.

        The remaining space then shrinks by the length of the returned text.
        """
        limit = min(self._per_worker, self._left)
        fits = len(text) <= limit and text.count("\n") < lines
        shown = text if fits else ending(text, lines, limit)
        self._left -= len(shown)
        return shown


def job_line(index: JobTreeIndex, job: Job) -> ChildJobLine:
    succeeded = index.tasks_succeeded(job.id)
    return ChildJobLine(
        tasks=len(succeeded),
        tasks_succeeded=sum(succeeded.values()),
        id=job.id,
        depth=job.depth,
        status=index.status(job),
        seconds=index.wall_seconds(job),
        request=job.request,
        parent_worker_id=job.parent_worker_id,
        report="FINAL_RESULT.md" if job.is_root else f"reports/job_{job.id}.md",
    )


def job_view(
    index: JobTreeIndex,
    job: Job,
    figures: Mapping[str, WorkerFigures],
    room: ReportSpace,
    only: Collection[str] | None,
) -> JobView:
    """Return the values of a job and its workers.

    ``only``: ids of the workers to include; None: include all. ``room``: space for outputs.
    """
    workers = index.workers(job.id)
    shown = workers if only is None else [each for each in workers if each.id in only]
    succeeded = index.tasks_succeeded(job.id)
    return JobView(
        line=job_line(index, job),
        request=bounded(job.request, REQUEST_CHARACTERS),
        request_length=len(job.request),
        reason=job.reason,
        remarks=remarks_of(replace(job, status=index.status(job))),
        changed_nothing=len(changed_nothing(job)),
        cancelled_by=job.cancelled_by,
        workers=[
            worker_view(index, worker, figures[worker.id], room, succeeded[worker.task_id])
            for worker in shown
        ],
        workers_omitted=len(workers) - len(shown),
        tasks=len(succeeded),
        tasks_succeeded=sum(succeeded.values()),
        comparisons=index.comparisons(job),
    )


def worker_view(
    index: JobTreeIndex,
    worker: Worker,
    figures: WorkerFigures,
    room: ReportSpace,
    task_succeeded: bool,
) -> WorkerView:
    result, attempts = worker.result, index.attempts(worker)
    output = room.without_repeated_ending(worker_output(worker))
    commented = {each.attempt for each in result.feedback} if result else set()
    return WorkerView(
        id=worker.id,
        job_id=worker.job_id,
        depth=worker.depth,
        task_id=worker.task_id,
        title=index.label(worker),
        agent=worker.agent,
        status=worker.status,
        succeeded=worker.status.succeeded,
        started=figures.attempts > 0,
        has_log=any(map(_has_log, attempts)),
        locks=index.task(worker).locks,
        replaced=task_succeeded and not worker.status.succeeded,
        counts=worker.chosen is not False,
        reason=worker.reason,
        attempts=figures.attempts,
        earlier_attempts=[
            EarlierAttempt(
                number=attempt.number,
                reason=attempt.reason,
                has_failed=_has_failed(worker, attempt),
                has_comments=attempt.number + 1 in commented,
                failure=worker.failure_of(attempt.number),
            )
            for attempt in attempts[:-1][-EARLIER_ATTEMPTS:]
        ],
        failure=worker.failure_of(worker.attempt),
        session=result.session if result and worker.attempt > 1 else None,
        rollbacks=figures.rollbacks,
        messages=result.messages if result else (),
        seconds=figures.work_seconds + figures.waited_seconds if figures.attempts else None,
        cpu_seconds=figures.cpu_seconds,
        peak_memory_bytes=figures.peak_memory_bytes,
        output=room.take(output),
        output_length=len(output),
        files=(*figures.files_created, *figures.files_removed),
        is_outside_project=_is_outside_project(index, worker),
        log_truncated=bool(result and result.log_truncated),
        gates=result.gates if result else (),
        refused_child_jobs=figures.refused_child_jobs,
        strays=_stray_commands(worker, attempts),
        child_jobs=[job_line(index, child) for child in index.child_jobs(worker)],
        directory=f"depth_{worker.depth}/{worker.id}",
        log=f"logs/depth_{worker.depth}_{worker.id}.log",
    )


def texts_of_people(index: JobTreeIndex, workers: Iterable[Worker]) -> Sequence[PersonText]:
    """Return answers to questions, and feedback to workers, in chronological order."""
    texts: list[PersonText] = []
    for worker in workers:
        question = worker.question
        if question and question.answered_at is not None:
            text = f"{index.task(worker).approve} – {question.outcome}"
            texts.append(PersonText(at=question.answered_at, subject=worker.task_id, text=text))
        for each in worker.result.feedback if worker.result else ():
            number = each.answered_by
            answer = f"answered by attempt {number}" if number else "not answered"
            summary = f": {each.summary}" if each.summary else ""
            text = f"feedback from {each.by}{summary} ({answer})"
            person_text = PersonText(
                at=each.at, subject=worker.id, text=text, comments=each.comments
            )
            texts.append(person_text)
    return sorted(texts, key=lambda each: each.at)


def _is_outside_project(index: JobTreeIndex, worker: Worker) -> bool:
    task, job = index.task(worker), index.job(worker.job_id)
    is_own = task.workdir == Workdir.OWN and not task.needs_worktree(job.config.git)
    return bool(task.command) and is_own


def _has_failed(worker: Worker, attempt: Attempt) -> bool:
    # Attempts of earlier releases have no classified failure. A lost attempt with a successful late
    # result keeps its failure, but has no reason.
    end = attempt.exit
    has_bad_exit = end is None or end.ended_by is not EndedBy.EXIT or end.code != 0
    is_classified = worker.failure_of(attempt.number) is not None
    return has_bad_exit or (is_classified and bool(attempt.reason))


def _has_log(attempt: Attempt) -> bool:
    end = attempt.exit
    return not (end and (end.ended_by is EndedBy.SPAWN_FAILED or end.cause in RAN_NOTHING))


def worker_output(worker: Worker) -> str:
    return worker.result.output.strip() if worker.result else ""


def made_files(
    workers: Iterable[WorkerFigures],
    in_project: Collection[str],
    project: str,
    lines: Mapping[str, tuple[int, int]],
    unmerged: Collection[str],
) -> Sequence[MadeFile]:
    """Return each created, changed, or removed file once, with all workers that did so.

    ``in_project``: ids of workers that created their files in ``project``, a path relative to the
    root job's directory. ``lines``: numbers of added and removed lines of the merged result, by
    file. ``unmerged``: ids of workers whose changes are not merged.
    """
    makers: dict[str, list[Maker]] = {path: [] for path in lines}
    for worker in workers:
        maker = Maker(
            id=worker.worker_id,
            directory=f"depth_{worker.depth}/{worker.worker_id}",
            failed="" if worker.status.succeeded else str(worker.status),
        )
        for path in (*worker.files_created, *worker.files_removed):
            makers.setdefault(path, []).append(maker)
    links = {
        path: f"{project}/{path}"
        for path, path_makers in makers.items()
        if project and any(each.id in in_project for each in path_makers)
    }
    return [
        MadeFile(
            path=path,
            workers=makers[path],
            link=links.get(path, ""),
            lines=lines.get(path),
            unmerged=unmerged,
        )
        for path in sorted(makers)
    ]


def _stray_commands(worker: Worker, attempts: Sequence[Attempt]) -> Sequence[str]:
    exits = [attempt.exit for attempt in attempts if attempt.exit]
    if exits:
        return [stray.command for each in exits for stray in each.strays]
    return [stray.command for stray in worker.result.strays] if worker.result else []
