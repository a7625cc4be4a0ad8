"""Pausing one job and all jobs, with real processes, and across a killed server."""

from pathlib import Path

import pytest

from orchestrator.cli.command_context import CliContext
from orchestrator.cli.command_line.main import execute
from orchestrator.cli.output.command_paths import COMMAND
from tests.integration.conftest import MakeServer, MakeSite
from tests.integration.site import KEY, Answer, InProcess, shell, until, worker_processes
from tests.support.examples import nightly


def in_a_row(effects: Path) -> list[Answer]:
    hold = f"echo a >> {effects}; until [ -e {effects}.go ]; do sleep 0.02; done"
    return [shell(hold, id="a"), shell(f"echo b >> {effects}", id="b", depends_on=["a"])]


def test_a_paused_job_finishes_what_runs_and_starts_nothing(site: InProcess, effects: Path) -> None:
    job = site.submit("x", in_a_row(effects))
    until(effects.read_text, "the first one runs")

    paused = site.call("POST", f"/jobs/{job}/pause")
    again = site.call("POST", f"/jobs/{job}/pause", {"running": "finish"})
    Path(f"{effects}.go").touch()

    assert (paused.status_code, again.status_code) == (202, 202)
    assert paused.json()["paused"] == again.json()["paused"]
    until(lambda: site.status(job)["workers"].get("success") == 1, "the first one ends")
    status = site.status(job)
    assert status["status"] == "running"
    assert status["paused"]["by"] == "default"
    assert status["reason"].startswith("paused by key 'default'; resume: ")
    assert site.get("/jobs")["jobs"][0]["paused"]["running"] == "finish"
    assert until(lambda: site.status_file(job)["paused"], "status.json shows the pause")
    assert effects.read_text() == "a\n"

    site.call("POST", f"/jobs/{job}/resume")
    ended = site.wait(job)
    assert (ended["status"], effects.read_text()) == ("completed", "a\nb\n")
    _refused(site, job, f"job {job} has ended; show its result: bin/orchestrator status {job}")


def test_an_unsuccessful_job_has_ended_and_can_be_retried(site: InProcess) -> None:
    job = site.run("x", [shell("exit 1")], max_retries=0)["job_id"]
    again = f"to run its unsuccessful tasks again: bin/orchestrator retry {job}"
    _refused(site, job, f"job {job} has ended; {again}")
    assert site.call("POST", f"/jobs/{job}/retry").status_code == 202
    site.wait(job)


def test_gates_that_did_not_run_offer_no_retry(site: InProcess) -> None:
    ended = site.run("x", [shell("echo 1 > a.py")], unjudged="fail")
    job = ended["job_id"]
    assert ended["status"] == "failed", ended
    assert site.call("POST", f"/jobs/{job}/retry").status_code == 409
    _refused(site, job, f"job {job} has ended; show its result: bin/orchestrator status {job}")


def _refused(site: InProcess, job: str, detail: str) -> None:
    for call in ("pause", "resume", "budget"):
        body = {"max_steps": 5} if call == "budget" else {}
        late = site.call("POST", f"/jobs/{job}/{call}", body)
        assert (late.status_code, late.json()["detail"]) == (409, detail)


def test_a_pause_that_stops_runs_the_worker_again_later(site: InProcess, effects: Path) -> None:
    job = site.submit("x", in_a_row(effects), max_retries=0)
    until(effects.read_text, "the first one runs")

    site.call("POST", f"/jobs/{job}/pause", {"running": "stop"})
    until(lambda: not worker_processes(job), "nothing of it runs")
    until(lambda: site.status(job)["workers"] == {"pending": 2}, "it is to run again")
    Path(f"{effects}.go").touch()
    site.call("POST", f"/jobs/{job}/resume")

    assert site.wait(job)["status"] == "completed"
    assert effects.read_text() == "a\na\nb\n"
    first = site.get(f"/jobs/{job}")["workers"][0]
    assert [each["ended_by"] for each in first["attempts"]] == ["cancel", "exit"]


def test_everything_is_paused_and_jobs_that_come_later_wait(
    site: InProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    assert site.call("POST", "/pause").json()["paused"]["cause"] == "everything"
    job = site.submit("x", [shell("true")])
    health = site.call("GET", "/../../health").json()

    assert "all jobs are paused by key 'default'" in health["paused"]
    assert health["ready"]
    assert site.status(job)["status"] == "pending"
    assert site.call("POST", f"/jobs/{job}/resume").status_code == 409
    capsys.readouterr()
    environ = {"ORCHESTRATOR_API_URL": site.url, "ORCHESTRATOR_API_KEY": KEY}
    assert execute(["pause", "--all"], CliContext(folder=site.folder, environ=environ)) == 0
    assert capsys.readouterr().out == (
        f"all jobs are paused (API key: default); resume: {COMMAND} resume --all\n"
    )
    assert execute(["resume", "--all"], CliContext(folder=site.folder, environ=environ)) == 0
    assert capsys.readouterr().out == (
        "the pause of all jobs has ended; jobs that were paused individually stay paused\n"
    )

    assert "paused" not in site.call("POST", "/resume").json()
    assert site.wait(job)["status"] == "completed"


def test_only_people_pause_and_only_admins_pause_everything(make_site: MakeSite) -> None:
    keys = [{"name": "ci", "key": "a-key-that-only-submits", "scopes": ["submit"]}]
    site = make_site(api={"port": 0, "api_key": "the-key-of-the-engine-tests", "keys": keys})
    hold = "printenv ORCHESTRATOR_API_KEY > .k && mv .k key; sleep 300"
    job = site.submit("x", [shell(hold)])
    worker = site.key_of(job)

    assert site.call("POST", "/pause", key=worker).status_code == 403
    assert site.call("POST", "/pause", key="a-key-that-only-submits").status_code == 403
    assert site.call("POST", f"/jobs/{job}/pause", key=worker).status_code in (403, 404)
    assert site.call("POST", f"/jobs/{job}/pause", {"running": "later"}).status_code == 422
    site.call("POST", f"/jobs/{job}/cancel")
    site.wait(job)


@pytest.mark.parametrize("everything", [True, *nightly(False)])
def test_a_pause_outlives_a_server_that_is_killed(
    make_server: MakeServer, effects: Path, everything: bool
) -> None:
    server = make_server()
    job = server.submit("x", in_a_row(effects), max_retries=0)
    until(effects.read_text, "the first one runs")
    path = "/pause" if everything else f"/jobs/{job}/pause"
    server.call("POST", path, {"running": "stop"})

    server.kill()
    server.start()

    until(lambda: server.status(job)["workers"] == {"pending": 2}, "it is to run again")
    assert server.status(job)["paused"]["running"] == "stop"
    Path(f"{effects}.go").touch()
    server.call("POST", path.replace("pause", "resume"))
    assert server.wait(job)["status"] == "completed"
    assert effects.read_text() == "a\na\nb\n"
