"""Prompt text for a further attempt: the previous failure, conflicts, and advice."""

from orchestrator.core.gates.gate_decision import for_the_next_attempt
from orchestrator.core.model.attempt.delivered_work import promised_in_words
from orchestrator.core.model.attempt.failure import (
    ASKED,
    FEEDBACK,
    HANDED_ON,
    NO_CHANGES,
    SENT_BACK,
)
from orchestrator.core.model.job import Worker
from orchestrator.core.model.worker_result import WorkerResult
from orchestrator.core.outcome.failure_rules import NEVER_RAN

#: Maximum characters in a prompt for the output of the previous attempt, or of one gate.
FAILURE_CHARACTERS = 2000
#: Maximum characters in a prompt for the findings of gates.
GATE_CHARACTERS = 6000

#: Text for an agent that continues the work of another agent.
OTHER_AGENT = (
    "Another agent began this task, and then the login of that agent failed. The files of that "
    "agent are still in the directory: read them first."
)
#: Advice for an agent after a failure, by the cause of the failure. The prompt also has the facts.
ADVICE = {
    NO_CHANGES: (
        "The previous attempt failed because it changed no file. A description of the work, or "
        "code in your answer, does not count: change the files yourself."
    ),
    ASKED: (
        "The previous attempt changed no file and ended with a question. No person will answer: "
        "decide yourself, write the decision into your result, and do the work."
    ),
}
#: Text for an agent that must resolve a worker's conflicts.
CONFLICTS = (
    "The changes of this worker conflict with the changes of other workers in {paths}. Both "
    "versions are in the worktree, with conflict markers (<<<<<<<, =======, >>>>>>>) in the files "
    "that git could not merge. To find them: git grep -n '^<<<<<<<'. Binary files, links, and "
    "files that one side removed have no markers, and contain one version. To list every "
    "conflict: git merge-tree --write-tree $(git rev-parse $(git rev-list --merges -1 HEAD)^@). "
    "Keep the intent of both sides, remove every marker, and change nothing else."
)
#: Values of ``Worker.failure`` for which the worker is not responsible. After such a failure, the
#: next attempt's prompt contains no advice.
_NOT_ITS_FAULT = (HANDED_ON, SENT_BACK, FEEDBACK)


def _rejection_text(result: WorkerResult) -> str:
    """Return the prompt text about the gates that failed on the merged changes."""
    blocking = [each for each in result.gates if each.blocks]
    lines = [
        f"Gate {each.name}: {each.status}. {', '.join(each.failures)}\n\n"
        f"{each.output[-FAILURE_CHARACTERS:]}"
        for each in blocking
    ]
    return "\n\n".join(
        [
            "The previous attempt succeeded. Merged with the changes of other workers, its changes "
            "fail the gates. Your branch now contains the other workers' changes, except "
            "conflicting changes.",
            *lines,
        ]
    )


def previous_failure(worker: Worker) -> str:
    """Return the prompt text that explains why the worker gets another attempt.

    Return "" for a first attempt, and for an attempt that works on a person's feedback.
    """
    if worker.attempt < 2 or worker.result is None or worker.failure == FEEDBACK:
        return ""
    if worker.failure == HANDED_ON:
        return "" if worker.is_adviser else OTHER_AGENT
    if worker.is_adviser:
        return worker.result.output
    if worker.result.conflicts:
        return _conflicts_text(worker, worker.result)
    if worker.failure == SENT_BACK:
        return _rejection_text(worker.result)
    return _own_failure_text(worker, worker.result)


def advice(worker: Worker) -> str:
    """Return the advice for an attempt after a failure that the worker caused; otherwise ""."""
    if worker.attempt < 2 or worker.result is None or worker.failure in _NOT_ITS_FAULT:
        return ""
    causes = [each.cause for each in worker.result.failures if each.cause != NEVER_RAN]
    return ADVICE.get(causes[-1], "") if causes else ""


def _conflicts_text(worker: Worker, result: WorkerResult) -> str:
    sentence = CONFLICTS.format(paths=", ".join(map(repr, result.conflicts)))
    if worker.failure == SENT_BACK:
        return sentence
    notice = "An earlier attempt to resolve these conflicts failed."
    return f"{sentence}\n\n{notice} {_own_failure_text(worker, result)}"


def _own_failure_text(worker: Worker, result: WorkerResult) -> str:
    """Return the prompt text about the failure of the worker's latest attempt."""
    gates_text = for_the_next_attempt(result.gates, GATE_CHARACTERS)
    if gates_text:
        return gates_text
    code, signal = result.exit_code, result.signal
    ending = f"signal {signal}" if signal else f"exit code {code}"
    if code is None and not signal:
        ending = "no exit code, because the attempt was stopped"
    # ``failure`` begins with the name of the outcome, such as "timeout". For an unknown outcome,
    # ``failure`` is empty or begins with another word.
    kind = worker.failure.partition("|")[0]
    output_end = result.output[-FAILURE_CHARACTERS:]
    missing_paths = result.delivery.missing if result.delivery else ()
    missing_text = f" Afterwards, {promised_in_words(missing_paths)}." if missing_paths else ""
    ended_text = f"The attempt ended with {ending}{f' ({kind})' if kind else ''}."
    return f"{ended_text}{missing_text} The end of its output:\n\n{output_end}"
