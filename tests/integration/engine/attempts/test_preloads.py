"""Jobs of short tasks, whose launches are preloaded, in a real server."""

import os
from collections import Counter
from pathlib import Path

import pytest

from orchestrator.core.events import EventKind
from orchestrator.core.ports import StateChange
from orchestrator.core.scheduler.transitions.running_workers import preloaded_launches
from orchestrator.engine.supervisor import supervisor
from orchestrator.launchers.local import shim_pool
from tests.integration.conftest import MakeSite
from tests.integration.site import (
    HANG_SECONDS,
    Answer,
    InProcess,
    complete_lines,
    shell,
    until,
    worker_processes,
)

#: Number of short tasks before the task that waits, enough for preloaded launches.
SHORT = 8


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Treat every task as short, so that launches wait behind a running task."""
    monkeypatch.setattr(preloaded_launches, "SHORT_SECONDS", HANG_SECONDS)
    monkeypatch.setattr(shim_pool, "PRELOAD_SECONDS", HANG_SECONDS)


def waiting(release: Path) -> list[str]:
    return ["sh", "-c", f"until [ -e {release} ]; do sleep 0.02; done"]


def a_job(effects: Path, release: Path, count: int) -> list[Answer]:
    """Return short tasks, one of which waits for a file."""
    note = ["sh", "-c", f"echo $ORCHESTRATOR_WORKER_ID >> {effects}"]
    tasks = [shell(note) for _ in range(count)]
    tasks[SHORT] = shell(waiting(release))
    return tasks


def preloaded(site: InProcess, job: str) -> list[str]:
    """Wait until shims have preloaded launches, and return their workers."""
    trees = site.manager.parts.scheduler._trees
    blocked = f"worker_{SHORT + 1}"
    return list(
        until(
            lambda: (
                statuses(site, job)[blocked] == "running"
                and [key.worker_id for key in dict(trees.preloaded)]
            ),
            "launches are preloaded",
        )
    )


def statuses(site: InProcess, job: str) -> dict[str, str]:
    return {each["worker_id"]: each["status"] for each in site.get(f"/jobs/{job}")["workers"]}


def test_no_task_waits_behind_a_long_one(make_site: MakeSite, tmp_path: Path) -> None:
    site, effects, release = make_site(), tmp_path / "effects", tmp_path / "release"
    job = site.submit("one is long", a_job(effects, release, 60), max_workers=2)

    until(lambda: len(complete_lines(effects)) == 59, "all others have run beside it")
    release.touch()

    assert site.wait(job)["status"] == "completed"
    assert set(Counter(complete_lines(effects)).values()) == {1}
    attempts = [len(each["attempts"]) for each in site.get(f"/jobs/{job}")["workers"]]
    assert set(attempts) == {1}, "a returned launch is no attempt"


def test_a_cancel_leaves_no_preloaded_launch(
    make_site: MakeSite, tmp_path: Path, slow: None
) -> None:
    site, effects, release = make_site(), tmp_path / "effects", tmp_path / "release"
    job = site.submit("cancelled", a_job(effects, release, 60), max_workers=1)
    preloaded_workers = preloaded(site, job)
    assert {statuses(site, job)[each] for each in preloaded_workers} == {"pending"}

    site.call("POST", f"/jobs/{job}/cancel")
    ended = site.wait(job)

    assert ended["status"] in ("cancelled", "partial")
    found = statuses(site, job)
    assert {found[each] for each in preloaded_workers} == {"cancelled"}
    assert len(complete_lines(effects)) == SHORT, "none of them ran"
    assert not worker_processes(job)
    assert not list((site.directory(job) / "attempts").glob("*.run"))


def test_a_pause_withdraws_preloaded_launches(
    make_site: MakeSite, tmp_path: Path, slow: None
) -> None:
    site, effects, release = make_site(), tmp_path / "effects", tmp_path / "release"
    job = site.submit("paused", a_job(effects, release, 40), max_workers=1)
    preloaded(site, job)

    site.call("POST", f"/jobs/{job}/pause", {})
    release.touch()
    until(lambda: statuses(site, job)[f"worker_{SHORT + 1}"] == "success", "it may finish")
    assert len(complete_lines(effects)) == SHORT, "no worker begins during a pause"
    site.call("POST", f"/jobs/{job}/resume", {})

    assert site.wait(job)["status"] == "completed"
    order = [int(each.removeprefix("worker_")) for each in complete_lines(effects)]
    assert order == sorted(order) and len(order) == 39, "each task runs once, in order"


def test_another_job_does_not_wait_for_preloaded_launches(
    make_site: MakeSite, tmp_path: Path, slow: None
) -> None:
    site, effects, release = make_site(), tmp_path / "effects", tmp_path / "release"
    site.submit("first", a_job(effects, release, 60), max_workers=2)
    until(lambda: len(complete_lines(effects)) >= SHORT, "the first tasks have run")

    other = site.run("second", [shell(["true"]) for _ in range(3)], max_workers=2)

    assert other["status"] == "completed"
    release.touch()


def test_a_preloaded_worker_may_call_at_once(
    make_site: MakeSite, tmp_path: Path, slow: None
) -> None:
    site = make_site()
    tasks = [shell(["true"]) for _ in range(40)]
    spawn = "orchestrator spawn child --tasks child.json --wait"
    child = """printf '[{"agent": "shell", "command": "true"}]' > child.json"""
    tasks[SHORT + 4] = shell(["bash", "-c", f"{child}; {spawn}"])

    job = site.submit("one asks for a child job", tasks, max_workers=1)
    assert site.wait(job)["status"] == "completed"

    assert statuses(site, job)[f"worker_{SHORT + 5}"] == "recursive_success"


def test_times_and_events_are_those_of_the_shim(make_site: MakeSite) -> None:
    site, slots = make_site(), 2
    job = site.submit("many", [shell(["true"]) for _ in range(80)], max_workers=slots)
    site.wait(job)

    workers = site.get(f"/jobs/{job}")["workers"]
    edges = sorted(
        [(each["ended_at"], -1) for each in workers] + [(each["started_at"], 1) for each in workers]
    )
    running = 0
    for _, step in edges:
        running += step
        assert running <= slots, "never more workers than slots"
    assert os.path.exists(site.directory(job) / "FINAL_RESULT.md")


def test_one_transaction_stores_the_ends_of_several_workers(
    make_site: MakeSite, slow: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "GATHER_SECONDS", 0.2)
    site, ends = make_site(), list[int]()
    save = site.manager.parts.store.save

    def counted(change: StateChange) -> None:
        save(change)
        ends.append(sum(each.kind is EventKind.WORKER_ENDED for each in change.events))

    monkeypatch.setattr(site.manager.parts.store, "save", counted)
    job = site.submit("many", [shell(["true"]) for _ in range(60)], max_workers=1)

    assert site.wait(job)["status"] == "completed"
    assert sum(ends) == 60
    assert max(ends) > 1
