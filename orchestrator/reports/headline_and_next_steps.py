"""The first screen of a result: what succeeded, what is merged, and which commands come next."""

from collections.abc import Iterable, Iterator, Sequence

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.job import Job
from orchestrator.core.model.job_facts import Landed, LossCause
from orchestrator.core.model.states import JobStatus, WorkerStatus
from orchestrator.core.outcome.job.human_needs import Need, NeedKind
from orchestrator.core.outcome.job.unmerged_changes import OutsideCause, OutsideWork
from orchestrator.core.outcome.merge_report import MergeReport
from orchestrator.core.text.command_name import COMMAND
from orchestrator.core.text.formatting import plural
from orchestrator.reports.figures.analytics import Analytics
from orchestrator.reports.figures.job_tree_index import JobTreeIndex
from orchestrator.reports.template_filters import job_word
from orchestrator.reports.template_values import WorkerView


def headline(
    status: JobStatus,
    succeeded: int,
    tasks: int,
    nothing_built: bool = False,
    changed_nothing: int = 0,
    merged: int | None = None,
    in_part: int = 0,
) -> str:
    """Return a job's outcome in one line: ``Partial: 2 of 3 tasks succeeded, 1 merged``.

    ``nothing_built``: True if the request may ask for changes, but no AI agent worked on the job.
    ``changed_nothing``: number of successful workers that should have changed files, but changed no
    file. ``merged``: number of workers whose changes are in the result; None without a result
    branch. ``in_part``: number of merged workers that also have unmerged changes.
    """
    word = job_word(status)
    if nothing_built and status is JobStatus.COMPLETED:
        # The word "Completed" would suggest that something was built.
        word = "Surveyed, nothing built"
    if tasks == 0:
        return f"{word}: no task"
    text = f"{succeeded:,} of {plural(tasks, 'task')} succeeded"
    if merged is not None:
        text += f", {merged:,} merged" + (f" ({in_part:,} in part)" if in_part else "")
    elif succeeded == tasks and status is JobStatus.PARTIAL:
        text += ", but the result is incomplete"
    if changed_nothing and changed_nothing >= succeeded:
        text += ", but nothing was changed"
    elif changed_nothing:
        text += f", but {plural(changed_nothing, 'worker')} changed nothing"
    return f"{word}: {text}"


#: Maximum number of workers that a line names. The line shows how many further workers there are.
MOST_NAMED = 5
#: Maximum number of commands on the first screen that merge changes.
MOST_COMMANDS = 4

#: Causes for which a successful worker's changes are unmerged. Causes that a reader expects are
#: excluded: a failed worker, a candidate that was not chosen, and a rolled-back attempt.
_UNMERGED = frozenset(OutsideCause) - {
    OutsideCause.FAILED,
    OutsideCause.LOST_COMPARISON,
    OutsideCause.ROLLED_BACK,
}

_WORDS = {
    WorkerStatus.FAILED: "Failed",
    WorkerStatus.TIMEOUT: "Timed out",
    WorkerStatus.CANCELLED: "Cancelled",
    WorkerStatus.SKIPPED: "Skipped",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Unsuccessful:
    """The unsuccessful workers that have the same status. ``title`` names the status."""

    title: str
    workers: Sequence[WorkerView]


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """The values of the table at the top of a result."""

    merge: MergeReport
    #: The landings of the current result, one for each branch.
    landed: Sequence[Landed]
    #: Ids of the workers whose changes are in the result.
    merged: Sequence[str]
    unmerged: Sequence[OutsideWork]
    unsuccessful: Sequence[Unsuccessful]
    #: Number of workers in ``merged`` that also have unmerged changes.
    in_part: int
    #: True if a worker reported a cost, or tokens whose cost may be unknown.
    has_cost: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """A command for the reader, with its purpose as text."""

    command: str
    purpose: str


def summary_of(
    index: JobTreeIndex,
    job: Job,
    merge: MergeReport,
    outside: Sequence[OutsideWork],
    missed: Sequence[WorkerView],
    figures: Analytics,
) -> Summary:
    """Return the content of the first screen of a job's result.

    ``outside``: changes that are not in the result. ``missed``: unsuccessful workers whose
    task has no successful candidate.
    """
    in_result = index.unmerged_changes.in_result(job) if merge.branch else ()
    merged = [each.id for each in in_result]
    in_part_ids = {each.worker_id for each in outside if each.in_part}
    return Summary(
        merge=merge,
        landed=job.facts.landed,
        merged=merged,
        in_part=sum(each in in_part_ids for each in merged),
        unmerged=unmerged(outside),
        unsuccessful=[
            Unsuccessful(title=title, workers=workers)
            for status, title in _WORDS.items()
            if (workers := [each for each in missed if each.status is status])
        ],
        has_cost=bool(figures.cost_usd.value)
        or bool(figures.input_tokens.value or figures.output_tokens.value),
    )


def unmerged(outside: Iterable[OutsideWork]) -> list[OutsideWork]:
    """Return the unmerged changes that a reader expects in the result (see ``_UNMERGED``)."""
    return [each for each in outside if each.cause in _UNMERGED]


@dataclass(frozen=True, kw_only=True, slots=True)
class UnmergedRow:
    """A row of the section "Not merged"."""

    work: OutsideWork
    #: Rolled-back attempts of the same worker, if the worker failed. They have no rows.
    rolled_back: Sequence[OutsideWork] = ()


def unmerged_rows(outside: Iterable[OutsideWork]) -> list[UnmergedRow]:
    """Return the rows of the section "Not merged": one row for a failed worker."""
    works = list(outside)
    failed = {(each.job_id, each.worker_id) for each in works if each.cause is OutsideCause.FAILED}
    rolled_back: dict[tuple[str, str], list[OutsideWork]] = {}
    others = []
    for each in works:
        worker = (each.job_id, each.worker_id)
        if each.cause is OutsideCause.ROLLED_BACK and worker in failed:
            rolled_back.setdefault(worker, []).append(each)
        else:
            others.append(each)
    return [
        UnmergedRow(
            work=each,
            rolled_back=rolled_back.get((each.job_id, each.worker_id), ())
            if each.cause is OutsideCause.FAILED
            else (),
        )
        for each in others
    ]


def next_steps(
    job: Job,
    status: JobStatus,
    merge: MergeReport,
    outside: Sequence[OutsideWork],
    missed: Sequence[WorkerView],
    *,
    needs: Sequence[Need] = (),
    has_loose_files: bool = False,
) -> list[Step]:
    """Return the commands that most readers of a root job's result need, in the order of use.

    ``outside``, ``missed``: as in ``summary_of``. ``needs``: what the job needs from a person.
    ``has_loose_files``: True if successful workers created files in their own plain directories,
    which are not worktrees.
    """
    merges = merge_steps(unmerged(outside))[:MOST_COMMANDS]
    retry = _retry(job, status, missed)
    # The command that merges rejected changes may be ``retry``, too. Show this command once.
    merges = [each for each in merges if each.command not in {step.command for step in retry}]
    # A retry without an answer would ask the same question again.
    answers = [
        Step(command=each.command, purpose=f"answer the question of {each.worker_id}")
        for each in needs
        if each.kind is NeedKind.ASKED
    ][:MOST_COMMANDS]
    return [*_about_result(job, status, merge, has_loose_files), *merges, *answers, *retry]


def _about_result(
    job: Job, status: JobStatus, merge: MergeReport, has_loose_files: bool
) -> Iterator[Step]:
    if merge.branch:
        yield Step(command=f"{COMMAND} diff {job.id}", purpose="show the merged change")
    if job.facts.landed:
        branches = " or ".join(each.branch for each in job.facts.landed)
        yield Step(command=f"{COMMAND} undo {job.id}", purpose=f"undo the landing on {branches}")
    elif merge.branch:
        partial = "" if status is JobStatus.COMPLETED else " --partial"
        command = f"{COMMAND} land {job.id}{partial}"
        yield Step(command=command, purpose="merge the result into your branch")
    elif has_loose_files and not job.config.base:
        yield Step(command=f"{COMMAND} apply {job.id}", purpose="copy the files into your project")


def _retry(job: Job, status: JobStatus, missed: Sequence[WorkerView]) -> list[Step]:
    worker_ids = [each.id for each in missed if each.job_id == job.id]
    # The command ``retry`` also runs successful workers whose promised files are missing.
    worker_ids += [
        each.worker_id
        for each in job.facts.missing
        if each.cause is LossCause.NOT_MADE and each.resolvable and each.worker_id not in worker_ids
    ]
    if not worker_ids or status is JobStatus.COMPLETED:
        return []
    return [
        Step(command=f"{COMMAND} retry {job.id}", purpose=f"retry {shortened_list(worker_ids)}")
    ]


def merge_steps(outside: Iterable[OutsideWork]) -> list[Step]:
    """Return the commands that merge the unmerged changes, each command once.

    A command's ``purpose`` names all workers whose changes the command merges.
    """
    workers: dict[str, list[str]] = {}
    purposes: dict[str, str] = {}
    for each in outside:
        if not each.brings_in:
            continue
        workers.setdefault(each.command, []).append(each.worker_id)
        purposes.setdefault(each.command, "merge the changes of")
        if each.otherwise:
            workers.setdefault(each.otherwise, []).append(each.worker_id)
            purposes.setdefault(each.otherwise, "or use the better version in each conflict of")
    return [
        Step(command=command, purpose=f"{purposes[command]} {shortened_list(names)}")
        for command, names in workers.items()
    ]


def diff_steps(outside: Iterable[OutsideWork]) -> list[Step]:
    """Return the commands that show the unmerged changes, each command once."""
    purposes = {each.show: _show_purpose(each) for each in outside if each.show}
    return [Step(command=command, purpose=purpose) for command, purpose in purposes.items()]


def _show_purpose(work: OutsideWork) -> str:
    rolled_back = "rolled-back " if work.cause is OutsideCause.ROLLED_BACK else ""
    return f"show the {rolled_back}changes of {work.worker_id}"


def as_text(steps: Sequence[Step]) -> str:
    """Return the steps as lines of a shell, each with a command and an aligned comment."""
    width = min(60, max((len(each.command) for each in steps), default=0))
    return "\n".join(f"{each.command:<{width}}  # {each.purpose}" for each in steps)


def shortened_list(names: Sequence[str]) -> str:
    """Return the first MOST_NAMED names as text, such as ``worker_1, worker_2 and 3 more``."""
    more = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {more:,} more" if more > 0 else "")
