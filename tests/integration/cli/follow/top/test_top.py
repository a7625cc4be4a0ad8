"""``top`` on a real server: its calls, and the effects of its keys."""

import json
import os

import pytest

from orchestrator.cli.command_context import CliContext
from orchestrator.cli.command_line.main import execute
from orchestrator.cli.follow.top.frame import Frame
from orchestrator.cli.follow.top.main_loop import Refresher
from orchestrator.cli.follow.top.screen_model import JobLine
from orchestrator.cli.follow.top.snapshots import AnySource
from orchestrator.cli.follow.top.visible_rows import View
from tests.integration.conftest import MakeSite
from tests.integration.site import HOLD, KEY, InProcess, shell, until

pytestmark = pytest.mark.slow


def context_of(site: InProcess) -> CliContext:
    server = {"ORCHESTRATOR_API_URL": site.url, "ORCHESTRATOR_API_KEY": KEY}
    return CliContext(folder=site.folder, environ={"PATH": os.environ["PATH"], **server})


def test_top_shows_jobs_workers_and_last_lines_live(
    make_site: MakeSite, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "150")
    site = make_site()
    done = site.run("An ended job", [shell("true")])["job_id"]
    held = shell(f"echo now at step 7; {HOLD}", title="The held one", env={"RELEASE": "go"})
    job = site.submit("A running job", [held, shell("exit 3")])
    site.key_of(job)
    until(lambda: site.status(job)["counts"].get("failed"), "worker_2 has failed")

    assert execute(["top", "--once"], context_of(site)) == 0
    lines = capfd.readouterr().out.splitlines()
    assert "2 jobs, 1 unfinished · 1 worker running" in lines[0]
    shown = {line.split()[0].lstrip("!"): line for line in lines if "worker_" in line}
    rows = [line for line in lines if "worker_" in line]
    assert ["failed" in row for row in rows] == [True, False], shown
    assert "The held one" in rows[1] and "now at step 7" in rows[1] and "shell" in rows[1]
    # An ended job is closed.
    assert sum(done in line for line in lines) == 1

    source, view = AnySource(context_of(site)), View()
    refresher = Refresher(source, "", lambda: None)
    refresher.start()
    refresher.run_action(lambda: _cancelled(source, job))
    until(lambda: "cancelled" in _status(refresher, view, job), "the next refresh shows it")
    refresher.stop()
    assert any(row.worker and row.worker.status == "cancelled" for row in view.rows) or (
        not view.is_open(_job(refresher, job))
    )
    assert Frame(snapshot=refresher.latest()[0], view=view).lines(100, 20)


def _cancelled(source: AnySource, job: str) -> str:
    assert source.client is not None
    return str(source.client.cancel(job)["status"])


def _job(refresher: Refresher, job: str) -> JobLine:
    return next(each for each in refresher.latest()[0].jobs if each.job_id == job)


def _status(refresher: Refresher, view: View, job: str) -> str:
    snapshot = refresher.latest()[0]
    view.show(snapshot)
    return "".join(each.status for each in snapshot.jobs if each.job_id == job)


@pytest.mark.nightly
def test_the_rows_of_a_job_and_its_worker_have_tokens_and_cost_with_and_without_a_server(
    make_site: MakeSite, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    site = make_site()
    job = site.submit("x", [shell(HOLD, env={"RELEASE": "go"})])
    used = {"input_tokens": 900, "output_tokens": 400, "cost_usd": 0.25}
    assert site.call("POST", "/usage", used, key=site.key_of(job)).status_code == 200

    def cells(*arguments: str) -> list[list[str]]:
        assert execute(["top", "--once", *arguments], context_of(site)) == 0
        lines = capfd.readouterr().out.splitlines()
        return [line.split()[-3:-1] for line in lines if f" {job} " in line or "worker_1" in line]

    assert cells() == cells(job) == [["1.3k", "$0.25"]] * 2
    assert site.call("POST", f"/jobs/{job}/cancel").status_code == 202
    site.wait(job)
    site.stop()
    assert cells() == [["1.3k", "$0.25"]]
    assert cells(job) == [["1.3k", "$0.25"]] * 2


def test_top_continues_with_files_when_the_server_has_stopped(make_site: MakeSite) -> None:
    site = make_site()
    job = site.run("x", [shell("echo hello")])["job_id"]
    source, view = AnySource(context_of(site)), View(opened={job: True})
    refresher = Refresher(source, "", lambda: None)
    refresher.set_view({job: True}, [])

    first = refresher.read()
    assert (first.is_offline, [each.job_id for each in first.jobs]) == (False, [job])
    site.stop()
    second = refresher.read()

    assert second.is_offline
    for each in (first, second):
        view.show(each)
        assert [row.key for row in view.rows] == [(job, ""), (job, "worker_1")]
    assert source.log(job, "worker_1") == ["hello"]


def test_usage_has_rows_of_agents_days_and_labels(
    make_site: MakeSite, capfd: pytest.CaptureFixture[str]
) -> None:
    site = make_site()
    tasks = [shell("true"), shell("exit 3")]
    site.run("Labelled", tasks, labels={"team": "web"})

    assert execute(["usage"], context_of(site)) == 0
    found = capfd.readouterr().out.splitlines()
    assert found[0].split()[0] == "AGENT"
    assert found[1].split()[:4] == ["shell", "1", "2", "1"]
    assert execute(["usage", "--by", "label:team"], context_of(site)) == 0
    assert capfd.readouterr().out.splitlines()[1].split()[0] == "web"
    assert execute(["usage", "--by", "day", "--json"], context_of(site)) == 0
    assert json.loads(capfd.readouterr().out)["rows"][0]["workers"] == 2
    assert execute(["usage", "--since", "1s"], context_of(site)) == 0
    capfd.readouterr()
    assert execute(["usage", "--by", "color"], context_of(site)) != 0
    assert "agent" in capfd.readouterr().err
