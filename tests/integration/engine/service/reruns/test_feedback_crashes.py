"""A server that crashes between a person's comments and the attempt that they start."""

import random
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.faults.crash_points import OF_FEEDBACK
from tests.integration.conftest import MakeCrashing, MakeServer
from tests.integration.engine.service.reruns.reviewed import (
    comments,
    make_reviewed_site,
    settings,
    tip,
    write,
)
from tests.integration.site import Site
from tests.support.examples import nightly
from tests.support.project import Project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

KEY_OF_CALL = {"Idempotency-Key": "the-only-feedback"}
#: Seconds from the answer to the kill: before, in, and after the attempt. By day only one.
INSTANTS = [
    pytest.param(instant, marks=pytest.mark.nightly if number != 3 else [])
    for number, instant in enumerate(sorted(random.Random(18).uniform(0.0, 2.0) for _ in range(6)))
]


def _check(site: Site, project: Project, job: str) -> None:
    """Check that there is one round of comments, one more attempt, and one merge of it."""
    [worker] = site.get(f"/jobs/{job}")["workers"]
    [feedback] = worker["feedback"]
    # An attempt that never began because of the crash also has a number.
    assert (feedback["attempt"], feedback["answered_by"]) == (2, worker["attempts"][-1]["number"])
    ran = [each.name for each in (site.directory(job) / "depth_0" / "worker_1").glob("seen-*.md")]
    assert sorted(ran) == ["seen-1.md", "seen-2.md"]
    assert site.status(job)["run"] == 2
    log = (site.directory(job) / "logs" / "orchestrator.log").read_text()
    kinds = Counter(line.split()[1] for line in log.splitlines())
    assert (kinds["feedback_given"], kinds["job_reopened"]) == (1, 1), kinds
    shown = project.show(f"orchestrator/{job}/result", "answer.txt")
    assert shown == "# made by attempt 2\nanswer = 42\nend = 1"
    assert project.worktrees() == []


@pytest.mark.parametrize("point", [*nightly(*OF_FEEDBACK[:-1]), OF_FEEDBACK[-1]])
def test_a_crash_loses_no_comment_and_begins_no_second_attempt(
    crashing: MakeCrashing, tmp_path: Path, point: str
) -> None:
    site, project = crashing(f"{point}#1", files={"README.md": "one\n"}, agents=settings(tmp_path))
    job = site.submit_once([write()])
    site.wait_through(job)
    body, before = comments(tip(project, job)), site.starts
    path = f"/jobs/{job}/workers/worker_1/feedback"

    answer = site.insist(lambda: site.call("POST", path, body, headers=KEY_OF_CALL))

    assert (answer["attempt"], answer["run"]) == (2, 2)
    assert site.starts == before + 1, "the server reached the failpoint"
    assert site.wait_through(job)["status"] == "completed"
    _check(site, project, job)


@pytest.mark.parametrize("instant", INSTANTS)
def test_a_kill_after_the_answer_costs_no_comment(
    make_server: MakeServer, tmp_path: Path, instant: float
) -> None:
    site, project = make_reviewed_site(make_server, tmp_path)
    job = site.run("x", [write()])["job_id"]
    path = f"/jobs/{job}/workers/worker_1/feedback"
    response = site.call("POST", path, comments(tip(project, job)), headers=KEY_OF_CALL)
    assert response.status_code == 202, response.text

    time.sleep(instant)
    site.kill()
    site.start()

    again = site.call("POST", path, comments(tip(project, job)), headers=KEY_OF_CALL)
    assert again.status_code in (202, 422), again.text  # 422: the branch has another head by now
    assert site.wait(job, 120)["status"] == "completed"
    _check(site, project, job)
