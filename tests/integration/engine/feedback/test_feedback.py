"""Comments on a worker's change become one more attempt on its branch."""

from pathlib import Path

from tests.integration.engine.conftest import MakeSite
from tests.integration.engine.feedback.reviewed import begun, comments, prompt, tip, write


def test_a_comment_is_corrected_by_a_second_attempt_and_merged(
    make_site: MakeSite, tmp_path: Path
) -> None:
    site, project = begun(make_site, tmp_path)
    ended = site.run("x", [write()])
    job, first = ended["job_id"], tip(project, ended["job_id"])
    assert (ended["status"], ended["run"]) == ("completed", 1), ended

    given = site.call("POST", f"/jobs/{job}/workers/worker_1/feedback", comments(first))

    assert given.status_code == 202, given.text
    answer = given.json()
    told = {name: answer[name] for name in ("job_id", "worker_id", "attempt", "run", "landed")}
    assert told == {
        "job_id": job,
        "worker_id": "worker_1",
        "attempt": 2,
        "run": 2,
        "landed": [],
    }
    again = site.wait(job)
    assert (again["status"], again["run"], again["reason"]) == ("completed", 2, "")
    result = f"orchestrator/{job}/result"
    assert project.show(result, "answer.txt") == "# made by attempt 2\nanswer = 42\nend = 1"
    assert first in project.git("rev-list", result).split()
    seen = prompt(site, job, 2)
    for each in ("## Review comments", "`answer.txt`, line 2", "answer = 41", "use 42"):
        assert each in seen
    [worker] = site.get(f"/jobs/{job}")["workers"]
    assert (worker["status"], len(worker["attempts"])) == ("success", 2)
    [round] = worker["feedback"]
    assert (round["commit"], round["attempt"], round["answered_by"]) == (first, 2, 2)
    assert round["comments"][0]["code"] == "answer = 41"
