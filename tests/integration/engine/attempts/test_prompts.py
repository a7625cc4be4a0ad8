"""Prompts of real workers: the shared beginning, and the worker that starts first."""

import json
import sys
from pathlib import Path

import pytest

from tests.integration.conftest import MakeServer, MakeSite
from tests.integration.site import REPOSITORY, Answer, InProcess, Site, shell, until
from tests.support.examples import nightly
from tests.unit.agents.prompts.test_prompts import beginning_of

AGENT = """
import json, os, pathlib, sys, time, urllib.request
prompt = sys.stdin.read()
pathlib.Path("begun").touch()

def report(usage):
    url = os.environ["ORCHESTRATOR_API_URL"] + "/api/v1/usage"
    headers = {"X-API-Key": os.environ["ORCHESTRATOR_API_KEY"], "Content-Type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(url, json.dumps(usage).encode(), headers)).read()

def wait_for(name):
    while not pathlib.Path(os.environ[name]).exists():
        time.sleep(0.02)

if "ANSWER" in os.environ:
    wait_for("ANSWER")
    report({"input_tokens": 10, "output_tokens": 1, "cache_read_tokens": 2000})
if "RELEASE" in os.environ:
    wait_for("RELEASE")
print("done" * int(os.environ.get("TIMES", "1")))
"""


def settings(tmp_path: Path) -> dict[str, Answer]:
    script = tmp_path / "agent.py"
    script.write_text(AGENT)
    command = [sys.executable, str(script)]
    return {
        "reader": {"command": command},
        "cacher": {"command": [*command], "caches_prompts": True},
    }


@pytest.fixture
def site(make_site: MakeSite, tmp_path: Path) -> InProcess:
    made = make_site(agents=settings(tmp_path))
    (made.folder / "project" / "shop.py").write_text("def buy_a_cart():\n    pass\n")
    return made


def task(prompt: str, agent: str = "reader", **more: object) -> Answer:
    return {"prompt": prompt, "agent": agent, **more}


def prompt(site: Site, job_id: str, worker: str = "worker_1", depth: int = 0) -> str:
    return (site.directory(job_id) / f"depth_{depth}" / worker / "prompt.md").read_text()


def context(site: Site, root_id: str, job_id: str | None = None) -> str:
    return (site.directory(root_id) / "context" / f"job_{job_id or root_id}.md").read_text()


def test_all_prompts_of_a_job_begin_with_the_same_bytes(site: InProcess) -> None:
    tasks = [task(f"{name} part", role="backend") for name in ("first", "second", "third")]

    ended = site.run("Build a shop", tasks, context="Amounts are in cents.")

    job_id = ended["job_id"]
    prompts = [prompt(site, job_id, f"worker_{number}") for number in (1, 2, 3)]
    assert ended["status"] == "completed"
    assert beginning_of(prompts) == context(site, job_id)
    for text in ("Build a shop", "Amounts are in cents.", "buy_a_cart"):
        assert text in context(site, job_id)
    assert "Your role: backend" in prompts[0]
    assert "Every input" not in context(site, job_id)


def test_jobs_without_an_agent_that_reads_prompts_have_no_context(site: InProcess) -> None:
    survey = {"prompt": "look", "agent": "survey", "env": {"PYTHONPATH": str(REPOSITORY)}}

    ended = site.run("x", [shell("true"), survey])

    assert ended["status"] == "completed"
    assert not (site.directory(ended["job_id"]) / "context").exists()
    assert not list(site.directory(ended["job_id"]).glob("depth_0/*/prompt.md"))


def test_context_files_are_given_to_every_worker(site: InProcess) -> None:
    (site.folder / "project" / "api.md").write_text("GET /cart")
    (site.folder / "secret").write_text("SECRET")
    files = ["api.md", str(site.folder / "secret")]

    ended = site.run("x", [task("y"), task("z")], context_files=files)

    for worker in ("worker_1", "worker_2"):
        assert "GET /cart" in prompt(site, ended["job_id"], worker)
        assert "SECRET" not in prompt(site, ended["job_id"], worker)
    assert site.get(f"/jobs/{ended['job_id']}")["config"]["context_files"] == files


@pytest.mark.usefixtures("spawning")
def test_a_worker_passes_context_down_and_gets_a_digest_back(site: InProcess) -> None:
    tasks = json.dumps([task("part", env={"TIMES": "5000"}, id="a")])
    command = (
        f"echo 'of the worker' > notes.md; echo '{tasks}' > tasks.json; "
        "orchestrator spawn 'the cart' --tasks tasks.json "
        "--context 'In cents.' --context-file notes.md --wait"
    )

    ended = site.run("Build a shop", [shell(command)])

    [row] = ended["results"]["tasks"]
    child = prompt(site, ended["job_id"], "worker_1_1", depth=1)
    assert row["status"] == "recursive_success", row
    for text in ("Build a shop", "the cart", "In cents.", "of the worker", "buy_a_cart"):
        assert text in child
    # The part that all jobs of the tree share is also the same.
    assert child.startswith(context(site, ended["job_id"], row["child_job_id"]))
    assert len(row["output"]) < 3000
    assert row["child_results"][0]["workspace"] in row["output"]
    assert row["child_results"][0]["log"] in row["output"]


def test_an_unknown_role_is_refused_and_nothing_starts(site: InProcess) -> None:
    response = site.post("x", [task("y", role="wizard")])

    assert response.status_code == 422
    assert "unknown role 'wizard'; known: backend" in response.json()["detail"]
    assert site.get("/jobs")["total"] == 0


@pytest.mark.parametrize("place", ["project/.orchestrator/roles", *nightly("roles")])
def test_a_users_role_is_in_the_prompt(make_site: MakeSite, tmp_path: Path, place: str) -> None:
    roles, project = tmp_path / place, tmp_path / "project"
    roles.mkdir(parents=True)
    project.mkdir(exist_ok=True)
    (roles / "artist.md").write_text("Draw well.")
    site = make_site(
        agents=settings(tmp_path),
        orchestrator={"project_root": str(project)},
        workers={"roles_dir": str(roles) if place == "roles" else None},
    )

    ended = site.run("x", [task("y", role="artist")])

    assert "## Your role: artist\n\nDraw well.\n" in prompt(site, ended["job_id"])


def test_results_are_summarised_within_a_budget(site: InProcess) -> None:
    tasks = [
        task("one", id="a", env={"TIMES": "6000"}),
        task("two", id="b", env={"TIMES": "6000"}),
        task("join", id="c", depends_on=["a", "b"]),
    ]

    ended = site.run("x", tasks)

    whole = (site.directory(ended["job_id"]) / "depth_0/worker_3/dependencies.json").read_text()
    text = prompt(site, ended["job_id"], "worker_3")
    assert len(json.loads(whole)["a"]["output"]) == 24_000
    assert text.count("donedone") == 2 * 8 * 1024 // 8
    assert text.count("the complete result is in `dependencies.json`") == 2
    figures = json.loads((site.directory(ended["job_id"]) / "reports/analytics.json").read_text())
    assert figures["prompt_bytes_left_out"]["value"] == 2 * (24_000 - 8 * 1024)
    shared = len(context(site, ended["job_id"]).encode())
    assert figures["prompt_bytes_shared"]["value"] == 2 * shared


def test_the_first_worker_starts_alone_until_it_has_an_answer(
    site: InProcess, tmp_path: Path
) -> None:
    answer, release = tmp_path / "answer", tmp_path / "release"
    env = {"ANSWER": str(answer), "RELEASE": str(release)}
    job_id = site.submit("x", [task("a", "cacher", env=env), task("b", "cacher", env=env)])
    first, second = (
        site.directory(job_id) / "depth_0" / worker / "begun" for worker in ("worker_1", "worker_2")
    )
    until(first.exists, "the first has begun")

    def reason() -> str:
        workers = site.get(f"/jobs/{job_id}")["workers"]
        return str(next(each["reason"] for each in workers if each["worker_id"] == "worker_2"))

    assert "waiting: worker_1 is" in reason()
    assert not second.exists()

    answer.touch()
    until(second.exists, "the second has begun")
    assert site.status(job_id)["status"] == "running", "the first worker still runs"
    release.touch()

    assert site.wait(job_id)["status"] == "completed"
    figures = json.loads((site.directory(job_id) / "reports/analytics.json").read_text())
    assert figures["cache_read_tokens"] == {"value": 4000, "known": 2, "unknown": 0}
    report = (site.directory(job_id) / "reports" / "timeline.md").read_text()
    assert "| Input tokens from a cache | 4,000 |" in report


def test_without_git_or_a_project_prompts_do_without_a_digest(
    make_site: MakeSite, tmp_path: Path
) -> None:
    site = make_site(agents=settings(tmp_path))

    ended = site.run("x", [task("y")])

    assert ended["status"] == "completed"
    assert "A digest of its files" not in prompt(site, ended["job_id"])


def test_a_context_that_cannot_be_created_costs_only_the_digest(site: InProcess) -> None:
    (site.workspace / "cache").write_text("in the way")
    (site.folder / "project" / "shop.py").chmod(0)

    ended = site.run("Build a shop", [task("y")])

    assert ended["status"] == "completed"
    assert "Build a shop" in prompt(site, ended["job_id"])


def test_after_a_crash_the_prompts_are_still_the_same(
    make_server: MakeServer, tmp_path: Path
) -> None:
    server = make_server(agents=settings(tmp_path))
    (server.folder / "project" / "shop.py").write_text("def buy_a_cart():\n    pass\n")
    release = tmp_path / "release"
    env = {"RELEASE": str(release)}
    job_id = server.submit("x", [task("a", id="a", env=env), task("b", depends_on=["a"])])
    begun = server.directory(job_id) / "depth_0" / "worker_1" / "begun"
    until(begun.exists, "the first has begun", 60)
    before = context(server, job_id)

    server.kill()
    (server.folder / "project" / "shop.py").write_text("def sell():\n    pass\n")
    server.start()
    release.touch()

    assert server.wait(job_id)["status"] == "completed"
    assert context(server, job_id) == before
    assert prompt(server, job_id, "worker_2").startswith(before)
