"""Rows of jobs in lists."""

import json
from collections.abc import Collection, Sequence
from dataclasses import replace

import pytest

from orchestrator.api.serializers import job_lists
from orchestrator.api.serializers.job_lists import LatestCards, job_card, jobs_bytes
from orchestrator.api.serializers.json_encoding import encoded
from orchestrator.core.model.job import Job
from orchestrator.core.ports.read_models import JobCard, ListedJob, Progress
from orchestrator.schemas.answers.job_list import JobsAnswer
from tests.contract.store_values import a_job


class _Jobs:
    """Jobs that count how often their rows are created."""

    def __init__(self, *jobs: Job) -> None:
        self.jobs = {job.id: job for job in jobs}
        self.made: list[str] = []

    def cards(self, job_ids: Collection[str]) -> Sequence[JobCard]:
        self.made += job_ids
        return [self.card(each) for each in reversed(list(job_ids)) if each in self.jobs]

    def card(self, job_id: str) -> JobCard:
        return JobCard(job=self.jobs[job_id], own=Progress(), tree=Progress())


def listed(**versions: int) -> dict[ListedJob, int]:
    return {ListedJob(name, name): version for name, version in versions.items()}


def test_a_row_is_made_again_only_after_a_change() -> None:
    jobs, latest = _Jobs(a_job("a"), a_job("b")), LatestCards()
    first = latest.of(listed(a=1, b=1), jobs.cards)
    assert [json.loads(row)["job_id"] for row in first] == ["a", "b"]
    jobs.jobs["b"] = replace(jobs.jobs["b"], reason="changed")
    assert latest.of(listed(b=1, a=1), jobs.cards) == list(reversed(first))
    assert jobs.made == ["a", "b"]
    (row,) = latest.of(listed(b=2), jobs.cards)
    assert json.loads(row)["reason"] == "changed"
    assert jobs.made == ["a", "b", "b"]


def test_a_job_that_was_deleted_during_the_read_has_no_row() -> None:
    jobs = _Jobs(a_job("a"))
    assert len(LatestCards().of(listed(gone=1, a=1), jobs.cards)) == 1


def test_rows_of_jobs_that_were_not_listed_lately_are_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(job_lists, "MOST_CACHED", 2)
    jobs, latest = _Jobs(*map(a_job, "abc")), LatestCards()
    for names in ({"a": 1, "b": 1}, {"a": 1}, {"c": 1}, {"a": 1}, {"b": 1}):
        latest.of(listed(**names), jobs.cards)
    assert jobs.made == ["a", "b", "c", "b"]


def test_joined_rows_are_the_answer_as_one() -> None:
    jobs = _Jobs(a_job("a", request='"jobs":[] é'), a_job("b"))
    rows = LatestCards().of(listed(a=1, b=1), jobs.cards)
    whole = JobsAnswer(
        jobs=[job_card(jobs.card(name)) for name in "ab"], total=7, page=2, page_size=5
    )
    assert jobs_bytes(rows, total=7, page=2, page_size=5) == encoded(whole)
    empty = JobsAnswer(jobs=[], total=0, page=1, page_size=5)
    assert jobs_bytes([], total=0, page=1, page_size=5) == encoded(empty)
