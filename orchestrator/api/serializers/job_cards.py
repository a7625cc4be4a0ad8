"""Jobs in lists, with their needs."""

from orchestrator.api.serializers.common import job_path, job_summary, moment
from orchestrator.core.outcome.job.needs import Need
from orchestrator.core.ports.listings import JobCard, Progress
from orchestrator.schemas.answers.common import JobCardAnswer, NeedAnswer, TreeUsage


def job_card(card: JobCard) -> JobCardAnswer:
    tree = card.tree
    return JobCardAnswer(
        **dict(job_summary(card.job)),
        counts=dict(card.own.counts),
        tree_counts=dict(tree.counts),
        usage=tree_usage(tree),
        needs=[need_answer(need) for need in card.needs],
    )


def tree_usage(tree: Progress) -> TreeUsage:
    return TreeUsage(cost_usd=tree.cost_usd, tokens=tree.tokens, cost_partial=tree.cost_partial)


def need_answer(need: Need) -> NeedAnswer:
    return NeedAnswer(
        kind=need.kind,
        job_id=need.job_id,
        root_job_id=need.root_job_id,
        worker_id=need.worker_id,
        task_id=need.task_id,
        text=need.text,
        since=moment(need.since),
        command=need.command,
        links={"job": job_path(need.job_id)},
    )
