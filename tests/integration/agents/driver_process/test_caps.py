"""A cap that is reached at each point of a worker's step, even after a restart of the server."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.zygote import Zygote
from tests.integration.conftest import MakeSite
from tests.integration.site import (
    HOLD,
    Answer,
    InProcess,
    ServerProcess,
    Site,
    complete_lines,
    shell,
    until,
    worker_processes,
)

pytestmark = pytest.mark.slow

CAP = 1000
#: Number of tokens of one step of the stand-in.
STEP = 110
#: A worker gets a share of this time for its final answer: the maximum share.
GRACE = {"grace_seconds": 10}


@dataclass(frozen=True)
class Instant:
    """The state of a worker when another worker of its job reaches the cap."""

    name: str
    #: Behavior of the stand-in.
    behaviour: str
    #: Text that its stream then contains; empty: the stand-in has only begun.
    seen: str
    #: True if the stand-in continues after the stop.
    continues: bool = False
    succeeds: bool = False


INSTANTS = [
    Instant("before the first step", "hangs", ""),
    Instant("in the middle of a step", "uses-tool hangs", "tool_use"),
    Instant("between two steps", "words waits ten-steps hangs", "another step", True),
    Instant("at the final result", "words waits result", "another step", True, succeeds=True),
    Instant("after the final result", "words result hangs", '"result"', succeeds=True),
    Instant("after the exit", "words result", '"result"', succeeds=True),
]
#: Instants that are tested by day: three without a restart, and one after a restart.
BY_DAY = ("in the middle of a step", "at the final result", "after the exit")
BY_DAY_AFTER_A_RESTART = ("after the final result",)


def claude(behaviour: str, **more: object) -> Answer:
    return {"agent": "claude", "prompt": "Build it", "env": {"STAND_IN": behaviour}, **more}


def stream(site: Site, job_id: str) -> str:
    path = site.directory(job_id) / "attempts" / "worker_1.1" / "stream.jsonl"
    return "\n".join(complete_lines(path))


def begun(site: Site, job_id: str) -> bool:
    return (site.directory(job_id) / "depth_0" / "worker_1" / "given.json").exists()


def use_up(site: Site, key: str, **used: float) -> None:
    def report() -> bool:
        try:
            return site.call("POST", "/usage", used, key=key).status_code == 200
        except OSError:
            return False

    until(report, "the server takes the usage")


def check(site: Site, instant: Instant, tmp_path: Path, between: Callable[[], None]) -> None:
    held = shell(HOLD, env={"RELEASE": str(tmp_path / "release")})
    job = site.submit("Build", [claude(instant.behaviour), held], max_tokens=CAP)
    key = site.key_of(job, "worker_2")
    until(lambda: begun(site, job) and instant.seen in stream(site, job), instant.name)
    if instant.name == "after the exit":
        until(lambda: _row(site.status(job), 0)["status"] == "success", "it has ended")

    between()
    use_up(site, key, output_tokens=CAP)
    until(lambda: site.get(f"/jobs/{job}")["stop_cause"] == "limit", "the job is stopped")
    if instant.continues:
        (site.directory(job) / "depth_0" / "worker_1" / "go").touch()
    ended = site.wait(job)

    subject, other = (_row(ended, number) for number in (0, 1))
    details = f"{subject}\n{site.log(job, 'worker_1')}"
    assert (subject["status"] == "success") is instant.succeeds, details
    assert other["status"] == "failed" and "max_tokens" in other["reason"]
    assert ended["status"] == ("partial" if instant.succeeds else "failed")
    assert f"stopped by max_tokens ({CAP} tokens) of job {job}" in ended["reason"]
    used = site.get(f"/jobs/{job}")["usage"]
    spent = used["input_tokens"] if used.get("input_tokens") else 0
    spent += used["output_tokens"]
    # The stand-in takes ten steps per second, so it takes at most one step after the stop.
    assert spent <= CAP + 8 * STEP
    if spent > CAP:
        assert "token cap exceeded: " in ended["reason"]
    until(lambda: not worker_processes(job), "no process is left")


def _row(answer: Answer, number: int) -> Answer:
    found: Answer = answer["results"]["tasks"][number] if "results" in answer else {"status": ""}
    return found


@pytest.fixture
def site(make_site: MakeSite, program: Path, monkeypatch: pytest.MonkeyPatch) -> InProcess:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-the-secret-of-the-user")
    return make_site(orchestrator={"claude_command": str(program)}, workers=GRACE)


@pytest.mark.parametrize(
    "instant",
    [
        pytest.param(each, marks=[] if each.name in BY_DAY else pytest.mark.nightly)
        for each in INSTANTS
    ],
    ids=lambda each: each.name,
)
def test_a_cap_is_reached(site: InProcess, instant: Instant, tmp_path: Path) -> None:
    check(site, instant, tmp_path, lambda: None)


@pytest.fixture
def server(
    tmp_path: Path, program: Path, monkeypatch: pytest.MonkeyPatch, zygote: Zygote
) -> Iterator[ServerProcess]:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-the-secret-of-the-user")
    made = ServerProcess(
        tmp_path / "server",
        {"orchestrator": {"claude_command": str(program)}, "workers": GRACE},
        zygote,
    )
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.mark.parametrize(
    "instant",
    [
        pytest.param(each, marks=[] if each.name in BY_DAY_AFTER_A_RESTART else pytest.mark.nightly)
        for each in INSTANTS
    ],
    ids=lambda each: each.name,
)
def test_a_cap_is_reached_after_a_restart(
    server: ServerProcess, instant: Instant, tmp_path: Path
) -> None:
    def restart() -> None:
        server.kill()
        server.start()

    check(server, instant, tmp_path, restart)


def test_an_overrun_is_at_most_one_step_of_each_running_worker(site: InProcess) -> None:
    job = site.submit("Build", [claude("slow-steps") for _ in range(3)], max_tokens=CAP)
    ended = site.wait(job)
    used = site.get(f"/jobs/{job}")["usage"]
    spent = used["input_tokens"] + used["output_tokens"]
    assert CAP <= spent <= CAP + 3 * STEP
    assert ended["status"] == "failed"


def test_a_job_whose_last_step_exceeds_the_cap_is_complete_and_names_the_excess(
    site: InProcess,
) -> None:
    ended = site.run("Build", [claude("words result")], max_cost_usd=0.4)
    assert ended["status"] == "completed"
    assert ended["reason"].startswith("cost cap exceeded: $0.50 of $0.40 (25 % over)")


def test_a_retry_runs_with_a_larger_cap(site: InProcess) -> None:
    tasks = [claude("words result", id="a"), claude("words result", id="b", depends_on=["a"])]
    ended = site.run("Build", tasks, max_cost_usd=0.4)
    job = ended["job_id"]
    assert ended["status"] == "partial"
    assert "stopped by max_cost_usd (0.4 USD)" in ended["reason"]
    again = site.call("POST", f"/jobs/{job}/retry", {})
    assert again.status_code == 422 and "max_cost_usd" in again.json()["detail"]
    larger = {"config": {"max_cost_usd": 2.0}}
    assert site.call("POST", f"/jobs/{job}/retry", larger).status_code == 202
    ended = site.wait(job)
    assert ended["status"] == "completed"
    assert "cap" not in ended["reason"] and "max_cost_usd" not in ended["reason"]


def test_a_spent_day_stops_jobs_and_refuses_new_ones_also_after_a_restart(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-the-secret-of-the-user")
    changes: dict[str, Answer] = {"orchestrator": {"claude_command": str(program)}}
    changes["limits"] = {"max_cost_usd_per_day": 0.4}
    site = InProcess(tmp_path / "site", changes)
    try:
        _spend_the_day(site)
    finally:
        site.stop()
    later = InProcess(tmp_path / "site", changes)
    try:
        check_refused(later)
    finally:
        later.stop()


def _spend_the_day(site: InProcess) -> None:
    tasks = [claude("words result", id="a"), claude("words result", id="b", depends_on=["a"])]
    ended = site.run("Build", tasks)

    assert ended["status"] == "partial"
    assert "limits.max_cost_usd_per_day ($0.50 of $0.40 used, resets at" in ended["reason"]
    check_refused(site)
    assert site.call("POST", f"/jobs/{ended['job_id']}/retry", {}).status_code == 429


def check_refused(site: InProcess) -> None:
    refused = site.post("Build", [claude("words result")])
    problem = refused.json()
    assert (refused.status_code, problem["type"]) == (429, "limit-cost-per-day")
    assert problem["limit"] == "limits.max_cost_usd_per_day"
    assert (problem["most"], problem["used"]) == (0.4, 0.5)
    tomorrow = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 86_400))
    assert problem["free_at"] == f"{tomorrow}T00:00:00Z"
    assert 0 < int(refused.headers["Retry-After"]) <= 86_400


@pytest.mark.parametrize(("mode", "accepted"), [("refuse", False), ("first", True)])
def test_a_cost_cap_with_a_model_of_unknown_price(
    make_site: MakeSite,
    program: Path,
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
    accepted: bool,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-the-secret-of-the-user")
    site = make_site(orchestrator={"codex_command": str(program)}, workers={"unknown_price": mode})
    task = {"agent": "codex", "model": "nobody-knows", "prompt": "Build it"}
    answer = site.post("Build", [task], max_cost_usd=1.0)
    assert (answer.status_code == 202) is accepted, answer.text
    if not accepted:
        assert answer.json()["type"] == "unknown-price"
        assert "nobody-knows (codex)" in answer.json()["detail"]
        assert "when the first worker with such a model has ended" in answer.json()["detail"]
        assert site.post("Build", [{**task, "model": "gpt-5-codex"}], max_cost_usd=1.0).ok
        assert site.post("Build", [task], max_tokens=1000).ok
