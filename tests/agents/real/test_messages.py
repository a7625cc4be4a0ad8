"""Messages of a person reach real agents while they work, with the stub model API."""

import json
from pathlib import Path
from uuid import uuid4

import pytest

from orchestrator.api.client.errors import ConflictError
from tests.agents.model_api import Call, Script, Turn
from tests.agents.real.site import Answer, Site
from tests.integration.site import until

pytestmark = pytest.mark.real_tools
LOOPS = ("anthropic", "openai-compatible", "ollama")


#: Command that writes a file for each attempt, and ends when the test releases it.
HELD = (
    "n=$(ls *.begun 2>/dev/null | wc -l); touch $n.begun; until [ -e $n.go ]; do sleep 0.05; done"
)
WAITING = Turn("I begin.", (Call.shell(HELD),))


def only(site: Site, job: str) -> Answer:
    return site.only(site.client.job(job))


def place(site: Site, job: str, name: str) -> Path:
    """Return the file that a command created in the worker's directory."""
    directory = Path(only(site, job)["workspace"])
    found: list[Path] = until(lambda: list(directory.glob(f"**/{name}.begun")), f"{name} runs")
    return found[0]


def kinds(site: Site, job: str) -> list[str]:
    found = (str(each["kind"]) for each in site.client.events(job))
    return [each for each in found if each.startswith("worker_messag")]


@pytest.mark.parametrize("agent", ["claude"])
def test_claude_reads_a_message_with_the_next_result_of_a_tool(site: Site, agent: str) -> None:
    check_message(site, agent)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_loop_reads_a_message_with_the_next_result_of_a_tool(site: Site, loop: str) -> None:
    check_message(site, loop)


def check_message(site: Site, agent: str) -> None:
    text = f"Use tabs, please {uuid4()}"
    script = Script.of(WAITING, Turn("All done, with tabs."))
    begun = len(site.api.calls)
    job = site.submit(agent, f"{agent}-message", script)
    one = place(site, job, "0")

    sent = site.client.message(job, "worker_1", text)
    assert sent["delivery"] == "next_step"
    control = Path(only(site, job)["workspace"]).parents[1] / "attempts" / "worker_1.1"
    until(lambda: list(control.glob("message-*")), "the message is written")
    log = Path(only(site, job)["log"])
    if agent == "claude":
        until(lambda: text in log.read_text(), "the driver has passed it on")
    one.with_suffix(".go").touch()
    worker = site.only(site.wait(job))

    assert worker["status"] == "success", site.log(worker)
    assert worker["output"] == "All done, with tabs."
    with_text = [text in json.dumps(call.body) for call in site.api.calls[begun:]]
    assert with_text[0] is False and with_text[-1] is True, with_text
    (message,) = worker["messages"]
    assert (message["text"], message["attempt"]) == (text, 1)
    assert message["delivered_at"] >= message["at"]
    assert kinds(site, job) == ["worker_messaged", "worker_message_delivered"]
    assert f"> message from default: {text}" in site.log(worker)
    with pytest.raises(ConflictError) as refused:
        site.client.message(job, "worker_1", "too late")
    assert refused.value.slug == "cannot-message" and "has ended" in str(refused.value)


@pytest.mark.parametrize("agent", ["claude"])
def test_a_resumed_session_reads_a_message_and_the_earlier_one_only_once(
    site: Site, agent: str
) -> None:
    first, second = f"first {uuid4()}", f"second {uuid4()}"
    # The gate fails after the first attempt, and the next attempt gets the same script.
    gate = {"name": "second", "run": "test -e 1.begun"}
    begun = len(site.api.calls)
    job = site.submit(
        agent, "claude-messages", Script.of(WAITING, Turn("Ready.")), retries=1, gates=[gate]
    )
    one = place(site, job, "0")
    site.client.message(job, "worker_1", first)
    log = Path(only(site, job)["log"])
    until(lambda: first in log.read_text(), "the driver has passed it on")
    one.with_suffix(".go").touch()
    two = place(site, job, "1")
    site.client.message(job, "worker_1", second)
    until(lambda: second in log.read_text(), "the driver has passed it on")
    two.with_suffix(".go").touch()
    worker = site.only(site.wait(job))

    assert worker["status"] == "success", site.log(worker)
    assert [each["resumed"] for each in (one["session"] for one in worker["attempts"])] == [
        False,
        True,
    ]
    assert [each["attempt"] for each in worker["messages"]] == [1, 2]
    last = json.dumps(site.api.calls[-1].body)
    assert last.count(first) == 1 and last.count(second) == 1
    assert len(site.api.calls) - begun == 4
