"""Builds job trees for the tests of reports. Times are seconds after ``START``."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from orchestrator.core.candidates.selection import Opinion, candidates_of, ranked
from orchestrator.core.gates.gate import GateResult
from orchestrator.core.model.attempt.attempt_result import (
    ChangeSize,
    EndedBy,
    Exit,
    LeftoverProcess,
    Usage,
)
from orchestrator.core.model.attempt.delivered_work import DeliveredWork
from orchestrator.core.model.attempt.failure import Failure, Rollback
from orchestrator.core.model.human_input.feedback import Feedback
from orchestrator.core.model.human_input.question import Question
from orchestrator.core.model.job import Attempt, Job, TaskSpec, Worker
from orchestrator.core.model.job_facts import NO_FACTS, JobFacts
from orchestrator.core.model.job_settings import JobConfig
from orchestrator.core.model.states import JobStatus, MergeState, StopCause, WorkerStatus
from orchestrator.core.model.worker_result import WorkerResult
from orchestrator.core.ports import Tree

#: 2026-03-01T12:00:00Z
START = 1_772_366_400.0

ROOT = "a1b2c3"

Span = tuple[float, float]


@dataclass
class TreeBuilder:
    """A tree that grows: jobs, then their workers."""

    slots: int = 4
    jobs: list[Job] = field(default_factory=list)
    tasks: dict[str, list[TaskSpec]] = field(default_factory=dict)
    workers: list[Worker] = field(default_factory=list)
    reviewers: list[Worker] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    sizes: Counter[str] = field(default_factory=Counter)

    def job(
        self,
        request: str,
        *,
        job_id: str = ROOT,
        parent: Worker | None = None,
        span: Span = (0.0, 0.0),
        status: JobStatus = JobStatus.RUNNING,
        cancelled_by: str | None = None,
        stop_cause: StopCause | None = None,
        merge_state: MergeState = MergeState.NONE,
        facts: JobFacts = NO_FACTS,
    ) -> Job:
        ended = status.ended
        job = Job(
            id=job_id,
            root_id=self.jobs[0].id if self.jobs else job_id,
            depth=parent.depth + 1 if parent else 0,
            request=request,
            config=JobConfig(
                max_workers=self.slots,
                default_timeout=300,
                max_retries=2,
                max_depth=3,
                max_wall_seconds=3600,
            ),
            status=status,
            parent_worker_id=parent.id if parent else None,
            parent_job_id=parent.job_id if parent else None,
            created_at=START + span[0],
            started_at=START + span[0],
            ended_at=START + span[1] if ended else None,
            cancelled_by=cancelled_by,
            stop_cause=stop_cause or (StopCause.USER if cancelled_by else None),
            merge_state=merge_state,
            facts=facts,
        )
        self.jobs.append(job)
        self.tasks[job_id] = []
        return job

    def worker(
        self,
        job: Job,
        worker_id: str,
        task: TaskSpec,
        *runs: Span,
        status: WorkerStatus = WorkerStatus.SUCCESS,
        agent: str = "shell",
        output: str = "",
        reason: str = "",
        files: Iterable[str] = (),
        usage: Usage | None = None,
        cpu_seconds: float = 0.5,
        peak_memory_bytes: int = 12_300_000,
        strays: tuple[LeftoverProcess, ...] = (),
        ended_at: float | None = None,
        failures: tuple[Failure, ...] = (),
        rollbacks: tuple[Rollback, ...] = (),
        change: ChangeSize | None = None,
        gates: tuple[GateResult, ...] = (),
        delivery: DeliveredWork | None = None,
        feedback: tuple[Feedback, ...] = (),
        question: Question | None = None,
    ) -> Worker:
        if not self.tasks[job.id] or self.tasks[job.id][-1] != task:
            self.tasks[job.id].append(task)
        end = runs[-1][1] if runs else ended_at
        worker = Worker(
            id=worker_id,
            job_id=job.id,
            root_id=job.root_id,
            task_id=task.id,
            index=self.sizes[job.id],
            depth=job.depth,
            agent=agent,
            status=status,
            reason=reason,
            attempt=len(runs),
            started_at=START + runs[0][0] if runs else None,
            ended_at=None if end is None else START + end,
            result=WorkerResult(
                output=output,
                files_created=tuple(files),
                usage=usage or Usage(),
                exit_code=0 if status.succeeded else 1,
                work_seconds=sum(end - start for start, end in runs),
                cpu_seconds=cpu_seconds,
                peak_memory_bytes=peak_memory_bytes,
                strays=strays,
                failures=failures,
                rollbacks=rollbacks,
                change=change,
                gates=gates,
                delivery=delivery,
                feedback=feedback,
            )
            if runs
            else None,
            question=question,
        )
        self.sizes[job.id] += 1
        self.workers.append(worker)
        self._attempts(worker, runs, strays)
        return worker

    def _attempts(
        self, worker: Worker, runs: Sequence[Span], strays: tuple[LeftoverProcess, ...]
    ) -> None:
        for number, (start, end) in enumerate(runs, start=1):
            last = number == len(runs)
            self.attempts.append(
                Attempt(
                    root_id=worker.root_id,
                    worker_id=worker.id,
                    number=number,
                    job_id=worker.job_id,
                    started_at=START + start,
                    ended_at=START + end,
                    reason="" if last else "the command ended with exit code 56",
                    exit=Exit(
                        containment="subreaper",
                        ended_by=EndedBy.EXIT,
                        code=0 if last and worker.status.succeeded else 1,
                        peak_memory_bytes=worker.result.peak_memory_bytes if worker.result else 0,
                        strays=strays if last else (),
                    ),
                )
            )

    def _linked(self, worker: Worker) -> Worker:
        children = tuple(job.id for job in self.jobs if job.parent_worker_id == worker.id)
        return replace(worker, child_job_ids=children)

    def compare(self, task_id: str, opinions: Mapping[str, Opinion] | None = None) -> None:
        """Give the candidates of a task the ranks that a comparison would give them."""
        own = [worker for worker in self.workers if worker.task_id == task_id]
        standings = {
            each.worker_id: standing for each, standing in ranked(candidates_of(own, opinions))
        }
        self.workers = [
            replace(each, result=replace(each.result, standing=standings[each.id]))
            if each.id in standings and each.result
            else each
            for each in self.workers
        ]

    @property
    def tree(self) -> Tree:
        order = {job.id: place for place, job in enumerate(self.jobs)}
        workers = sorted(map(self._linked, self.workers), key=lambda w: (order[w.job_id], w.index))
        return Tree(
            jobs=self.jobs,
            tasks=self.tasks,
            workers=workers,
            reviewers=self.reviewers,
            attempts=self.attempts,
            last_seq=9,
        )
