"""The Python client and the command line against the real server."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from orchestrator.api.client import OrchestratorClient
from orchestrator.api.client.client import AuthError, InvalidError, NotFoundError
from tests.acceptance.conftest import Server, wait_until


def shell(command: str, **more: Any) -> dict[str, Any]:
    return {"agent": "shell", "command": command, **more}


def test_a_job_runs_from_submission_to_report(client: OrchestratorClient) -> None:
    accepted = client.orchestrate(
        request="Say hello", tasks=[shell("echo hello; touch made.txt")], max_workers=2
    )
    ended = client.wait(accepted["job_id"], timeout=60)

    assert (ended["status"], ended["timed_out"]) == ("completed", False)
    (task,) = client.results(accepted["job_id"])["tasks"]
    assert (task["worker_id"], task["status"]) == ("worker_1", "success")
    assert "hello" in task["output"]
    assert task["files_created"] == ["made.txt"]
    assert client.logs(accepted["job_id"], "worker_1") == "hello\n"
    assert "worker_1" in client.report(accepted["job_id"])
    assert client.job(accepted["job_id"])["request"] == "Say hello"
    assert client.tree(accepted["job_id"])["workers"][0]["worker_id"] == "worker_1"
    assert accepted["job_id"] in {job["job_id"] for job in client.jobs()["jobs"]}


def test_events_come_live_and_end_with_the_job(client: OrchestratorClient) -> None:
    job_id = client.orchestrate("x", [shell("sleep 0.3"), shell("true")])["job_id"]

    events = list(client.events(job_id))

    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert events[0]["kind"] == "job_submitted"
    assert events[-1]["kind"] == "job_ended"
    assert [event["kind"] for event in events].count("worker_ended") == 2
    rest = list(client.events(job_id, last_event_id=events[-3]["seq"]))
    assert rest == events[-2:]


def test_a_followed_log_ends_with_its_worker(client: OrchestratorClient) -> None:
    job_id = client.orchestrate("x", [shell("echo one; sleep 0.3; echo two")])["job_id"]

    def has_started() -> bool:
        return bool(client.job(job_id)["workers"][0]["attempts"])

    wait_until(has_started)
    assert list(client.logs(job_id, "worker_1", follow=True)) == ["one", "two"]


def test_wait_is_bounded_and_cancel_ends_the_job(client: OrchestratorClient) -> None:
    job_id = client.orchestrate("x", [shell("sleep 300")])["job_id"]

    assert client.wait(job_id, timeout=0.2)["timed_out"]
    client.cancel(job_id)
    client.cancel(job_id)

    assert client.wait(job_id, timeout=60)["status"] == "cancelled"


def test_retry_runs_what_failed(client: OrchestratorClient, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    tasks = [shell(f"test -e '{flag}'", retries=0), shell("true")]
    job_id = client.orchestrate("x", tasks)["job_id"]
    assert client.wait(job_id, timeout=60)["status"] == "partial"

    flag.touch()
    client.retry(job_id, default_timeout=60)

    assert client.wait(job_id, timeout=60)["status"] == "completed"


def test_the_same_idempotency_key_gives_the_same_job(client: OrchestratorClient) -> None:
    first = client.orchestrate("x", [shell("true")], idempotency_key="only-once")
    second = client.orchestrate("x", [shell("true")], idempotency_key="only-once")

    assert first["job_id"] == second["job_id"]


def test_refusals_are_typed(server: Server, client: OrchestratorClient) -> None:
    with pytest.raises(NotFoundError):
        client.status("nope")
    with pytest.raises(InvalidError, match="max_workrs"):
        client.orchestrate("x", max_workrs=3)
    with OrchestratorClient(client.api_url, "wrong") as stranger, pytest.raises(AuthError):
        stranger.jobs()


def test_health_and_stats_answer(client: OrchestratorClient) -> None:
    assert client.health()["status"] == "ok"
    assert "jobs" in client.stats()


def test_the_command_line_runs_a_job_on_the_running_server(server: Server) -> None:
    done = server.cli("run", "Survey this repository", "--json")

    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert Path(answer["results"]["final_report"]).is_file()
    assert "started the server" not in done.stderr


def test_commands_follow_one_job_through_its_life(server: Server, tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text(
        "tasks:\n- {id: a, agent: shell, command: 'echo $((6*7)); exit 3', retries: 0}\n"
    )

    job_id = server.cli("submit", "x", "--plan", str(plan)).stdout.strip()

    assert server.cli("wait", job_id, "--timeout", "60").returncode == 1
    assert "worker_1" in server.cli("status", job_id).stdout
    assert server.cli("logs", job_id, "worker_1").stdout == "42\n"
    assert server.cli("logs", job_id).stdout == "worker_1     | 42\n"
    assert server.cli("report", job_id).stdout.startswith("#")
    assert job_id in server.cli("jobs", "--status", "failed").stdout
    assert server.cli("cancel", "nope").returncode == 3


def test_spawn_starts_a_child_job_from_a_worker(server: Server, client: OrchestratorClient) -> None:
    if not (server.folder / ".venv").exists():
        pytest.skip("the program orchestrator needs .venv: run ./install.sh")
    command = "orchestrator spawn 'Say it' --command 'echo from below' --wait"
    job_id = client.orchestrate("x", [shell(command)])["job_id"]

    ended = client.wait(job_id, timeout=90)

    (task,) = ended["results"]["tasks"]
    assert (ended["status"], task["status"]) == ("completed", "recursive_success"), task
    assert "from below" in task["output"]
    assert task["child_results"][0]["worker_id"] == "worker_1_1"


def test_a_wait_and_a_stream_outlive_a_restart_of_the_server(server: Server) -> None:
    with server.client() as client:
        job_id = client.orchestrate("x", [shell("sleep 1; echo done", retries=3)])["job_id"]
        events = client.events(job_id)
        first = next(events)
        answers: list[dict[str, Any]] = []

        def wait() -> None:
            with server.client() as other:
                answers.append(other.wait(job_id, timeout=90))

        waiter = threading.Thread(target=wait)
        waiter.start()
        server.stop()
        server.variables["ORCHESTRATOR_API__PORT"] = client.api_url.rpartition(":")[2]
        server.start()
        rest = list(events)
        waiter.join(90)

    seqs = [event["seq"] for event in [first, *rest]]
    assert seqs == list(range(1, len(seqs) + 1))
    assert answers and answers[0]["status"] == client_status(server, job_id)


def client_status(server: Server, job_id: str) -> str:
    with server.client() as client:
        return str(client.status(job_id)["status"])


def test_status_is_the_same_with_the_server_down(server: Server) -> None:
    job_id = server.cli("submit", "Say hi and say ho").stdout.strip()
    server.cli("wait", job_id)
    shown = server.cli("status", job_id).stdout
    try:
        server.stop()
        down = server.cli("status", job_id)
    finally:
        server.start()

    assert down.returncode == 0, down.stderr
    assert shown.splitlines()[0].split(";")[0] == down.stdout.splitlines()[0].split(";")[0]
