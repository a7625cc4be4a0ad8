"""Reads the evidence of an ended attempt, and compares its changes with its task."""

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from orchestrator.core.gates.file_kinds import code_in
from orchestrator.core.model.attempt.attempt_result import EndedBy, Evidence, Exit, WorktreeState
from orchestrator.core.model.attempt.delivered_work import (
    DeliveredWork,
    Intent,
    SideWork,
    by_attempt,
    promises_changes,
)
from orchestrator.core.model.attempt.failure import after
from orchestrator.core.model.attempt.final_text import FinalText, final_text
from orchestrator.core.model.job import Worker
from orchestrator.core.outcome.shortage_errors import is_full_disk
from orchestrator.core.ports import Agents, Workspace
from orchestrator.core.scheduler.scheduler_view import SchedulerView
from orchestrator.engine.attempts.attempt_changes import NOTHING, AttemptChanges
from orchestrator.engine.attempts.launch_preparation import RunningAttempt
from orchestrator.engine.attempts.review_prompt import ReviewPrompts
from orchestrator.engine.attempts.task_intent import intent_of_task
from orchestrator.engine.runtime.launch_settings import LaunchSettings
from orchestrator.engine.submission.planner_answer import AgentPlans
from orchestrator.engine.worktrees.worker_changes import WorkerChanges

logger = logging.getLogger(__name__)

#: Tolerance for times of files, in seconds. A file system may store a time that is slightly too
#: early.
CLOCK_SECONDS = 2.0
#: Maximum number of stored paths of code that no gate judged.
MOST_CODE = 100

#: Function that masks secrets (first argument) in a text (second argument), in every encoding.
Mask = Callable[[Sequence[str], str], str]


class EvidenceReader:
    def __init__(
        self,
        agents: Agents,
        workspace: Workspace,
        settings: LaunchSettings,
        mask: Mask,
        changes: AttemptChanges,
        view: SchedulerView,
        agent_plans: AgentPlans,
        review_prompts: ReviewPrompts,
    ) -> None:
        self._agents = agents
        self._workspace = workspace
        self._settings = settings
        self._mask = mask
        self.changes = changes
        self._view = view
        self._agent_plans = agent_plans
        self._review_prompts = review_prompts

    def read(
        self, running: RunningAttempt, exit: Exit, changes: WorkerChanges | None = None
    ) -> Evidence:
        """Return the evidence of an attempt. If the attempt has a worktree, commit its changes.

        Raise an error only if a disk is full. After any other error, return evidence of a failure.

        ``changes``: the attempt's changes; None: find the changes.
        """
        try:
            if changes is None:
                changes = self.changes.find(running, exit)
            deferred = self._has_unfinished_children(running.worker)
            return self._checked(running, exit, self._read(running, exit, changes, deferred))
        except Exception as error:
            if is_full_disk(error):
                raise
            logger.exception(
                "cannot read the evidence of an attempt", extra={"worker": running.worker.id}
            )
            if running.worktree is not None:
                self.changes.save_checkpoint(running.worker)
            return evidence_of_error(running, f"cannot read the result of the worker: {error}")

    def _has_unfinished_children(self, worker: Worker) -> bool:
        """True if unfinished child jobs may still create the files that the worker promised."""
        current_worker = self._view.workers.get(worker.key)
        children = current_worker.child_job_ids if current_worker else ()
        return any(not self._view.jobs[job_id].status.ended for job_id in children)

    def _checked(self, running: RunningAttempt, exit: Exit, evidence: Evidence) -> Evidence:
        """Return the evidence. If the worker is a planner or reviewer, check its answer first."""
        if running.worker.is_planner and exit.code == 0:
            return self._agent_plans.checked(running.worker, evidence)
        if running.worker.is_reviewer:
            return self._review_prompts.checked(running.worker, evidence)
        return evidence

    def _read(
        self, running: RunningAttempt, exit: Exit, changes: WorkerChanges, deferred: bool
    ) -> Evidence:
        """Return the evidence of an attempt. Change nothing.

        ``deferred``: True if unfinished child jobs may still create the promised files.

        Raise UnknownAgent if an earlier server started the attempt, and config.yaml no longer has
        the attempt's agent.
        """
        worker = running.worker
        agent = self._agents.get(worker.agent)
        # Most successful commands print nothing. Their logs are empty, and need not be read.
        is_silent = exit.ended_by is EndedBy.EXIT and exit.log_bytes == 0
        empty_evidence: Evidence | None = getattr(agent, "evidence_of_nothing", None)
        if is_silent and changes is NOTHING and empty_evidence is not None:
            return empty_evidence
        directory = Path(self._workspace.worker_directory(worker))
        output = "" if is_silent else self._workspace.attempt_output(worker, worker.attempt)
        control = Path(self._workspace.control(worker, worker.attempt))
        evidence = agent.evidence(directory, output, exit, control)
        evidence = replace(evidence, prompt=running.prompt) if running.prompt else evidence
        if evidence.session is not None:
            checkpoint = after(worker.attempt) if running.worktree else ""
            session = replace(evidence.session, attempt=worker.attempt, checkpoint=checkpoint)
            evidence = replace(evidence, session=session)
        if changes.faults is not None:
            faults = tuple(self._mask(running.secrets, fault) for fault in changes.faults)
            state = WorktreeState(
                faults=faults,
                has_conflicts=changes.has_conflicts,
                is_deleted=changes.is_deleted,
            )
            evidence = replace(evidence, worktree=state)
        if changes.files or changes.changed or changes.has_work:
            evidence = replace(
                evidence,
                files_created=changes.files,
                files_changed=changes.changed,
                has_work=changes.has_work,
            )
        if changes.size is not None:
            evidence = replace(evidence, change=changes.size)
        outside_files = self._files_outside(evidence.outside, exit)
        builds = evidence.output_required and bool(getattr(agent, "changes_files", True))
        evidence = _with_delivery(
            evidence, running, changes, outside_files, builds=builds, deferred=deferred
        )
        return self._without_secrets(evidence, running, output)

    def _files_outside(self, paths: Sequence[str], exit: Exit) -> list[str]:
        """Return the files in ``paths`` that are in the user's checkout or home directory.

        ``paths``: files outside the worktree that the agent reports as written. Only files that
        were changed after the attempt's start are returned.
        """
        if not paths:
            return []
        directories = [str(self._settings.project_root), self._settings.environment.get("HOME", "")]
        user_prefixes = [f"{os.path.realpath(each)}{os.sep}" for each in directories if each]
        workspace = self._workspace.job_directory("").parent
        product_prefixes = tuple(
            f"{os.path.realpath(each)}{os.sep}" for each in (self._settings.home, workspace)
        )
        return [
            path
            for path in paths
            if path.startswith(tuple(user_prefixes))
            and not path.startswith(product_prefixes)
            and _modified_at(path) >= exit.started_at - CLOCK_SECONDS
        ]

    def _without_secrets(
        self, evidence: Evidence, running: RunningAttempt, masked_output: str
    ) -> Evidence:
        """Return the evidence with masked secrets.

        ``masked_output``: the attempt's output, in which secrets are already masked.
        """

        def clean(text: str) -> str:
            return text if text in masked_output else self._mask(running.secrets, text)

        if (
            not evidence.files_created
            and evidence.output in masked_output
            and evidence.error in masked_output
        ):
            return evidence
        return replace(
            evidence,
            output=clean(evidence.output),
            error=clean(evidence.error),
            files_created=tuple(_clean_name(each, running) for each in evidence.files_created),
        )


def evidence_of_error(running: RunningAttempt, why: str) -> Evidence:
    state = WorktreeState(faults=(why,)) if running.worktree else None
    return Evidence(claimed_success=False, error=why, worktree=state)


def _with_delivery(
    evidence: Evidence,
    running: RunningAttempt,
    changes: WorkerChanges,
    outside_files: Sequence[str],
    *,
    builds: bool,
    deferred: bool,
) -> Evidence:
    """Return the evidence, with ``DeliveredWork`` and with the kind of the agent's final text.

    ``DeliveredWork`` compares the changes with the task. An attempt that does not work on files has
    no ``DeliveredWork``. The kind (``FinalText``) is determined only if no file changed.

    ``outside_files``: files that the agent changed outside its directory. ``builds``: True if the
    agent's work is to change files. ``deferred``: True if unfinished child jobs may still create
    the promised files.
    """
    task, changed = running.task, changes.has_work or bool(changes.saved)
    is_agent, text_kind = evidence.output_required, FinalText.ANSWER
    if is_agent and not (changed or changes.changed or running.worker.is_adviser):
        text_kind = final_text(evidence.output)
    has_worktree = running.worktree is not None
    code_paths = tuple(code_in(changes.touched)[:MOST_CODE]) if changes.touched else ()
    works_on_files = has_worktree or builds or bool(task.writes or code_paths or changes.checkout)
    if works_on_files and not running.worker.is_adviser:
        builds = builds or (has_worktree and is_agent)
        intent = intent_of_task(task) if builds else Intent.ANSWER
        is_promised = promises_changes(task.role, task.writes, is_agent=builds)
        # Omit files that the agent itself reports as written. Any process may have changed the
        # remaining files.
        checkout = [
            each
            for each in changes.checkout
            if not any(path.endswith(f"/{each}") for path in outside_files)
        ]
        is_requested = intent is Intent.CHANGE and text_kind is not FinalText.ALREADY
        delivery = DeliveredWork(
            changed=changed,
            expected=is_promised or is_requested,
            intent=intent,
            deferred=text_kind if deferred else None,
            missing=changes.missing,
            ignored=changes.ignored,
            saved=tuple(
                _clean_name(each, running)
                for each in dict.fromkeys((*changes.saved, *changes.ignored_sources))
            ),
            outside=tuple(_clean_name(each, running) for each in outside_files),
            checkout=tuple(_clean_name(each, running) for each in checkout),
            side_work=_side_work(running, changes),
            commit=changes.commit,
            omitted=changes.omitted,
            held_back=tuple(
                replace(each, path=_clean_name(each.path, running)) for each in changes.held_back
            ),
            has_worktree=has_worktree,
            code=tuple(_clean_name(each, running) for each in code_paths),
            removed=tuple(_clean_name(each, running) for each in changes.removed),
        )
        evidence = replace(evidence, delivery=delivery)
    return evidence if deferred else replace(evidence, final_text=text_kind)


def _side_work(running: RunningAttempt, changes: WorkerChanges) -> tuple[SideWork, ...]:
    work = [replace(each, name=_clean_name(each.name, running)) for each in changes.side_work]
    worker = running.worker
    delivery = worker.delivery
    return by_attempt(work, delivery.side_work if delivery else (), worker.attempt)


def _modified_at(path: str) -> float:
    try:
        return os.lstat(path).st_mtime
    except (OSError, ValueError):
        return 0.0


def _clean_name(name: str, running: RunningAttempt) -> str:
    # Search for the unencoded secrets only, because file names do not contain encoded secrets.
    return "***" if any(secret in name for secret in running.secrets) else name
