"""``/api/v1/tasks``: requests as other tools send them, up to the merged result."""

import json
import shlex
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.integration.outbox.receiver import receiving
from tests.integration.site import REPOSITORY, Answer, InProcess, until
from tests.support.project import EDITOR, Project, agents

#: The key of a tutorial. It is valid because the user has configured it.
KEY = "your-secret-api-key-here"
HEADERS = {"X-API-Key": KEY}
CURL = r"""
curl -X POST http://localhost:8000/api/v1/tasks -H "X-API-Key: your-secret-api-key-here" -H "Content-Type: application/json" \
  -d '{"description": "Add error handling to the login function", "cli_assignments": [{"cli_name": "claude_code", "context": {}, "timeout": 600}, {"cli_name": "gemini", "context": {}, "timeout": 600}], "merge_strategy": "theirs"}'
"""  # noqa: E501
ADD = 'Add() { echo "$@" > login.py; }; '
UNKNOWN = "00000000-0000-0000-0000-000000000000"
URL = "http://localhost:8000"
ENDED = ("completed", "failed", "cancelled")


class Tasks:
    """The calls of ``/api/v1/tasks`` on a site that works on a repository."""

    def __init__(self, site: InProcess, project: Project) -> None:
        self.site = site
        self.project = project
        self.url = f"{site.url}/api/v1/tasks"

    def call(self, method: str, path: str = "", **more: Any) -> requests.Response:
        options = {"headers": HEADERS, "timeout": 60, **more}
        return requests.request(method, f"{self.url}{path}", **options)

    def create(self, description: str, *names: str, **more: Any) -> Answer:
        assignments = [{"cli_name": name, "context": {}, "timeout": 600} for name in names]
        body = {"description": description, "cli_assignments": assignments, **more}
        response = self.call("POST", json=body)
        assert response.status_code == 201, response.text
        found: Answer = response.json()
        return found

    def ended(self, task_id: str) -> Answer:
        def look() -> Answer | None:
            task: Answer = self.call("GET", f"/{task_id}").json()
            return task if task["status"] in ENDED else None

        found: Answer = until(look, f"{task_id} has ended")
        return found

    def run(self, description: str, *names: str, **more: Any) -> Answer:
        return self.ended(self.create(description, *names, **more)["id"])

    def events(self, task_id: str, **headers: str) -> list[tuple[str, str, Answer]]:
        """Return all events of the progress: id, name, and data."""
        response = self.call("GET", f"/{task_id}/progress", headers={**HEADERS, **headers})
        assert response.status_code == 200, response.text
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        found = []
        for block in response.text.split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.splitlines())
            if "event" in fields:
                found.append((fields.get("id", ""), fields["event"], json.loads(fields["data"])))
        return found


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tasks]:
    """A site whose agents run their prompts as scripts; the program of ``absent`` is missing."""
    folder = tmp_path_factory.mktemp("tasks")
    editor = agents(folder)["editor"]["command"]
    # The published description, as a command of bash.
    Path(editor[-1]).write_text(EDITOR.replace('"-ec", ', f'"-ec", {ADD!r} + '))
    project = Project(folder / "project").begin({"README.md": "hello\n"})
    tools: Answer = {
        name: {"command": [*editor]} for name in ("claude", "gemini", "ollama", "anthropic")
    }
    settings = {
        "orchestrator": {"project_root": str(project.path)},
        "agents": {**tools, "absent": {"command": ["/nowhere/absent"]}},
        "api": {"api_key": KEY},
        "webhooks": {"allow_hosts": ["localhost"]},
    }
    site = InProcess(folder / "site", settings)
    try:
        yield Tasks(site, project)
    finally:
        site.stop()


def test_the_published_command_works_to_the_letter(tasks: Tasks) -> None:
    """The command is the published command with another address."""
    words = shlex.split(CURL.replace("\\\n", "").replace(URL, tasks.site.url))
    ran = subprocess.run(
        [words[0], "-sS", *words[1:]], capture_output=True, text=True, timeout=60, check=True
    )
    task = json.loads(ran.stdout)
    assert task["status"] in ("pending", "running")
    assert task["cli_results"] is None
    assert task["error"] is None
    ended = tasks.ended(task["id"])
    assert (ended["status"], ended["success_count"]) == ("completed", 2)
    assert [each["cli_name"] for each in ended["cli_results"]] == ["claude_code", "gemini"]
    assert ended["cli_results"][0]["files_modified"] == ["login.py"]


def test_every_spelling_is_answered_as_the_caller_wrote_it(tasks: Tasks) -> None:
    for names in (
        ["claude-api", "claude-code", "ollama"],
        ["claude_api", "claude_code", "claude", "gemini"],
    ):
        task = tasks.run("echo enough text > made.txt", *names)
        assert [each["cli_name"] for each in task["cli_results"]] == names
        assert task["best_cli"] in names
        assert (task["success_count"], task["failure_count"]) == (len(names), 0)


def test_a_task_runs_up_to_a_merged_result(tasks: Tasks) -> None:
    script = "case $ORCHESTRATOR_WORKER_ID in *_1) seq 9 > n.txt;; *) echo 1 > n.txt;; esac"
    task = tasks.run(script, "claude-code", "gemini", created_by="n8n")
    assert (task["status"], task["best_cli"], task["error"]) == ("completed", "gemini", None)
    assert [each["files_modified"] for each in task["cli_results"]] == [["n.txt"], ["n.txt"]]

    found = tasks.call("GET", f"/{task['id']}/conflicts").json()
    assert (found["cli_name"], found["can_auto_merge"], found["conflicts"]) == ("gemini", True, [])
    assert tasks.project.show(found["source_branch"], "n.txt") == "1"

    merged = tasks.call("POST", f"/{task['id']}/merge?strategy=theirs").json()
    assert (merged["success"], merged["merged_files"]) == (True, ["n.txt"])
    assert merged["message"] == f"Merge task {task['id']} results from gemini"
    assert tasks.project.show(merged["commit_hash"], "n.txt") == "1"

    other = {"task_id": task["id"], "strategy": "auto", "cli_name": "claude-code"}
    merged = tasks.call("POST", f"/{task['id']}/merge", json=other).json()
    assert (merged["success"], merged["strategy"]) == (True, "auto")
    assert tasks.project.show(merged["commit_hash"], "n.txt").startswith("1\n2\n")
    assert tasks.call("GET", f"/{task['id']}").json()["best_cli"] == "claude-code"

    by_hand = tasks.call("POST", f"/{task['id']}/merge?strategy=manual").json()
    assert (by_hand["success"], by_hand["merged_files"]) == (False, [])
    assert "merge_strategy is manual" in by_hand["message"]
    assert tasks.project.git("status", "--porcelain") == ""

    wrong = tasks.call("GET", f"/{task['id']}/conflicts?cli_name=ollama")
    [fault] = wrong.json()["errors"]
    assert (wrong.status_code, fault["pointer"]) == (422, "/cli_name")
    wrong = tasks.call("POST", f"/{task['id']}/merge", json={"task_id": UNKNOWN})
    assert wrong.status_code == 422
    assert wrong.json()["errors"][0]["pointer"] == "/task_id"


def test_a_tool_that_cannot_work_is_a_failure_next_to_one_that_can(tasks: Tasks) -> None:
    task = tasks.run("echo enough text > made.txt", "auto-claude", "claude_code", "absent")
    first, second, third = task["cli_results"]
    assert (first["status"], second["status"], third["status"]) == ("failure", "success", "failure")
    assert "under 'agents' in config.yaml" in first["error"]
    assert "/nowhere/absent" in third["error"]
    assert (task["status"], task["best_cli"]) == ("completed", "claude_code")
    assert (task["success_count"], task["failure_count"]) == (1, 2)
    refused = tasks.call("GET", f"/{task['id']}/conflicts?cli_name=absent")
    assert refused.status_code == 409
    assert "/nowhere/absent" in refused.json()["detail"]


def test_wrong_requests_name_the_field_and_store_nothing(tasks: Tasks) -> None:
    before = tasks.call("GET").json()["total"]
    good = {"description": "Test task number one", "cli_assignments": [{"cli_name": "ollama"}]}
    for changes, pointer, words in (
        (
            {"cli_assignments": [{"cli_name": "invalid-cli"}]},
            "/cli_assignments/0/cli_name",
            "gemini",
        ),
        ({"cli_assignments": [{"cli_name": "absent"}]}, "/cli_assignments/0/cli_name", "install"),
        ({"cli_assignments": []}, "/cli_assignments", "at least 1"),
        ({"cli_assignments": good["cli_assignments"] * 5}, "/cli_assignments", "at most 4"),
        ({"description": "short"}, "/description", "at least 10 characters"),
        ({"description": None}, "/description", "must be text"),
        ({"max_retries": 6}, "/max_retries", "at most 5"),
        ({"retry_delay": 0.5}, "/retry_delay", "at least 1"),
        ({"merge_strategy": "ours"}, "/merge_strategy", "'theirs', 'auto' or 'manual'"),
        ({"color": 1}, "/color", "unknown field"),
        (
            {"cli_assignments": [{"cli_name": "ollama", "timeout": 5}]},
            "/cli_assignments/0/timeout",
            "at least 60",
        ),
        ({"cli_assignments": [{"cli_name": "shell"}]}, "/cli_assignments/0/cli_name", "command"),
        ({"callback_url": "http://10.0.0.1/"}, "/callback_url", "not a public address"),
        ({"callback_events": ["job_ended"]}, "/callback_events", "needs callback_url"),
    ):
        answer = tasks.call("POST", json={**good, **changes})
        assert answer.status_code == 422, answer.text
        assert answer.headers["Content-Type"] == "application/problem+json"
        (fault,) = answer.json()["errors"]
        assert fault["pointer"] == pointer
        assert words in fault["detail"]
    assert tasks.call("GET").json()["total"] == before


def test_a_task_calls_its_callback_url(tasks: Tasks) -> None:
    with receiving() as receiver:
        url = f"http://localhost:{receiver.port}/done?token=t"
        task_id = tasks.create("echo enough text > made.txt", "gemini", callback_url=url)["id"]
        [message] = until(lambda: receiver.about(task_id[-8:], "/done?token=t"), "it is called")
    assert message.body["data"]["status"] == "completed"


def test_a_missing_key_is_401_and_a_wrong_one_403(tasks: Tasks) -> None:
    missing = tasks.call("GET", headers={})
    assert missing.status_code == 401
    assert "API key required" in missing.json()["detail"]
    assert missing.headers["WWW-Authenticate"] == "ApiKey"
    wrong = tasks.call("GET", headers={"X-API-Key": "invalid-key"})
    assert wrong.status_code == 403
    assert "Invalid API key" in wrong.json()["detail"]
    # The calls reject workers' keys.
    for answer in (missing, wrong):
        assert answer.json()["detail"].endswith("; use api.api_key from config.yaml")
    elsewhere = requests.get(
        f"{tasks.site.url}/api/v1/jobs", headers={"X-API-Key": "invalid-key"}, timeout=60
    )
    assert elsewhere.status_code == 401


def test_only_tasks_of_this_surface_are_listed_and_found(tasks: Tasks) -> None:
    job = tasks.site.post("x", [{"command": "true"}], key=KEY).json()["job_id"]
    mine = tasks.run("echo enough text > made.txt", "gemini")
    listed = tasks.call("GET", "?page=1&page_size=3&status=completed").json()
    assert listed["tasks"][0] == mine
    assert (listed["page"], listed["page_size"]) == (1, 3)
    assert not [each for each in tasks.call("GET").json()["tasks"] if each["id"].endswith(job)]
    assert tasks.call("GET", f"/{job}").status_code == 404
    assert tasks.call("GET", f"/{UNKNOWN}").status_code == 404
    assert tasks.call("GET", f"/{UNKNOWN}/conflicts").status_code == 404
    by_job_id = tasks.call("GET", f"/{mine['id'][-8:]}")
    assert by_job_id.json() == mine
    stats = tasks.call("GET", "/stats").json()
    assert stats["running_tasks"] == 0
    executor = stats["executor_stats"]
    assert executor["adapter_stats"]["gemini"]["execution_count"] >= 1
    assert executor["total_executions"] >= executor["adapter_stats"]["gemini"]["execution_count"]


def test_progress_is_json_and_resumes(tasks: Tasks, tmp_path: Path) -> None:
    go = tmp_path / "go"
    script = f"until [ -e {go} ]; do sleep 0.02; done; echo 1 > n.txt"
    task_id = tasks.create(script, "claude_code", "absent")["id"]
    with tasks.call("GET", f"/{task_id}/progress", stream=True) as response:
        lines = response.iter_lines(chunk_size=1, decode_unicode=True)
        beats = 0
        while beats < 2:
            beats += next(lines) == "event: heartbeat"
    go.touch()
    tasks.ended(task_id)

    events = tasks.events(task_id)
    names = [name for _, name, _ in events]
    assert names[0] == "connected"
    assert names[-1] == "task_complete"
    assert events[-1][2]["status"] == "completed"
    statuses = [
        (data["cli_name"], data["status"]) for _, name, data in events if name == "progress"
    ]
    assert statuses[0] == ("absent", "failed")
    assert statuses[1] == ("claude_code", "working")
    assert statuses[-1] == ("claude_code", "done")
    done = events[-2]
    assert done[2]["session_id"] == f"task-{task_id}-claude_code"
    assert done[2]["files_modified"] == ["n.txt"]
    assert done[2]["duration"] > 0

    resumed = tasks.events(task_id, **{"Last-Event-ID": done[0]})
    assert [name for _, name, _ in resumed] == ["connected", "task_complete"]


def test_progress_that_cannot_be_read_ends_with_an_error(tasks: Tasks) -> None:
    task_id = tasks.run("echo 1 > n.txt", "gemini")["id"]
    with closing(sqlite3.connect(tasks.site.workspace / "orchestrator.db")) as database:
        database.execute("ALTER TABLE events RENAME TO hidden")
        try:
            *_, (_, name, data) = tasks.events(task_id)
        finally:
            database.execute("ALTER TABLE hidden RENAME TO events")
    assert (name, data["error"]) == ("error", "the progress could not be read; connect again")
    assert tasks.events(task_id)[-1][1] == "task_complete"


def test_the_python_example_reads_the_progress(
    tasks: Tasks, capsys: pytest.CaptureFixture[str]
) -> None:
    """Runs the example of the page with a task and its address."""
    page = (REPOSITORY / "docs" / "tasks-api.md").read_text()
    example = page.partition("```python\n")[2].partition("```")[0]
    task = tasks.create("echo enough text > made.txt", "gemini")["id"]
    for old, new in ((URL, tasks.site.url), ("TASK", task)):
        assert old in example
        example = example.replace(old, new)
    exec(example, {})
    *_, last = capsys.readouterr().out.splitlines()
    assert "'status': 'completed'" in last


def test_a_running_task_is_cancelled_and_an_ended_one_is_not(tasks: Tasks) -> None:
    task_id = tasks.create("exec sleep 600 # seconds", "ollama")["id"]
    assert tasks.call("GET", f"/{task_id}/conflicts").status_code == 409
    assert tasks.call("POST", f"/{task_id}/merge?strategy=theirs").status_code == 409
    answer = tasks.call("DELETE", f"/{task_id}")
    assert answer.status_code == 200
    assert answer.json() == {
        "message": f"Task {task_id} cancelled successfully",
        "task_id": task_id,
        "status": "cancelled",
    }
    task = tasks.ended(task_id)
    assert task["status"] == "cancelled"
    assert task["cli_results"][0]["status"] == "cancelled"
    assert tasks.call("DELETE", f"/{task_id}").status_code == 409


def test_settings_of_the_task_reach_the_job(tasks: Tasks) -> None:
    assignments = [
        {"cli_name": "claude", "context": {"files": ["a.py"], "goal": "speed"}, "timeout": 60},
        {"cli_name": "gemini", "context": {"files": ["b.py"], "goal": "speed"}},
    ]
    task = tasks.create(
        "echo enough text > made.txt", "x", cli_assignments=assignments, retry_delay=1.5
    )
    job = tasks.site.get(f"/jobs/{task['id'][-8:]}", key=KEY)
    assert job["config"]["retry_backoff_seconds"] == 1.5
    assert job["config"]["max_retries"] == 3
    (spec,) = job["tasks"]
    assert spec["context"] == "goal: speed"
    own = [(each["timeout"], each["context"]) for each in spec["candidate_settings"]]
    assert own == [(60, 'files: ["a.py"]'), (600, 'files: ["b.py"]')]
    tasks.ended(task["id"])


def test_programs_get_the_root_as_json_and_browsers_a_page(tasks: Tasks) -> None:
    answer = requests.get(tasks.site.url, headers={"Accept": "application/json"}, timeout=60)
    assert answer.json()["name"] == "orchestrator"
    assert answer.json()["api_version"] == "v1"
    assert answer.json()["endpoints"]["tasks"] == "/api/v1/tasks"
    page = requests.get(tasks.site.url, timeout=60)
    assert page.headers["Content-Type"].startswith("text/html")
