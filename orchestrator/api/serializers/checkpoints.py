"""Answers about checkpoints."""

from __future__ import annotations

from orchestrator.api.serializers.answer_parts import links, moment_or_none
from orchestrator.core.model.attempt.failure import START
from orchestrator.core.model.caller import Caller
from orchestrator.core.model.job import Job
from orchestrator.core.ports.read_models import Checkpoint
from orchestrator.core.repository.git_refs import checkpoint_refs, hidden
from orchestrator.engine.service.service import Service
from orchestrator.schemas import answers


def checkpoints_answer(
    service: Service, caller: Caller, job_id: str
) -> answers.job.CheckpointsAnswer:
    job = service.access.job(caller, job_id)
    found = service.checkpoints.of_job(caller, job_id)
    return answers.job.CheckpointsAnswer(
        job_id=job_id, checkpoints=[_checkpoint(job, one) for one in found]
    )


def _checkpoint(job: Job, found: Checkpoint) -> answers.job.CheckpointAnswer:
    return answers.job.CheckpointAnswer(
        worker_id=found.worker_id,
        name=found.name,
        attempt=found.attempt,
        at=moment_or_none(found.at),
        commit=found.commit,
        ref=_ref(job, found),
        files_changed=found.files_changed,
        ignored=found.has_ignored,
        not_kept=dict(found.not_kept),
        gates=found.gates,
        current=found.is_current,
    )


def _ref(job: Job, found: Checkpoint) -> str:
    if found.name == START:
        return f"{hidden(job.root_id)}start/{found.worker_id}"
    return f"{checkpoint_refs(job.root_id, found.worker_id)}{found.name}"


def rolled_back_answer(
    service: Service, caller: Caller, job_id: str, worker_id: str, checkpoint: str | None
) -> answers.job.RolledBackAnswer:
    done = service.checkpoints.roll_back(caller, job_id, worker_id, checkpoint)
    return answers.job.RolledBackAnswer(
        job_id=job_id,
        worker_id=worker_id,
        checkpoint=done.checkpoint,
        commit=done.commit,
        saved_as=done.kept,
        kept=done.kept,
        links=links(job_id),
    )


def recounted_answer(
    service: Service, caller: Caller, job_id: str, worker_id: str
) -> answers.job.RecountedAnswer:
    files = service.checkpoints.recount(caller, job_id, worker_id)
    return answers.job.RecountedAnswer(
        job_id=job_id, worker_id=worker_id, files_created=list(files), links=links(job_id)
    )
