"""Stories of workers on several machines."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from orchestrator.core.events import EventKind
from orchestrator.core.model.attempt.attempt_result import ErrorClass, Evidence
from orchestrator.core.model.job import WorkerKey
from orchestrator.core.model.machines import HERE, Machine
from orchestrator.core.model.scheduler_commands import Start
from orchestrator.core.model.states import JobStatus, WaitKind, WorkerStatus
from orchestrator.core.ports.credentials import KNOWN_SECONDS
from orchestrator.core.scheduler.transitions.running_workers.worker_start import PLACEMENT_SECONDS
from tests.unit.core.factories import EXIT_1, LOST, a_task
from tests.unit.core.story import Story

N1, N2 = Machine(name="n1", slots=1), Machine(name="n2", slots=1)
NOWHERE = Machine(name=HERE, slots=0)


def a_story(*machines: Machine, memory: Callable[[str], int] = lambda agent: 0) -> Story:
    story = Story()
    story.machines, story.memory_needed = machines, memory
    return story


def nodes(story: Story) -> dict[WorkerKey, str]:
    """Return the machine of the latest attempt of each worker."""
    return {each.key: each.node for each in story.commands if isinstance(each, Start)}


def test_without_a_cluster_all_workers_start_on_the_server() -> None:
    story = Story()
    root = story.root(a_task("a"))
    assert nodes(story) == {story.key(root): HERE}
    events = story.store.events[root.id]
    [started] = [each for each in events if each.kind is EventKind.WORKER_STARTED]
    assert "node" not in started.data


def test_workers_are_spread_and_the_machine_is_stored_with_the_start() -> None:
    story = a_story(NOWHERE, N1, N2)
    root = story.root(a_task("a"), a_task("b"), max_workers=9)
    first, second = story.keys(root)
    assert sorted(nodes(story).values()) == ["n1", "n2"]
    assert {each.node for each in story.crash()} == {"n1", "n2"}
    assert nodes(story)[first] != nodes(story)[second]


def test_a_full_cluster_holds_workers_back_until_a_slot_is_free() -> None:
    story = a_story(NOWHERE, N1)
    root = story.root(a_task("a"), a_task("b"), max_workers=9)
    first, second = story.keys(root)
    assert story.running == [first]
    held = story.worker(second)
    assert held.waiting_for is not None
    assert held.waiting_for.kind is WaitKind.NODE
    assert held.reason == "waiting for a node: all 1 slots are in use"
    story.ends(first)
    assert story.running == [second]


def test_a_worker_that_no_machine_can_take_lets_others_start() -> None:
    shells = Machine(name="n1", slots=2, agents=frozenset({"shell"}))
    story = a_story(NOWHERE, shells)
    agents: dict[str, Any] = {"agents": ("claude",)}
    root = story.root(a_task("a", **agents), a_task("b"), max_workers=9)
    other, able = story.keys(root)
    assert story.running == [able]
    assert story.worker(other).reason == "waiting for claude: no node has this agent"
    story.machines = (NOWHERE, Machine(name="n1", slots=2))
    story.later(PLACEMENT_SECONDS)
    assert story.running == [other, able] or story.running == [able, other]


def test_the_next_attempt_prefers_the_machine_of_the_worktree() -> None:
    story = a_story(NOWHERE, N1, Machine(name="n2", slots=8))
    root = story.root(a_task("a"), max_retries=1)
    [key] = story.keys(root)
    first = nodes(story)[key]
    story.ends(key, LOST)
    story.later(5)
    assert (nodes(story)[key], story.worker(key).attempt) == (first, 2)


def test_a_worker_starts_near_its_dependencies() -> None:
    story = a_story(NOWHERE, N1, Machine(name="n2", slots=1))
    root = story.root(a_task("a"), a_task("b"), a_task("c", "b"), max_workers=9)
    first, second, third = story.keys(root)
    near = nodes(story)[second]
    story.ends(first)
    story.ends(second)
    assert nodes(story)[third] == near


def test_a_waiting_parent_releases_its_slot_on_its_machine() -> None:
    story = a_story(NOWHERE, N1)
    parent = story.key(story.root())
    child = story.key(story.child(parent))
    assert story.running == [child]
    assert nodes(story)[child] == "n1"
    story.run_to_end()
    assert story.job_status(story.job(parent.root_id)) is JobStatus.COMPLETED


def test_after_a_restart_the_slots_of_machines_are_still_taken() -> None:
    story = a_story(NOWHERE, N1)
    root = story.root(a_task("a"), a_task("b"), max_workers=9)
    first, second = story.keys(root)
    story.crash()
    story.turn()
    assert story.running == [first]
    story.ends(first)
    assert story.running == [second]


def test_the_memory_of_new_workers_counts_at_once_on_their_machine() -> None:
    small = Machine(name="n1", slots=4, memory_bytes=150)
    story = a_story(NOWHERE, small, memory=lambda agent: 100)
    root = story.root(a_task("a"), a_task("b"), max_workers=9)
    first, second = story.keys(root)
    assert story.running == [first]
    story.later(6)
    assert story.running == [first, second]


def test_the_memory_of_the_server_does_not_hold_back_workers_of_nodes() -> None:
    story = a_story(NOWHERE, N1, N2)
    story.admit = False
    root = story.root(a_task("a"), a_task("b"), max_workers=9)
    assert len(story.running) == 2
    assert story.job_status(root) is JobStatus.RUNNING


REFUSED = Evidence(error_class=ErrorClass.AUTH, error="invalid x-api-key")


def test_a_login_that_fails_on_one_machine_moves_its_workers_to_others() -> None:
    story = a_story(NOWHERE, N1, N2)
    root = story.root(a_task("a"), a_task("b"), max_workers=9, max_retries=0)
    first, second = story.keys(root)
    bad, good = nodes(story)[first], nodes(story)[second]
    story.ends(first, EXIT_1, REFUSED)
    assert story.running == [second]
    [retrying] = [e for e in story.store.events[root.id] if e.kind is EventKind.WORKER_RETRYING]
    assert retrying.data["reason"] == "the agent's login failed: invalid x-api-key"
    assert story.scheduler.view.logins_refused(story.now) == {}
    story.ends(second)
    story.later(PLACEMENT_SECONDS)
    assert (nodes(story)[first], bad) == (good, {"n1": "n2", "n2": "n1"}[good])
    story.ends(first)
    assert story.job_status(root) is JobStatus.COMPLETED
    assert story.worker(first).attempt == 2


def test_a_login_that_fails_on_all_machines_fails_the_workers() -> None:
    story = a_story(NOWHERE, N1, N2)
    root = story.root(a_task("a"), max_workers=9)
    [key] = story.keys(root)
    story.ends(key, EXIT_1, REFUSED)
    story.ends(key, EXIT_1, REFUSED)
    assert (story.job_status(root), story.worker(key).attempt) == (JobStatus.FAILED, 2)
    assert story.scheduler.view.logins_refused(story.now)


def test_a_login_that_fails_on_the_only_machine_fails_the_worker_at_once() -> None:
    story = a_story(NOWHERE, N1, replace(N2, agents=frozenset()))
    [key] = story.keys(story.root(a_task("a"), max_workers=9))
    story.ends(key, EXIT_1, REFUSED)
    assert (story.worker(key).status, story.worker(key).attempt) == (WorkerStatus.FAILED, 1)
    named = story.root(a_task("b", node="n1"), max_workers=9)
    story.machines = (NOWHERE, N1, N2)
    story.later(KNOWN_SECONDS)
    [key] = story.keys(named)
    story.ends(key, EXIT_1, REFUSED)
    assert (story.worker(key).status, story.worker(key).attempt) == (WorkerStatus.FAILED, 1)


def test_a_new_login_or_time_makes_a_machine_take_workers_again() -> None:
    for change in ("login", "time"):
        logins = {"shell": "old"}
        story = a_story(NOWHERE, replace(N1, logins=logins), replace(N2, slots=1))
        first = story.key(story.root(a_task("a"), max_workers=9))
        second = story.key(story.root(a_task("a"), max_workers=9))
        first, second = sorted((first, second), key=lambda key: nodes(story)[key])
        agent = story.worker(first).agent
        story.machines = (NOWHERE, replace(N1, logins={agent: "old"}), N2)
        story.turn()
        story.ends(first, EXIT_1, REFUSED)
        story.later(PLACEMENT_SECONDS)
        assert story.running == [second]
        if change == "login":
            story.machines = (NOWHERE, replace(N1, logins={agent: "new"}), N2)
        story.later(PLACEMENT_SECONDS if change == "login" else KNOWN_SECONDS)
        assert nodes(story)[first] == "n1"
        assert set(story.running) == {first, second}
