"""Later attempts of the real tools resume their session. The repeated input is measured."""

import json
import os
import signal
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import pytest

from tests.agents.model_api import Call, ModelApi, Script, Turn
from tests.agents.model_api.scripts import Fault, rate_limited
from tests.agents.model_api.server import Request
from tests.agents.real.capabilities import parameters
from tests.agents.real.conftest import a_site
from tests.agents.real.site import Answer, Site
from tests.agents.real.tools import TOOLS
from tests.integration.site import until, worker_processes

pytestmark = pytest.mark.real_tools
Places = dict[str, Site]
#: Input tokens of the first attempt, and number of calls, including the tool's retries.
READ, TRIES = 400, {"claude": 3, "codex": 1, "gemini": 3, "opencode": 6}
#: Retry-After in seconds. codex waits for any time, and then succeeds without a new attempt.
RETRY_AFTER = {"codex": ""}
#: At night, a story also runs with new sessions, which shows how much resumed sessions save.
COMPARED = pytest.mark.parametrize(
    "compared",
    [
        pytest.param(False, id="resumed"),
        pytest.param(True, id="compared", marks=pytest.mark.nightly),
    ],
)


@pytest.fixture(scope="module")
def fresh_site(api: ModelApi, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A site whose workers start a new session in every attempt."""
    folder = tmp_path_factory.mktemp("host project")
    with a_site(api, folder, resume_sessions=False) as site:
        yield site


@pytest.fixture
def places(request: pytest.FixtureRequest, site: Site, compared: bool) -> Places:
    fresh = {"fresh": request.getfixturevalue("fresh_site")} if compared else {}
    return {"resumed": site, **fresh}


def reading(*faults: Fault) -> list[Turn]:
    """Return steps that cost tokens in an attempt: writing files, and reading a long output."""
    return [
        Turn("I begin.", (Call.write("first.txt", "first\n"),)),
        *(Turn(calls=(Call.shell(f"seq {n}000 {n}{READ}"),)) for n in (1, 2, 3)),
        Turn("I have read all of it.", faults=faults),
    ]


@COMPARED
# By day, other tools resume after a rejected gate and a kill; at night, after a limit.
@pytest.mark.parametrize("agent", parameters(TOOLS, nightly=("claude", "gemini", "opencode")))
def test_a_rate_limit_in_the_middle(places: Places, agent: str) -> None:
    used = {}
    for name, place in places.items():
        # Each test needs its own script, because the model API counts a script's faults.
        script = f"{agent}-limit-{name}-of-{len(places)}"
        limit = rate_limited(retry_after=RETRY_AFTER.get(agent, "1"), times=TRIES[agent])
        turns = reading(limit)
        begun = len(place.api.calls)
        job = place.run(agent, script, Script.of(*turns), retries=1, title="A task")

        worker = place.only(job)
        assert worker["status"] == "success", place.log(worker)
        used[name] = second_attempt(place.api.calls[begun:], worker)
        check_sessions(worker, resumed=name == "resumed")
        check_usage(worker, 5 if name == "resumed" else 9)
    compare(agent, "rate limit", used)


@COMPARED
@pytest.mark.parametrize("agent", parameters(TOOLS, nightly=("opencode",)))
def test_a_refused_gate(places: Places, agent: str) -> None:
    used = {}
    for name, place in places.items():
        script = f"{agent}-gate-{name}"
        rest = [Turn(calls=(Call.write("second.txt", "second\n"),)), Turn("RESULT done")]
        # In a new session, the model has to read everything again.
        again = Script.of(*(rest if name == "resumed" else [*reading()[:-1], *rest]))
        place.api.scripts[f"{script}-again"] = again
        # The gate's output selects the script of the second attempt.
        run = f"test -f second.txt || {{ echo '[[script:''{script}-again'']]'; exit 1; }}"
        gate = {"name": "second", "run": run}
        begun = len(place.api.calls)
        job = place.run(
            agent, script, Script.of(*reading()), retries=1, gates=[gate], title="A task"
        )

        worker = place.only(job)
        assert worker["status"] == "success", place.log(worker)
        used[name] = second_attempt(place.api.calls[begun:], worker)
        check_sessions(worker, resumed=name == "resumed")
        check_usage(worker, 7 if name == "resumed" else 11)
        check_no_key(worker)
    compare(agent, "refused gate", used)


@pytest.mark.parametrize("agent", parameters(TOOLS, nightly=("gemini", "opencode")))
def test_a_tool_that_is_killed(site: Site, agent: str) -> None:
    name = f"{agent}-killed"
    script = Script.of(
        *reading()[:-1], Turn(calls=(Call.shell("touch begun.txt; sleep 20"),)), Turn("RESULT done")
    )
    job_id = site.submit(agent, name, script, retries=1, title="A task")
    until(lambda: site.begun(job_id), "a command of the agent runs", 60)
    for pid in tools_of(job_id):
        os.kill(pid, signal.SIGKILL)
    worker = site.only(site.wait(job_id))

    assert worker["status"] == "success", site.log(worker)
    check_sessions(worker, resumed=True)


def tools_of(job_id: str) -> list[int]:
    """Return the processes that a driver of the job has started itself."""
    own = worker_processes(job_id)
    drivers = [
        pid for pid in own if b"agents.driver_process" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    return [pid for pid in own if parent_of(pid) in drivers]


def command_of(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def second_attempt(calls: Sequence[Request], worker: Answer) -> tuple[int, int]:
    """Return the model calls and the prompt tokens of the second attempt.

    Four characters count as one token.
    """
    [_, second] = worker["attempts"]
    own = [each for each in calls if each.at >= moment(second["started_at"])]
    # Both attempts include a request that is no part of the work, such as for a title.
    return len(own), sum(len(json.dumps(each.body)) for each in own) // 4


def moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def check_sessions(worker: Answer, *, resumed: bool) -> None:
    first, second = (each["session"] for each in worker["attempts"])
    assert (first["resumed"], second["resumed"]) == (False, resumed), worker
    assert (first["id"] == second["id"]) is resumed


def check_usage(worker: Answer, steps: int) -> None:
    """Check that every answer of the model is counted once, even if the tool counts a whole
    session.
    """
    used = worker["usage"]
    assert (used["steps"], used["input_tokens"]) == (steps, 100 * steps)


def check_no_key(worker: Answer) -> None:
    """Check that a session's files contain no credential of the tool."""
    store = Path(worker["workspace"]).parents[1] / "attempts" / f"{worker['worker_id']}.sessions"
    files = [path for path in store.rglob("*") if path.is_file()]
    assert [path for path in files if b"-of-the-tests" in path.read_bytes()] == []


def compare(agent: str, why: str, used: dict[str, tuple[int, int]]) -> None:
    if "fresh" not in used:
        return
    (calls, resumed), (more, fresh) = used["resumed"], used["fresh"]
    saved = 100 - 100 * resumed / fresh
    print(
        f"\n{agent}, {why}: input tokens of attempt 2: resumed {resumed} in {calls} calls, "
        f"new session {fresh} in {more} calls ({saved:.0f} % less)"
    )
    assert resumed < fresh
