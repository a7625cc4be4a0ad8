"""Locks end to end: the real command in real workers, with a real server."""

import os
import signal
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from tests.integration.conftest import MakeServer, MakeSite
from tests.integration.site import HOLD, KEY, InProcess, shell, until

pytestmark = pytest.mark.usefixtures("spawning")


def test_claims_keep_workers_apart(make_site: MakeSite, tmp_path: Path) -> None:
    site, log = make_site(), tmp_path / "log"
    note = f"echo in >> {log}; sleep 0.1; echo out >> {log}"

    ended = site.run("apart", [shell(note, locks=["src/api/"]) for _ in range(4)])

    assert ended["status"] == "completed"
    assert log.read_text().split() == ["in", "out"] * 4


@pytest.mark.nightly
def test_contending_workers_hold_a_lock_one_after_the_other(
    make_site: MakeSite, tmp_path: Path
) -> None:
    site, log = make_site(), tmp_path / "log"
    once = f"n=$(orchestrator lock db --wait 60) && echo in $n >> {log} && echo out $n >> {log}"
    command = f"{once} && orchestrator unlock db && {once}"

    ended = site.run("contend", [shell(command) for _ in range(8)])

    assert ended["status"] == "completed", ended
    words = log.read_text().split()
    numbers = [int(word) for word in words[1::2]]
    assert words[::2] == ["in", "out"] * 16
    assert numbers == sorted(numbers), "fencing numbers must increase"
    assert len(set(numbers)) == 16


def test_a_lease_is_rejected_shown_checked_and_released(make_site: MakeSite) -> None:
    site = make_site()
    holds = "n=$(orchestrator lock src/ port:8080 | head -n 1); orchestrator lock --check $n src; "
    job = site.submit("hold", [shell(holds + f"echo checked $? && {HOLD}"), shell(HOLD)])
    until(lambda: "checked 0" in site.log(job, "worker_1"), "it holds")
    mine, other = site.key_of(job), site.key_of(job, "worker_2")

    refused = site.call("POST", "/locks", {"names": ["src/api/x"]}, key=other)
    assert refused.status_code == 409
    assert refused.json()["type"] == "locked"
    assert f"held by worker_1 (job {job})" in refused.json()["detail"]

    stranger = site.call("DELETE", "/locks", {"names": ["src"]}, key=other)
    assert (stranger.status_code, stranger.json()["type"]) == (404, "not-found")

    listed = site.get("/locks")["locks"]
    assert [(each["names"], each["worker_id"]) for each in listed] == [
        (["port:8080"], "worker_1"),
        (["src"], "worker_1"),
    ]
    assert site.get("/locks", key=other)["locks"] == []
    [holder] = [each for each in site.get(f"/jobs/{job}")["workers"] if each["locks"]]
    assert {each["name"] for each in holder["locks"]} == {"src", "port:8080"}

    number = site.get("/locks/src")["number"]
    assert number == site.get("/locks/src", key=other)["number"]
    again = site.call("POST", "/locks", {"names": ["./src/"]}, key=mine).json()
    assert again["leases"][0]["number"] == number

    broken = site.call("DELETE", "/locks", {"names": ["src"]}, key=KEY)
    assert broken.json() == {"names": ["src"]}
    assert site.get("/locks/src") == {"name": "src", "held": False, "leases": []}
    kinds = [event.kind for event in site.manager.parts.store.events(job, 0, 1000)]
    assert kinds.count("lock_taken") == kinds.count("lock_released") == 1


def test_a_deadlock_is_rejected_with_its_cycle(make_site: MakeSite) -> None:
    site = make_site()
    job = site.submit("two", [shell(HOLD), shell(HOLD)])
    until(
        lambda: len(site.manager.parts.supervisor.view.slots()) and _running(site, job) == 2,
        "both run",
    )
    one, two = site.key_of(job), site.key_of(job, "worker_2")
    site.call("POST", "/locks", {"names": ["a"]}, key=one)
    site.call("POST", "/locks", {"names": ["b"]}, key=two)
    waiting = subprocess.Popen(
        ["bin/orchestrator", "lock", "b", "--wait", "30"],
        env={"PATH": os.environ["PATH"], **_environment(site, one)},
        stdout=subprocess.PIPE,
        text=True,
    )
    until(lambda: any(each["waits"] for each in site.get("/locks")["locks"]), "one waits")

    refused = site.call("POST", "/locks", {"names": ["a"], "wait": 30}, key=two)

    assert refused.json()["type"] == "deadlock"
    assert refused.json()["detail"] == (
        f"deadlock: worker_2 (job {job}) needs a, held by worker_1 (job {job}); "
        f"worker_1 (job {job}) needs b, held by worker_2 (job {job}); "
        "release one lock, or acquire locks in another order"
    )
    site.call("DELETE", "/locks", {"names": ["b"]}, key=two)
    output, _ = waiting.communicate(timeout=20)
    assert output.strip().isdigit()


def test_a_wait_ends_with_its_time_and_with_its_caller(make_site: MakeSite) -> None:
    site = make_site()
    job = site.submit("two", [shell(HOLD), shell(HOLD)])
    until(lambda: _running(site, job) == 2, "both run")
    one, two = site.key_of(job), site.key_of(job, "worker_2")
    site.call("POST", "/locks", {"names": ["a"]}, key=one)
    environment = {"PATH": os.environ["PATH"], **_environment(site, two)}

    over = subprocess.run(
        ["bin/orchestrator", "lock", "a", "--wait", "0.2"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert over.returncode == 124
    assert "held by worker_1" in over.stderr

    gone = subprocess.Popen(["bin/orchestrator", "lock", "a", "--wait", "60"], env=environment)
    until(lambda: any(each["waits"] for each in site.get("/locks")["locks"]), "it waits")
    gone.kill()
    gone.wait()
    until(lambda: not any(each["waits"] for each in site.get("/locks")["locks"]), "it is dropped")


def test_a_worker_releases_its_slot_while_it_waits_for_a_lock(make_site: MakeSite) -> None:
    site = make_site(workers={"max_workers": 1})
    holder = (
        "orchestrator lock db && orchestrator spawn x --command 'sleep 1.5' --wait && "
        "orchestrator spawn y --command 'echo y' --wait"
    )
    job = site.submit("one slot", [shell(holder), shell("orchestrator lock db --wait 60")])

    ended = site.wait(job)

    assert ended["status"] == "completed", ended


@pytest.mark.slow
def test_leases_survive_the_server_and_end_with_a_killed_worker(
    make_server: MakeServer, tmp_path: Path
) -> None:
    server = make_server()
    waiter = (
        f"until [ -e {tmp_path}/pid ]; do sleep 0.02; done; "
        "orchestrator lock db --wait 60 > got && echo got $(cat got)"
    )
    holder = f"orchestrator lock db && echo $$ > {tmp_path}/pid && exec sleep 100"
    job = server.submit("hold", [shell(holder), shell(waiter)])
    until(lambda: (tmp_path / "pid").exists(), "it holds")
    before = server.get("/locks/db")["number"]
    until(lambda: server.get("/locks")["locks"][-1]["waits"], "the other waits")

    server.kill()
    server.start()

    assert server.get("/locks/db")["number"] == before
    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    ended = server.wait(job)
    rows = {row["worker_id"]: row for row in ended["results"]["tasks"]}
    assert rows["worker_2"]["status"] == "success"
    assert int(rows["worker_2"]["output"].split()[-1]) > before


def test_invalid_names_of_locks_are_rejected(make_site: MakeSite) -> None:
    site = make_site()
    job = site.submit("hold", [shell(HOLD)])
    until(lambda: _running(site, job) == 1, "it runs")
    key = site.key_of(job)

    bad = ["", "..", "/abs", "a\nb", "a\0b", "x" * 501, "a/../../b", 5, None]
    found = [site.call("POST", "/locks", {"names": [name]}, key=key) for name in bad]
    assert Counter(answer.status_code for answer in found) == {422: len(bad)}
    for name in ("🔒", "a b", "%2e%2e", "'; DROP TABLE leases; --", "_%", "SRC"):
        assert site.call("POST", "/locks", {"names": [name]}, key=key).status_code == 200, name
    assert site.call("POST", "/locks", {"names": ["x"]}, key=KEY).status_code == 403
    site.call("POST", f"/jobs/{job}/cancel", {})
    site.wait(job)
    assert site.call("POST", "/locks", {"names": ["x"]}, key=key).status_code == 401


def _running(site: InProcess, job: str) -> int:
    return sum(each["status"] == "running" for each in site.get(f"/jobs/{job}")["workers"])


def _environment(site: InProcess, key: str) -> dict[str, str]:
    return {"ORCHESTRATOR_API_URL": site.url, "ORCHESTRATOR_API_KEY": key}
