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
) -> answers.checkpoints.CheckpointsAnswer:
    job = service.access.job(caller, job_id)
    checkpoints = service.checkpoints.of_job(caller, job_id)
    return answers.checkpoints.CheckpointsAnswer(
        job_id=job_id, checkpoints=[_checkpoint(job, each) for each in checkpoints]
    )


def _checkpoint(job: Job, checkpoint: Checkpoint) -> answers.checkpoints.CheckpointAnswer:
    return answers.checkpoints.CheckpointAnswer(
        worker_id=checkpoint.worker_id,
        name=checkpoint.name,
        attempt=checkpoint.attempt,
        at=moment_or_none(checkpoint.at),
        commit=checkpoint.commit,
        ref=_ref(job, checkpoint),
        files_changed=checkpoint.files_changed,
        ignored=checkpoint.has_ignored,
        not_kept=dict(checkpoint.not_kept),
        gates=checkpoint.gates,
        current=checkpoint.is_current,
    )


def _ref(job: Job, checkpoint: Checkpoint) -> str:
    if checkpoint.name == START:
        return f"{hidden(job.root_id)}start/{checkpoint.worker_id}"
    return f"{checkpoint_refs(job.root_id, checkpoint.worker_id)}{checkpoint.name}"


def rolled_back_answer(
    service: Service, caller: Caller, job_id: str, worker_id: str, checkpoint: str | None
) -> answers.checkpoints.RolledBackAnswer:
    rollback = service.checkpoints.roll_back(caller, job_id, worker_id, checkpoint)
    return answers.checkpoints.RolledBackAnswer(
        job_id=job_id,
        worker_id=worker_id,
        checkpoint=rollback.checkpoint,
        commit=rollback.commit,
        saved_as=rollback.kept,
        kept=rollback.kept,
        links=links(job_id),
    )


def recounted_answer(
    service: Service, caller: Caller, job_id: str, worker_id: str
) -> answers.checkpoints.RecountedAnswer:
    files = service.checkpoints.recount(caller, job_id, worker_id)
    return answers.checkpoints.RecountedAnswer(
        job_id=job_id, worker_id=worker_id, files_created=list(files), links=links(job_id)
    )
