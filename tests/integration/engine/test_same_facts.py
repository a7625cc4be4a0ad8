"""API, command line, and reports show the same facts of a job."""

import json

import click
import pytest

from orchestrator.api.client import OrchestratorClient
from orchestrator.cli.offline.jobs_on_disk import all_jobs, find_job, root_jobs, whole_job
from orchestrator.cli.output.complete_status import status_with_all_workers
from orchestrator.cli.output.job_summary import ending_lines, outcome_line
from orchestrator.cli.output.status_answer import seconds_taken
from orchestrator.cli.output.status_lines import status_lines
from tests.integration.conftest import MakeSite
from tests.integration.site import KEY, REPOSITORY, Answer, shell, until

pytestmark = pytest.mark.usefixtures("spawning")


def test_lists_of_jobs_are_the_same_with_the_server_up_and_down(make_site: MakeSite) -> None:
    site = make_site()
    nested = "orchestrator spawn below --command true --wait"
    site.run("above", [shell(nested)])

    up = {job["job_id"]: job for job in site.get("/jobs")["jobs"]}
    down = {job["job_id"]: job for job in all_jobs(site.workspace)}

    assert up.keys() == down.keys() and len(up) == 2
    assert [job["job_id"] for job in root_jobs(site.workspace)] == [
        job["job_id"] for job in site.get("/jobs?depth=0")["jobs"]
    ]
    for job_id, job in down.items():
        for name in ("status", "request"):
            assert job[name] == up[job_id][name]


def test_the_rows_of_a_running_job_are_the_same_with_the_server_up_and_down(
    make_site: MakeSite,
) -> None:
    site = make_site()
    release = site.folder / "release"
    hold = f"until [ -e {release} ]; do sleep 0.02; done"
    spawn = (
        f"orchestrator spawn one --command true --wait; orchestrator spawn two --command '{hold}'"
    )
    job_id = site.submit("take a while", [shell(f"{spawn} --wait"), shell(hold)])

    def rows(answer: Answer) -> list[list[str]]:
        shown = [click.unstyle(line) for line in status_lines(answer, 200)]
        # Without the duration in the first line, because it changes.
        return [[shown[0].rpartition(";")[2]], *(line.split() for line in shown[1:])]

    def both() -> tuple[list[list[str]], list[list[str]]]:
        with OrchestratorClient(site.url, KEY) as client:
            up = status_with_all_workers(client, job_id, of_last_child_jobs=False)
        return rows(up), rows(whole_job(site.workspace, job_id))

    def are_equal() -> bool:
        up, down = both()
        return up == down and any("worker_1_2" in line for line in up)

    try:
        until(are_equal, "both show the worker of the second child job")
        up, _ = both()
        assert [line[:2] for line in up if line[0].startswith("worker")] == [
            ["worker_1", "waiting"],
            ["worker_1_1", "success"],
            ["worker_1_2", "running"],
            ["worker_2", "running"],
        ]
        first, second = site.get(f"/jobs/{job_id}")["child_job_ids"]
        assert find_job(site.workspace, first)["results"]["tasks"][0]["worker_id"] == "worker_1_1"
        assert find_job(site.workspace, second)["request"] == "two"
    finally:
        release.touch()
    site.wait(job_id)
    until(lambda: both()[0] == both()[1], "both show the end")


def test_a_jobs_duration_is_one_figure(make_site: MakeSite) -> None:
    site = make_site()
    nested = "orchestrator spawn below --command 'sleep 0.1' --wait"

    answer = site.run("take a while", [shell(nested), shell("true")])

    job_id = answer["job_id"]
    figures = json.loads((site.directory(job_id) / "reports" / "analytics.json").read_text())
    shown = {
        "analytics.json": figures["wall_seconds"],
        "status": answer["seconds"],
        "status.json": site.status_file(job_id)["seconds"],
        "terminal": seconds_taken(answer),
        "job": site.get(f"/jobs/{job_id}")["seconds"],
    }
    assert set(shown.values()) == {figures["wall_seconds"]}, shown
    assert figures["wall_seconds"] >= 0.1


def test_the_last_lines_are_the_same_with_the_server_up_and_down(make_site: MakeSite) -> None:
    site = make_site()
    task = {"agent": "survey", "title": "the shop", "env": {"PYTHONPATH": str(REPOSITORY)}}
    job_id = site.run("Build a shop with a cart", [task])["job_id"]

    with OrchestratorClient(site.url, KEY) as client:
        answers = [client.wait(job_id), client.status(job_id), whole_job(site.workspace, job_id)]

    assert [each["nothing_built"] for each in answers] == [True] * 3
    assert ["but nothing was built" in outcome_line(each) for each in answers] == [True] * 3
    lines = ending_lines(answers[0], 1000)
    assert [ending_lines(each, 1000) for each in answers] == [lines] * 3
    assert lines[-1].startswith("Note: nothing was built: no AI agent")
    assert lines[-1].endswith("bin/orchestrator agents")
    assert not site.run("Survey the shop", [task])["nothing_built"]
    broken = {
        "agent": "survey",
        "title": "the shop",
        "retries": 0,
        "env": {"PYTHONPATH": "/missing"},
    }
    assert not site.run("Build a shop", [broken])["nothing_built"], "the worker has failed"
