"""The use case for feedback: a person's comments on a worker's change, for another attempt."""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace

from orchestrator.core import failpoints
from orchestrator.core.errors import Conflict, InvalidRequest, Outdated, Unavailable
from orchestrator.core.gates.gate import GateFiles
from orchestrator.core.model.caller import Caller
from orchestrator.core.model.human_input.feedback import (
    Comment,
    Feedback,
    FeedbackGiven,
    FeedbackRequest,
    Side,
)
from orchestrator.core.model.job import Job, Worker
from orchestrator.core.ports import Agents, Store
from orchestrator.core.repository.git_refs import landed_refs, short, start_ref, worker_branch
from orchestrator.core.scheduler.scheduler import Scheduler
from orchestrator.core.text.command_name import COMMAND
from orchestrator.core.text.formatting import cut, plural
from orchestrator.engine.merge.merge_queue import MergeQueue
from orchestrator.engine.service.access.authorization import Access
from orchestrator.engine.service.reruns.rerun_checks import (
    check_can_run_again,
    check_key_limits,
    check_reopens,
    check_worker_ended,
)
from orchestrator.engine.supervisor.stored_trees import StoredTrees
from orchestrator.engine.supervisor.supervisor import Supervisor
from orchestrator.engine.worktrees.worker_worktrees import Worktrees

#: Maximum characters of the quoted lines, for each comment.
MOST_CODE = 2_000


class FeedbackCalls:
    def __init__(
        self,
        *,
        supervisor: Supervisor,
        store: Store,
        access: Access,
        trees: StoredTrees,
        worktrees: Worktrees,
        merge_queue: MergeQueue,
        agents: Agents,
        moved_error: Callable[[], str],
    ) -> None:
        """``moved_error``: returns an error text if the workspace or project was moved, else "".

        After such a move, no attempt starts.
        """
        self._supervisor = supervisor
        self._store = store
        self._access = access
        self._trees = trees
        self._worktrees = worktrees
        self._repository = worktrees.checkpoints.repository
        self._merge_queue = merge_queue
        self._agents = agents
        self._moved_error = moved_error

    def give(
        self, caller: Caller, job_id: str, worker_id: str, request: FeedbackRequest
    ) -> FeedbackGiven:
        """Send an ended worker comments on its change, for another attempt.

        Idempotent for the same Idempotency-Key. Raise Forbidden for a caller that is a worker.
        Raise Outdated if the worker's branch has moved. Raise InvalidRequest for lines that do not
        exist, or for a key that was already used for other feedback. Raise Conflict if the worker
        has not ended, has no branch, or cannot run again.
        """
        self._access.workable(caller, job_id)
        self._access.check_person(caller)
        if error_text := self._moved_error():
            raise Unavailable(error_text)
        worker = self._access.worker(caller, job_id, worker_id)
        job = self._access.job(caller, worker.job_id)
        # Other calls, a rollback, and a new attempt of this worker wait until this block ends.
        with self._worktrees.checkpoints.locked(worker.key):
            worker = self._access.worker(caller, job_id, worker_id)
            if earlier := self._earlier_feedback(caller, worker, request):
                return self._feedback_given(caller, worker, earlier, duplicate=True)
            feedback = self._checked_feedback(caller, job, worker, request)
            landed = self._landed_branches(job)
            failpoints.reached("feedback: checked")
            self._begin_attempt(
                job, worker, feedback, self._agent_for(job, worker, request), landed
            )
        failpoints.reached("feedback: stored")
        return self._feedback_given(caller, worker, feedback, landed=landed)

    def _earlier_feedback(
        self, caller: Caller, worker: Worker, request: FeedbackRequest
    ) -> Feedback | None:
        for feedback in worker.result.feedback if worker.result else ():
            if request.key and (feedback.key, feedback.by) == (request.key, caller.name):
                if feedback.digest != _digest(request):
                    raise InvalidRequest(
                        f"Idempotency-Key was already used for other feedback to {worker.id}; use "
                        "a new key",
                        kind="idempotency-mismatch",
                    )
                return feedback
        return None

    def _checked_feedback(
        self, caller: Caller, job: Job, worker: Worker, request: FeedbackRequest
    ) -> Feedback:
        check_worker_ended(worker)
        check_can_run_again(job)
        self._trees.check_not_attached(worker)
        self._merge_queue.check_idle(job.id)
        tip = self._branch_head(job, worker)
        if not self._has_same_code(worker, request, tip):
            raise Outdated(
                f"the branch of {worker.id} has moved from commit {request.commit[:12]} to "
                f"{tip[:12]}; nothing was sent; comment on the latest change: "
                f"{COMMAND} feedback {job.id} {worker.id} --edit",
                tip,
            )
        comments = tuple(self._with_code(worker, tip, request.comments))
        return Feedback(
            at=0.0,
            by=caller.name,
            attempt=worker.attempt + 1,
            commit=tip,
            comments=comments,
            summary=request.summary,
            key=request.key,
            digest=_digest(request) if request.key else "",
        )

    def _has_same_code(self, worker: Worker, request: FeedbackRequest, tip: str) -> bool:
        """True if the comments, which refer to the commit ``request.commit``, fit the head ``tip``.

        After this commit, merges may have added results of the worker's child jobs to the branch.
        The comments still fit, unless these results changed a commented file.
        """
        results = {each.result for each in self._worktrees.branches.children(worker)}
        commit = tip
        while not commit.startswith(request.commit):
            if self._repository.commit_of(f"{commit}^2") not in results:
                return False
            commit = self._repository.commit_of(f"{commit}^")
        changed = {} if commit == tip else self._repository.differing_paths(commit, tip)
        return not any(path.endswith(each.path) for path in changed for each in request.comments)

    def _branch_head(self, job: Job, worker: Worker) -> str:
        branch = worker_branch(worker)
        delivery = worker.result.delivery if worker.result else None
        in_git = job.config.base or (delivery and delivery.has_worktree)
        tip = self._repository.commit_of(branch) if in_git else ""
        if not tip:
            retry_text = f"; or run the worker again: {COMMAND} retry {job.id} {worker.id}"
            raise Conflict(
                f"{worker.id} has no branch {short(branch)} to comment on; submit the wanted "
                f'change as a new request: {COMMAND} submit "..."'
                f"{'' if worker.status.succeeded else retry_text}",
                kind="no-repository",
            )
        return tip

    def _with_code(
        self, worker: Worker, tip: str, comments: tuple[Comment, ...]
    ) -> Iterator[Comment]:
        start = self._repository.commit_of(start_ref(worker))
        sides = {
            Side.NEW: self._repository.gate_files(tip),
            Side.OLD: self._repository.gate_files(start),
        }
        project_path = self._repository.project_path("").strip("/")
        prefix = f"{project_path}/" if project_path not in ("", ".") else ""
        for number, comment in enumerate(comments):
            yield _with_lines(comment, sides[comment.side], f"comments[{number}]", prefix)

    def _agent_for(self, job: Job, worker: Worker, request: FeedbackRequest) -> str:
        task = next(each for each in self._store.tasks(job.id) if each.id == worker.task_id)
        name = self._agents.resolve(request.agent or worker.agent, task)
        if task.command is not None or not self._agents.reads_prompt(name):
            raise Conflict(
                f"{worker.id} runs {'a command' if task.command else name}, which reads no "
                f'comments; submit the wanted change as a new request: {COMMAND} submit "..."'
            )
        self._agents.get(name).check(task)
        return name

    def _landed_branches(self, job: Job) -> tuple[str, ...]:
        prefix = f"{landed_refs(job.root_id, job.id)}after/"
        return tuple(
            name.removeprefix(f"{prefix}heads/")
            for name, commit in self._repository.commits_below(prefix).items()
            if (tip := self._repository.commit_of(f"refs/{name.removeprefix(prefix)}"))
            and self._repository.contains(tip, commit)
        )

    def _begin_attempt(
        self, job: Job, worker: Worker, feedback: Feedback, agent: str, landed: tuple[str, ...]
    ) -> None:
        def action(scheduler: Scheduler, now: float) -> None:
            if job.status.ended:
                check_key_limits(scheduler, job, now)
            self._trees.reopen(scheduler, job, now, check)
            present_worker = scheduler.view.workers[worker.key]
            scheduler.give_feedback(
                present_worker, replace(feedback, at=now), now, agent=agent, landed=landed
            )

        def check(scheduler: Scheduler, present_job: Job) -> None:
            check_reopens(scheduler, present_job, scheduler.view.workers[worker.key])
            if scheduler.view.workers[worker.key].attempt != worker.attempt:
                raise Conflict(
                    f"the feedback was not given: {worker.id} started another attempt during this "
                    f"call; check its latest change: {COMMAND} diff {present_job.id} {worker.id}; "
                    "then give the feedback again"
                )

        self._supervisor.call(action)

    def _feedback_given(
        self,
        caller: Caller,
        worker: Worker,
        feedback: Feedback,
        *,
        landed: tuple[str, ...] = (),
        duplicate: bool = False,
    ) -> FeedbackGiven:
        return FeedbackGiven(
            job_id=worker.job_id,
            worker_id=worker.id,
            attempt=feedback.attempt,
            run=self._access.job(caller, worker.job_id).run,
            landed=landed,
            duplicate=duplicate,
        )


def _with_lines(comment: Comment, files: GateFiles, field: str, prefix: str) -> Comment:
    # A path relative to the top of the repository is accepted, too.
    paths = (comment.path, comment.path.removeprefix(prefix))
    texts = ((path, text) for path in paths if (text := files.read(path)))
    path, text = next(texts, ("", ""))
    if not path:
        side = "the worker's base commit" if comment.side is Side.OLD else "the worker's change"
        raise InvalidRequest(f"{field}: {side} has no text file {comment.path!r}")
    lines = text.splitlines()
    if comment.end_line > len(lines):
        line_count = plural(len(lines), "line")
        raise InvalidRequest(
            f"{field}: {comment.path} has {line_count}; line {comment.end_line} does not exist"
        )
    code = "\n".join(lines[comment.line - 1 : comment.end_line])
    return replace(comment, path=path, code=cut(code, MOST_CODE, "\n... (cut)"))


def _digest(request: FeedbackRequest) -> str:
    content = json.dumps(asdict(replace(request, key="")), sort_keys=True)
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()
