"""AI agents from submission to result. Stand-ins replace their programs."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from orchestrator.core.errors import ContainmentUnavailable
from tests.integration.agents.conftest import KEY, STAND_IN
from tests.integration.agents.driver_process.rig import is_alive
from tests.integration.conftest import MakeSite
from tests.integration.site import Answer, InProcess, until, worker_processes
from tests.support.examples import nightly


def row(ended: Answer) -> Answer:
    [found] = ended["results"]["tasks"]
    return dict(found)


def task(behaviour: str = "answers", **more: Any) -> Answer:
    return {"agent": "claude", "prompt": "Build it", "env": {"STAND_IN": behaviour}, **more}


def recorded_by(site: InProcess, job_id: str) -> Answer:
    path = site.directory(job_id) / "depth_0" / "worker_1" / "given.json"
    found: Answer = json.loads(path.read_text())
    return found


def has_begun(site: InProcess, job_id: str) -> bool:
    try:
        return bool(recorded_by(site, job_id))
    except (OSError, ValueError):
        return False


def test_an_agent_reads_its_prompt_and_its_answer_comes_back(site: InProcess) -> None:
    ended = site.run("Build a house", [task()])

    assert ended["status"] == "completed", site.log(ended["job_id"], "worker_1")
    assert row(ended)["output"] == "the answer"
    found = recorded_by(site, ended["job_id"])
    assert "Build it" in found["prompt"]
    assert found["environ"]["ANTHROPIC_API_KEY"] == KEY
    log = site.log(ended["job_id"], "worker_1")
    assert "I am at work" in log and "> Write" in log and "usage:" in log


def test_usage_by_model_counts_the_configured_model_of_the_agent(
    make_site: MakeSite, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    agents = {"claude": {"model": "sonnet"}}
    site = make_site(orchestrator={"claude_command": str(program)}, agents=agents)

    site.run("Build a house", [task(), task(model="opus")])

    rows = site.get("/usage?by=model")["rows"]
    assert [(each["key"], each["workers"]) for each in rows] == [("opus", 1), ("sonnet", 1)]


def test_an_agent_has_its_configuration_outside_of_where_it_works(site: InProcess) -> None:
    ended = site.run("Build a house", [task()])

    found = recorded_by(site, ended["job_id"])
    config = Path(found["environ"]["CLAUDE_CONFIG_DIR"])
    assert config == site.directory(ended["job_id"]) / "attempts" / "worker_1.1" / "claude"
    assert config.parent.stat().st_mode & 0o777 == 0o700
    assert row(ended)["files_created"] == ["given.json"]


def test_what_a_server_inherited_from_an_agent_goes_no_further(
    make_site: MakeSite, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inherited = ("CLAUDECODE", "CLAUDE_CODE_SESSION_ID", "CODEX_SANDBOX", "GEMINI_CLI")
    for name in (*inherited, "ANTHROPIC_API_KEY"):
        monkeypatch.setenv(name, "1-of-the-server")
    site = make_site(orchestrator={"claude_command": str(program)})

    ended = site.run("Build a house", [task()])

    environ = recorded_by(site, ended["job_id"])["environ"]
    assert not set(inherited) & set(environ)
    assert not [name for name in environ if name.startswith("PYTHON")]
    assert not {"ORCHESTRATOR_CONTROL_DIR", "ORCHESTRATOR_SESSIONS_DIR"} & set(environ)


def test_a_key_is_neither_in_the_log_nor_in_an_argument(site: InProcess) -> None:
    ended = site.run("Build a house", [task("prints-key answers")])

    job_id = ended["job_id"]
    found = recorded_by(site, job_id)
    worker_key = found["environ"]["ORCHESTRATOR_API_KEY"]
    arguments = " ".join(found["argv"])
    log = site.log(job_id, "worker_1")
    assert "***" in log
    for secret in (KEY, worker_key):
        assert secret not in log
        assert secret not in arguments
    attempts = site.directory(job_id) / "attempts"
    files = [path for path in attempts.rglob("*") if path.is_file()]
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []
    # Other users cannot read what the agent has read.
    read = [path for path in files if path.name == "stream.jsonl"]
    assert read and [path for path in read if path.stat().st_mode & 0o077] == []


def test_leftover_processes_of_an_agent_are_killed(site: InProcess) -> None:
    ended = site.run("Build a house", [task("leaves-one answers")])

    assert ended["status"] == "completed"
    left = site.directory(ended["job_id"]) / "depth_0" / "worker_1" / "left.pid"
    assert not is_alive(int(left.read_text()))
    assert worker_processes(ended["job_id"]) == []


@pytest.mark.parametrize("behaviour", ["ignores-term hangs", *nightly("hangs")])
def test_a_cancelled_agent_has_exited(site: InProcess, behaviour: str) -> None:
    job_id = site.submit("Build a house", [task(behaviour)])
    until(lambda: has_begun(site, job_id), "the agent is at work")

    site.call("POST", f"/jobs/{job_id}/cancel", {})
    ended = site.wait(job_id)

    assert ended["status"] == "cancelled"
    assert row(ended)["status"] == "cancelled"
    assert worker_processes(job_id) == []


def test_an_agent_that_reports_a_failure_has_failed(site: InProcess) -> None:
    ended = site.run("Build a house", [task("error")])

    assert ended["status"] == "failed"
    assert "it broke" in row(ended)["reason"]


def test_a_limit_of_the_task_stops_the_agent_and_is_not_retried(site: InProcess) -> None:
    ended = site.run("Build a house", [task("steps", max_steps=2, retries=3)])

    assert ended["status"] == "failed"
    assert "max_steps (2 steps)" in row(ended)["reason"]
    assert row(ended)["attempts"] == 1


def test_the_prompt_of_a_second_attempt_names_the_failure(site: InProcess) -> None:
    ended = site.run("Build a house", [task("error", retries=1)])

    assert row(ended)["attempts"] == 2
    prompt = recorded_by(site, ended["job_id"])["prompt"]
    assert "The previous attempt failed" in prompt
    assert "it broke" in prompt


def test_a_silent_agent_is_stopped_after_stall_seconds(
    make_site: MakeSite, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    site = make_site(orchestrator={"claude_command": str(program)}, workers={"stall_seconds": 0.5})

    ended = site.run("Build a house", [task("hangs")])

    assert row(ended)["status"] == "timeout"
    assert "the agent printed nothing for 0.5 s" in row(ended)["reason"]


# Selection of the agent


def test_auto_is_the_best_agent_that_can_work(site: InProcess) -> None:
    ended = site.run("Build a house", [{"prompt": "Build it"}])

    assert row(ended)["agent"] == "claude"


def test_auto_is_the_survey_where_no_agent_can_work(make_site: MakeSite, program: Path) -> None:
    # A program without a credential.
    site = make_site(orchestrator={"claude_command": str(program)})

    ended = site.run("Build a house", [{"prompt": "Build it"}])

    assert row(ended)["agent"] == "survey"


def test_a_task_for_an_agent_that_cannot_work_is_refused_with_what_to_do(
    make_site: MakeSite, program: Path
) -> None:
    site = make_site(
        orchestrator={"claude_command": str(program), "codex_command": "/nowhere/codex"}
    )

    no_key = site.post("x", [{"prompt": "x", "agent": "claude"}])
    no_program = site.post("x", [{"prompt": "x", "agent": "codex"}])

    for answer in (no_key, no_program):
        assert answer.status_code == 422
        assert answer.json()["type"].endswith("agent-not-usable")
    assert "set ANTHROPIC_API_KEY" in no_key.json()["detail"]
    detail = no_program.json()["detail"]
    assert "'/nowhere/codex' not found; to fix: correct orchestrator.codex_command" in detail


def test_the_api_lists_which_agents_can_work(site: InProcess) -> None:
    agents = {each["name"]: each for each in site.get("/agents")["agents"]}

    claude, codex = agents["claude"], agents["codex"]
    assert claude["usable"] and claude["credential"] == "ANTHROPIC_API_KEY"
    assert claude["path"].endswith("/bin/stand-in")
    assert agents["survey"]["usable"] and agents["shell"]["usable"]
    if not codex["usable"]:
        assert codex["fix"]


@pytest.mark.parametrize("more", [{}, {"reader": "claude"}])
def test_an_agent_of_the_user_whose_program_is_missing_cannot_work(
    make_site: MakeSite, more: dict[str, str]
) -> None:
    site = make_site(
        agents={
            "ghost": {"command": ["no-such-tool", "-x"], **more},
            # The project may have the file, and a worker has the product's files.
            "script": {"command": ["./run.sh"], **more},
            "ours": {"command": ["orchestrator", "--version"], **more},
        }
    )

    agents = {each["name"]: each for each in site.get("/agents")["agents"]}
    refused = site.post("x", [{"prompt": "x", "agent": "ghost"}])

    usable = {name: agents[name]["usable"] for name in ("ghost", "script", "ours")}
    assert usable == {"ghost": False, "script": True, "ours": True}
    assert refused.status_code == 422
    assert refused.json()["type"].endswith("agent-not-usable")
    assert "command 'no-such-tool' not found; to fix: install it" in refused.json()["detail"]


# The user's agents


def test_stats_have_the_cost_of_all_agents(site: InProcess) -> None:
    assert site.get("/stats").get("cost_usd") is None

    site.run("Build a house", [task(id=f"t{n}") for n in range(2)])

    stats = site.get("/stats")
    assert stats["cost_usd"] == pytest.approx(1.0)
    assert (stats["cost_estimated"], stats["cost_partial"]) == (False, False)


def agent_of(site: InProcess, name: str) -> Answer:
    [found] = [each for each in site.get("/agents")["agents"] if each["name"] == name]
    return dict(found)


def login_of(site: InProcess, name: str) -> tuple[str, str | None]:
    found = agent_of(site, name)
    return found["login"], found.get("login_refused")


def mends_of(site: InProcess, name: str) -> list[str]:
    return list(agent_of(site, name)["fix"])


def test_a_login_that_is_refused_is_tried_by_one_worker(site: InProcess) -> None:
    assert login_of(site, "claude") == ("unknown", None)

    ended = site.run("Build a house", [task("refused", id=f"t{n}") for n in range(3)])

    job = site.get(f"/jobs/{ended['job_id']}")
    assert [worker["status"] for worker in job["workers"]] == ["failed"] * 3
    assert [len(worker["attempts"]) for worker in job["workers"]] == [1, 0, 0]
    for worker in job["workers"]:
        assert "invalid x-api-key; to fix the login: run claude /login, or set" in worker["reason"]
    login, why = login_of(site, "claude")
    assert login == "no" and "invalid x-api-key" in (why or "")
    assert mends_of(site, "claude") == ["run claude /login, or set ANTHROPIC_API_KEY"]

    site.run("Build a house", [task()])
    assert login_of(site, "claude") == ("yes", None)
    assert mends_of(site, "claude") == []
    assert login_of(site, "survey") == ("yes", None)


def runs_of_worker(site: InProcess, job_id: str) -> list[int]:
    return [len(each["attempts"]) for each in site.get(f"/jobs/{job_id}")["workers"]]


@pytest.fixture
def codex(tmp_path: Path, program: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for codex, with a key, that reads 7 tokens and writes 3."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    message = {"type": "item.completed", "item": {"type": "agent_message", "text": "codex did it"}}
    turn = {"type": "turn.completed", "usage": {"input_tokens": 7, "output_tokens": 3}}
    lines = "".join(f"echo '{json.dumps(each)}'\n" for each in (message, turn))
    path = program.with_name("codex")
    path.write_text(f"#!/bin/sh\ncat >/dev/null\n{lines}")
    path.chmod(0o755)
    return path


def test_prices_of_the_user_count_and_an_unknown_price_is_reported(
    make_site: MakeSite, codex: Path
) -> None:
    prices = [{"model": "mine", "input": 1_000_000, "output": 2_000_000}]
    workers = {"prices": prices, "unknown_price": "first"}
    site = make_site(orchestrator={"codex_command": str(codex)}, workers=workers)
    tasks = [task(agent="codex", model=name, max_cost_usd=1000) for name in ("mine", "another")]

    job_id = site.run("Build", tasks)["job_id"]

    mine, another = site.get(f"/jobs/{job_id}")["workers"]
    assert (mine["usage"]["cost_usd"], mine["usage"]["cost_estimated"]) == (13.0, True)
    assert another["usage"].get("cost_usd") is None
    assert "the price of another is unknown" in site.log(job_id, "worker_2")
    assert "the price of" not in site.log(job_id, "worker_1")

    # A cap of the job stops the job after the first worker with an unknown cost.
    tasks = [task(agent="codex", model="another", prompt="What is it?") for _ in range(2)]
    ended = site.run("Tell", tasks, max_cost_usd=1000, max_workers=1)
    assert ended["status"] == "partial", ended
    assert "cost cap not enforced for worker_1" in ended["reason"]
    assert runs_of_worker(site, ended["job_id"]) == [1, 0]


def test_with_agent_auto_the_next_best_agent_runs_after_a_failed_login(
    make_site: MakeSite, program: Path, codex: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    commands = {"claude_command": str(program), "codex_command": str(codex)}
    site = make_site(orchestrator=commands)

    asks = {"agent": "auto", "prompt": "What is it?"}
    ended = site.run("Tell", [task("refused", id=f"t{n}", **asks) for n in range(3)])

    assert ended["status"] == "completed", ended
    workers = site.get(f"/jobs/{ended['job_id']}")["workers"]
    assert [worker["agent"] for worker in workers] == ["codex"] * 3
    assert [len(worker["attempts"]) for worker in workers] == [2, 1, 1]
    assert "invalid x-api-key" in workers[0]["attempts"][0]["reason"]
    assert workers[0]["usage"]["input_tokens"] == 7

    again = site.run("Tell once more", [task("refused", **asks)])
    log = (site.directory(again["job_id"]) / "logs" / "orchestrator.log").read_text()
    assert again["status"] == "completed"
    assert "agent_passed_over" in log and "agent=claude instead=codex" in log
    # A task that names the agent starts it again.
    assert site.run("Once more", [task()])["status"] == "completed"
    assert login_of(site, "claude") == ("yes", None)


def test_a_new_login_counts_at_once(
    make_site: MakeSite, program: Path, empty_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    login = empty_home / ".claude" / ".credentials.json"
    login.parent.mkdir()
    login.write_text('{"token": "over"}')
    site = make_site(orchestrator={"claude_command": str(program), "codex_command": str(program)})
    site.run("Build", [task("refused")])
    assert login_of(site, "claude")[0] == "no"

    login.write_text('{"token": "of today"}')

    assert login_of(site, "claude") == ("unknown", None)
    again = site.run("Build once more", [task(agent="auto")])
    assert [each["agent"] for each in site.get(f"/jobs/{again['job_id']}")["workers"]] == ["claude"]


def test_an_agent_of_the_user_may_have_the_output_of_a_known_tool(
    make_site: MakeSite, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINE_ONE", "1")
    agent = {
        "command": [str(program), "--quiet"],
        "reader": "claude",
        "env": ["MINE_*", "MODE=fast"],
        "model": "large",
        "model_option": "--model",
        "policy": "edit",
        "policies": {"edit": ["--edits"], "full": ["--all"]},
    }
    site = make_site(agents={"mine": agent})

    ended = site.run("Build a house", [task(agent="mine")])

    assert row(ended)["output"] == "the answer"
    found = recorded_by(site, ended["job_id"])
    assert found["argv"] == ["--quiet", "--edits", "--model", "large"]
    assert found["environ"]["MINE_ONE"] == "1"
    assert found["environ"]["MODE"] == "fast"


def test_an_agent_without_a_reader_finds_orchestrator_in_a_login_shell(make_site: MakeSite) -> None:
    command = ["bash", "-lc", "command -v orchestrator"]
    site = make_site(agents={"mine": {"command": command}})

    ended = site.run("Build a house", [task(agent="mine")])

    assert row(ended)["output"].endswith("/bin/orchestrator")


def test_settings_can_change_a_built_in_agent(
    make_site: MakeSite, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    site = make_site(
        orchestrator={"claude_command": str(program)},
        agents={"claude": {"model": "haiku", "policy": "read-only"}},
    )

    ended = site.run("Build a house", [task()])

    argv = recorded_by(site, ended["job_id"])["argv"]
    assert argv[argv.index("--model") + 1] == "haiku"
    assert "--dangerously-skip-permissions" not in argv


def test_an_agent_may_be_a_class(make_site: MakeSite) -> None:
    site = make_site(agents={"echo": {"class": "tests.integration.agents.an_agent:Echo"}})

    ended = site.run("Build a house", [{"prompt": "Build it", "agent": "echo"}])

    assert row(ended)["output"] == "Build it"
    assert os.path.basename(row(ended)["workspace"]) == "worker_1"


def test_an_agent_works_in_the_sandbox(
    make_site: MakeSite, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    # The sandbox's private /tmp would cover the stand-in.
    directories = [str(program.parent), str(STAND_IN.parent)]
    held = {"containment": "sandbox", "sandbox": {"writable": directories}}
    try:
        site = make_site(orchestrator={"claude_command": str(program)}, workers=held)
    except ContainmentUnavailable as error:
        pytest.skip(error.message)

    ended = site.run("Build a house", [task()])

    assert row(ended)["output"] == "the answer", site.log(ended["job_id"], "worker_1")
