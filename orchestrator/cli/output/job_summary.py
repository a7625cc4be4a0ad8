"""The summary of a job: outcome, one line for each worker, paths, and the next commands."""

from collections.abc import Iterator, Sequence

from orchestrator.cli.output.command_paths import COMMAND
from orchestrator.cli.output.status_answer import (
    SUCCEEDED,
    UNSUCCESSFUL,
    Answer,
    all_tasks,
    changed_no_file,
    counts_of,
    id_in_plan,
    is_in_project,
    merge_seconds,
    seconds_taken,
    tasks_of,
)
from orchestrator.cli.output.terminal_text import (
    duration,
    first_line,
    lines_of,
    local_time,
    paint,
    pasteable,
    wrapped,
)
from orchestrator.core.model.job_facts import LossCause
from orchestrator.core.model.states import ENDED_JOB, JobStatus, MergeState, WorkerStatus
from orchestrator.core.outcome.job.unmerged_changes import OutsideCause
from orchestrator.core.text.formatting import AT_LEAST, cut, dollars, listed, plural

#: Separator between the first and the last line of a worker's output.
BETWEEN = " ... "
#: Minimum columns for each of the two lines of output. With fewer columns, only the last line is
#: shown.
LEAST_LINE = 30
SHOWN_TASKS = 30
#: Number of different reasons of failed workers that are shown, and maximum characters of a reason.
SHOWN_FAILURES, FAILURE_CHARACTERS = 5, 2000
#: Maximum number of workers to name if several workers have the same reason.
SHOWN_NAMES = 3
#: Maximum characters of the output of a failed worker that changed no file.
OUTPUT_CHARACTERS = 500
SHOWN_COMMANDS = 3
#: Minimum duration of a merge that the summary shows, in seconds.
LEAST_MERGE_SECONDS = 1.0
MISSING_CHANGES = "the missing changes"
#: Maximum number of characters of a task's id in the line of its worker.
SHOWN_ID = 24
NO_CHANGE = "no file changed"
STATUS_WIDTH = len("recursive_success")
#: Statuses in which a worker's reason says what the worker waits for, or which gates run.
_UNFINISHED = {WorkerStatus.PENDING, WorkerStatus.RUNNING}
_HAS_RESULT = {MergeState.MERGED, MergeState.IN_PART}


def summary_lines(answer: Answer, width: int) -> list[str]:
    """Return the lines of a job's summary. ``answer``: the status of a running or ended job."""
    tasks = tasks_of(answer)
    lines = [outcome_line(answer)]
    if len(tasks) > SHOWN_TASKS:
        # Unsuccessful tasks come first, so that successful tasks are omitted before them.
        tasks.sort(key=lambda task: task["status"] in SUCCEEDED)
    lines += [_task_line(task, width) for task in tasks[:SHOWN_TASKS]]
    if len(tasks) > SHOWN_TASKS:
        lines.append(f"  ... and {len(tasks) - SHOWN_TASKS} more")
    used = filter(None, [used_line(answer.get("usage") or {})])
    ending = ending_lines(answer, width, printed_lines=lines)
    return [*lines, *used, *_path_lines(answer), *ending, *_next_lines(answer)]


def _next_lines(answer: Answer) -> Iterator[str]:
    """Yield the next commands: show and land the result, answer questions, and retry tasks.

    A completed job without a result gets the command that shows its report. A landed job gets the
    command that undoes the landing instead of the command that lands. A discarded job gets no
    command that lands or retries.
    """
    job_id, is_complete = answer["job_id"], answer["status"] == JobStatus.COMPLETED
    has_result = answer.get("merge_state") in _HAS_RESULT and not answer.get("discarded")
    # If no change was merged, for example with ``merge_strategy: manual``, there is no branch.
    has_result = has_result and answer.get("result_branch") != ""
    landed = list(landed_lines(answer))
    if has_result:
        yield f"to show the changes: {COMMAND} diff {job_id}"
    elif is_complete:
        yield f"to show the report: {COMMAND} report {job_id}"
    # Without a base commit, workers have plain directories, so there is nothing to merge.
    if answer.get("base") == "" and any(map(_has_files_to_copy, all_tasks(tasks_of(answer)))):
        yield f"to copy the files into your project: {COMMAND} apply {job_id}"
    if has_result and not landed:
        partial = "" if is_complete else " --partial"
        yield f"to merge the changes into your branch: {COMMAND} land {job_id}{partial}"
    yield from landed
    yield from repeat_lines(answer)


def repeat_lines(answer: Answer) -> Iterator[str]:
    """Yield the commands that answer the questions of workers, and retry the unsuccessful tasks.

    Yield nothing for a job that has not ended or that was discarded.
    """
    job_id = answer["job_id"]
    if answer["status"] not in UNSUCCESSFUL or answer.get("discarded"):
        return
    tasks = tasks_of(answer)
    # A retry without an answer would ask the same question again.
    for task in [each for each in tasks if each.get("asked")][:SHOWN_COMMANDS]:
        worker_id = task["worker_id"]
        command = f"{COMMAND} feedback {job_id} {worker_id} --edit"
        yield f"to answer the question of {worker_id}: {command}"
    done_tasks = {each.get("task_id") for each in tasks if each["status"] in SUCCEEDED}
    if any(each.get("task_id") not in done_tasks for each in tasks):
        yield f"to retry the tasks that did not succeed: {COMMAND} retry {job_id}"


def landed_lines(answer: Answer) -> Iterator[str]:
    """Yield a line for each landing of a job, then one line with the command that undoes a landing.

    The command undoes the landing on the branch that is then checked out.
    """
    landings = answer.get("landed") or ()
    for landing in landings:
        at = local_time(landing["at"])
        yield pasteable(f"Landed: {landing['branch']}, {at}, commit {landing['commit'][:12]}")
    if landings:
        yield f"to undo the landing: {COMMAND} undo {answer['job_id']}"


def ending_lines(answer: Answer, width: int, *, printed_lines: Sequence[str] = ()) -> list[str]:
    """Return the last lines about a job, in this order.

    - The job's reason.
    - If the job is unsuccessful: the reasons of failed workers, each reason once. If a worker
      changed no file, its output follows the reason.
    - If the job has not ended: the reasons of unfinished workers, each reason once. A reason says
      what a worker waits for, or which gates run.
    - Commands that merge or show missing changes.

    ``printed_lines``: lines about workers that are already printed. A worker's reason is omitted if
    one of these lines contains the complete reason.
    """
    lines = list[str]()
    if answer.get("reason"):
        word = "Why" if answer["status"] in UNSUCCESSFUL else "Note"
        lines += wrapped(f"{word}: {answer['reason']}", width)
    if answer["status"] in UNSUCCESSFUL:
        # The cancelled workers of a cancelled job have the same reason as the job.
        explained = {answer["status"]} & {JobStatus.CANCELLED}
        tasks = [each for each in all_tasks(tasks_of(answer)) if each["status"] not in explained]
        failed = [each for each in tasks if _has_failed(each)]
        failed = [
            each
            for each in failed
            if _output_without_changes(each) or not _reason_is_printed(each, printed_lines)
        ]
        lines += _failure_lines(failed, answer["job_id"], width, printed_lines)
    if answer["status"] not in ENDED_JOB:
        lines += _waiting_lines(answer, width, printed_lines)
    return [*lines, *_missing_change_commands(answer)]


def _failure_lines(
    failed: Sequence[Answer], job_id: str, width: int, printed_lines: Sequence[str]
) -> Iterator[str]:
    groups = dict[tuple[str, str, str], list[Answer]]()
    for task in failed:
        key = str(task["status"]), str(task["reason"]), _output_without_changes(task)
        groups.setdefault(key, []).append(task)
    shown = list(groups.items())[:SHOWN_FAILURES]
    for (status, reason, output), tasks in shown:
        unprinted = [each for each in tasks if not _reason_is_printed(each, printed_lines)]
        if unprinted:
            labels = [_label(each) for each in unprinted]
            text = f"{listed(labels, SHOWN_NAMES)} {status}: {reason}"
            yield from wrapped(cut(text, FAILURE_CHARACTERS), width, "  ")
        if output:
            text = f"output of {listed([each['worker_id'] for each in tasks], SHOWN_NAMES)}"
            yield from wrapped(cut(f"{text}: {output}", OUTPUT_CHARACTERS), width, "  ")
    if remaining := len(failed) - sum(len(tasks) for _, tasks in shown):
        more = plural(remaining, "more failure")
        yield f"  ... and {more}; show all: {COMMAND} report {job_id}"


def _label(task: Answer) -> str:
    task_id = id_in_plan(task)
    return f"{task['worker_id']} ({task_id})" if task_id else str(task["worker_id"])


def _waiting_lines(answer: Answer, width: int, printed_lines: Sequence[str]) -> Iterator[str]:
    """Yield lines with the reasons of unfinished workers: their waits, or the gates that run."""
    first_by_reason = dict[str, Answer]()
    for task in all_tasks(tasks_of(answer)):
        if task["status"] in _UNFINISHED and task.get("reason"):
            first_by_reason.setdefault(str(task["reason"]), task)
    tasks = (
        each for each in first_by_reason.values() if not _reason_is_printed(each, printed_lines)
    )
    for task in list(tasks)[:SHOWN_FAILURES]:
        task_label = f" ({task_id})" if (task_id := id_in_plan(task)) else ""
        text = f"{task['worker_id']}{task_label} {task['status']}: {task['reason']}"
        yield from wrapped(cut(text, FAILURE_CHARACTERS), width, "  ")


def _output_without_changes(task: Answer) -> str:
    """Return the output of a failed worker that changed no file; "" for any other worker.

    Such output usually explains the failure. Return "" if the reason of the worker's failure
    already contains the output. Return "" if the worker was stopped: the reason explains the stop.
    """
    is_cause = task.get("unchanged") and task.get("status") == WorkerStatus.FAILED
    output = " ".join(lines_of(task.get("output"))) if is_cause else ""
    # Do not print a text twice: the reason of a failed login already has the complete output.
    printed = pasteable(str(task.get("reason")))
    return "" if output in printed else output


def _has_files_to_copy(task: Answer) -> bool:
    in_project = is_in_project(task)
    return task["status"] in SUCCEEDED and bool(task.get("files_created")) and not in_project


def _missing_change_commands(answer: Answer) -> Iterator[str]:
    """Yield at most SHOWN_COMMANDS commands, each of which merges or shows missing changes.

    If there are several commands, each line names the workers whose changes are meant. Commands for
    files that no worker created are omitted, because the job's reason already contains these
    commands.
    """
    losses_of: dict[str, list[Answer]] = {}
    for loss in answer.get("missing") or ():
        if loss.get("command") and loss.get("cause") != LossCause.NOT_MADE:
            losses_of.setdefault(str(loss["command"]), []).append(loss)
    for command, losses in list(losses_of.items())[:SHOWN_COMMANDS]:
        workers = listed(list(dict.fromkeys(each["worker_id"] for each in losses)))
        changes = f"the changes of {workers}" if len(losses_of) > 1 else MISSING_CHANGES
        yield pasteable(f"to {purpose(losses[0], changes)}: {command}")


def _has_failed(task: Answer) -> bool:
    # A skipped task did not fail itself: a dependency failed.
    is_cause = task.get("status") not in {*SUCCEEDED, WorkerStatus.SKIPPED}
    return is_cause and bool(task.get("reason"))


def _reason_is_printed(task: Answer, printed_lines: Sequence[str]) -> bool:
    reason = pasteable(str(task["reason"]))
    rows = (line for line in printed_lines if line.split()[:1] == [task["worker_id"]])
    return any(line.endswith(reason) for line in rows)


def outcome_line(answer: Answer) -> str:
    counts = counts_of(answer)
    good = sum(counts[status] for status in SUCCEEDED)
    total = sum(counts.values())
    parts = [plural(total, "worker"), f"{good} succeeded"]
    parts += [f"{n} {status}" for status, n in sorted(counts.items()) if status not in SUCCEEDED]
    seconds = seconds_taken(answer)
    after = f" after {duration(seconds)}" if seconds is not None else ""
    if seconds == 0 and answer["status"] == JobStatus.CANCELLED:
        after = " before it started"
    merge = merge_seconds(answer)
    if after and merge >= LEAST_MERGE_SECONDS:
        after += f", plus {duration(merge)} for the merge and its gates"
    # Without this addition, "completed" could be read as "something was built".
    addition = ", but nothing was changed" if changed_no_file(answer) else ""
    addition = ", but nothing was built" if answer.get("nothing_built") else addition
    status = paint(str(answer["status"]))
    return f"job {answer['job_id']}: {status}{after}{addition}; {', '.join(parts)}"


_USED = {
    "steps": "steps",
    "input_tokens": "input tokens",
    "output_tokens": "output tokens",
    "cache_read_tokens": "cache-read tokens",
    "cache_write_tokens": "cache-write tokens",
}


def cap_line(caps: Answer) -> str:
    """Return a job's caps as a line such as ``Caps: 10 steps, $2.00``; "" without caps."""
    from orchestrator.core.limits.usage_caps import caps_in_words

    return f"Caps:   {caps_in_words(caps)}" if caps else ""


def used_line(usage: Answer) -> str:
    """Return a job's usage as a line such as ``Used: 14 steps, 1,300 input tokens``.

    Return "" if nothing was used.
    """
    parts = [
        f"{usage[name]:,} {words.removesuffix('s') if usage[name] == 1 else words}"
        for name, words in _USED.items()
        if usage.get(name)
    ]
    if not parts:
        return ""
    return f"Used:   {', '.join([*parts, _cost(usage)])}"


def _cost(usage: Answer) -> str:
    if usage.get("cost_usd") is None:
        return "cost unknown"
    is_partial = usage.get("partial") or usage.get("cost_partial")
    estimated = " (estimated)" if usage.get("cost_estimated") else ""
    return f"{AT_LEAST if is_partial else ''}{dollars(usage['cost_usd'])}{estimated}"


def summary_line(task: Answer, width: int) -> str:
    """Return one line about a worker: its task, then its reason or a part of its output."""
    marks = f"{cut(task_id, SHOWN_ID)}: " if (task_id := id_in_plan(task)) else ""
    marks += "(not chosen) " if task.get("chosen") is False else ""
    reason = pasteable(str(task.get("reason") or ""))
    # A failure's reason already names the failure.
    is_failure = bool(reason) and task.get("status") not in SUCCEEDED
    end = NO_CHANGE if task.get("unchanged") and not is_failure else ""
    text_width = max(20, width - len(marks) - len(f" ({end})"))
    text = first_line(reason, text_width) if reason else _shortened_output(task, text_width)
    parts = (text, f"({end})" if text else end) if end else (text,)
    return (marks + " ".join(filter(None, parts))).removesuffix(": ")


def _shortened_output(task: Answer, width: int) -> str:
    """Return the first and the last line of a worker's output, in at most ``width`` characters.

    Rows of tables are skipped. If ``width`` is too small for two lines, return the title with which
    the output begins. If the output has no title, return the last line.
    """
    output = str(task.get("output") or "")
    lines = [line for line in lines_of(output) if not line.startswith("|")]
    lines = lines or lines_of(task.get("title"))
    fits = len(BETWEEN.join((*lines[:1], *lines[-1:]))) <= width
    if len(lines) < 2 or (not fits and width < 2 * LEAST_LINE + len(BETWEEN)):
        return cut("".join(lines[:1] if output.startswith("# ") else lines[-1:]), width)
    # A short first line leaves more columns for the last line, where agents often state the
    # outcome.
    half = (width - len(BETWEEN)) // 2
    first = cut(lines[0], max(half, width - len(BETWEEN) - len(lines[-1])))
    return f"{first}{BETWEEN}{cut(lines[-1], width - len(BETWEEN) - len(first))}"


def _task_line(task: Answer, width: int) -> str:
    used_width = 2 + 12 + 1 + STATUS_WIDTH + 1
    note = summary_line(task, max(20, width - used_width))
    worker = str(task.get("worker_id") or "")
    return f"  {worker:<12} {paint(str(task.get('status')), STATUS_WIDTH)} {note}".rstrip()


def _path_lines(answer: Answer) -> list[str]:
    results = answer.get("results") or {}
    lines = []
    if results.get("workspace"):
        lines.append(f"Workspace: {results['workspace']}")
    if results.get("final_report"):
        lines.append(f"Result:    {results['final_report']}")
    return lines


def merges_missing_changes(loss: Answer) -> bool:
    """True if the command in ``loss`` merges the missing changes; False if it only shows them.

    ``loss``: an entry for missing changes in a job's status. In files of earlier versions of the
    product, the entry has no field ``brings_in``. Then the entry's field ``cause`` decides.
    """
    return bool(loss.get("brings_in", loss.get("cause") != OutsideCause.FAILED))


def purpose(loss: Answer, changes: str = MISSING_CHANGES) -> str:
    """Return what the command in ``loss`` does, such as ``merge the missing changes``.

    ``changes``: the text for the changes.
    """
    if loss.get("cause") == LossCause.NOT_MADE:
        return "create the file"
    return f"{'merge' if merges_missing_changes(loss) else 'show'} {changes}"


def branch_text(loss: Answer) -> str:
    """Return the name of the branch that has the missing changes of ``loss``, in parentheses.

    Return "" if ``loss`` is about a file that no worker created.
    """
    if loss.get("cause") == LossCause.NOT_MADE:
        return ""
    return f" ({loss['branch'] or 'no branch'})"


def already_in_project(workers: Sequence[str]) -> str:
    return f"already in the project: files of {listed(workers)}"
