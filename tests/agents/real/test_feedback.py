"""A person's comments on a real tool's change: corrected in its session, merged and landed."""

import pytest

from tests.agents.model_api import Call, Script, Turn
from tests.agents.real.capabilities import parameters
from tests.agents.real.site import Site
from tests.agents.real.test_sessions import check_sessions
from tests.agents.real.tools import TOOLS

pytestmark = pytest.mark.real_tools


# By day, one tool shows that a comment reaches a session. Each tool resumes sessions differently.
@pytest.mark.parametrize("agent", parameters(TOOLS, nightly=("codex", "gemini", "opencode")))
def test_a_comment_is_corrected_and_landed(site: Site, agent: str) -> None:
    name, corrected = f"{agent}-answer.txt", f"{agent}-corrected"
    first = Script.of(Turn(calls=(Call.write(name, "answer = 41\n"),)), Turn("RESULT done"))
    job = site.run(agent, f"{agent}-feedback", first, title="A task")
    worker = site.only(job)
    assert worker["status"] == "success", site.log(worker)
    branch = f"orchestrator/{job['job_id']}/worker_1"
    commit = site.git("rev-parse", branch).strip()
    site.api.scripts[corrected] = Script.of(
        Turn(calls=(Call.shell(f"echo 'answer = 42' > {name}"),)), Turn("RESULT corrected")
    )

    text = f"The answer is 42. [[script:{corrected}]]"
    comment = {"path": name, "side": "new", "line": 1, "text": text}
    site.client.feedback(job["job_id"], "worker_1", comments=[comment], commit=commit)
    again = site.wait(job["job_id"])

    assert (again["status"], again["run"]) == ("completed", 2), again["reason"]
    check_sessions(site.only(again), resumed=True)
    result = f"orchestrator/{job['job_id']}/result"
    assert site.git("show", f"{result}:{name}") == "answer = 42\n"
    assert commit in site.git("rev-list", result)
    site.client.land(job["job_id"])
    assert site.git("show", f"HEAD:{name}") == "answer = 42\n"
