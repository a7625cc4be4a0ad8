"""Placement: the machine of a cluster on which a worker starts."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.model.job import TaskSpec
from orchestrator.core.model.machines import HERE, Machine
from orchestrator.core.scheduler.queue.placement import (
    MachineRequirements,
    NoMachine,
    choose,
    needs_server_files,
)
from orchestrator.core.text.command_name import COMMAND
from tests.unit.core.factories import a_config, a_worker


def a_machine(name: str = "n1", slots: int = 2, **changes: Any) -> Machine:
    return Machine(name=name, slots=slots, **changes)


CLAUDE = MachineRequirements(agent="claude")


def test_the_machine_with_the_largest_free_share_is_chosen() -> None:
    machines = [a_machine("small", 2), a_machine("large", 8)]
    assert choose(machines, {"small": 1, "large": 1}, CLAUDE) == "large"
    assert choose(machines, {"small": 0, "large": 1}, CLAUDE) == "small"
    assert choose(machines, {}, CLAUDE) == "large"


def test_a_machine_near_the_work_is_preferred_while_it_has_a_slot() -> None:
    machines = [a_machine("n1"), a_machine("n2"), a_machine("n3")]
    near = MachineRequirements(agent="claude", near=("n3", "n2"))
    assert choose(machines, {"n2": 1, "n3": 1}, near) == "n3"
    assert choose(machines, {"n2": 1, "n3": 2}, near) == "n2"
    assert choose(machines, {"n2": 2, "n3": 2}, near) == "n1"


def test_a_machine_without_the_agent_is_not_chosen() -> None:
    machines = [a_machine("n1", agents=frozenset({"shell"})), a_machine(HERE, 1)]
    assert choose(machines, {}, CLAUDE) == HERE
    found = choose(machines[:1], {}, CLAUDE)
    assert found == NoMachine("waiting for claude: no node has this agent", is_full=False)


def test_the_reason_names_what_a_machine_lacks_with_the_fix() -> None:
    lacks = {"claude": "command 'claude' not found; npm install x"}
    here = a_machine(HERE, lacks={"claude": "no credentials found; claude /login"})
    n1, n2 = (a_machine(name, agents=frozenset({"shell"}), lacks=lacks) for name in ("n1", "n2"))
    assert choose([here, n1], {}, MachineRequirements(agent="shell")) == HERE
    found = choose([here, n1, n2], {}, CLAUDE)
    assert found == NoMachine(
        "waiting for claude: no node has this agent; here: no credentials found; claude "
        "/login; n1, n2: command 'claude' not found; npm install x",
        is_full=False,
    )


def test_a_machine_with_too_little_memory_is_not_chosen() -> None:
    machines = [a_machine("n1", memory_bytes=99), a_machine("n2", memory_bytes=100)]
    assert choose(machines, {"n2": 1}, MachineRequirements(agent="a", memory_bytes=100)) == "n2"
    found = choose(machines, {}, MachineRequirements(agent="a", memory_bytes=101))
    assert isinstance(found, NoMachine)
    assert not found.is_full
    assert found.reason == "waiting for free slots and memory on a node with a: n1, n2"


def test_a_worker_that_needs_files_of_the_server_waits_for_a_machine_that_shares_them() -> None:
    reviewer = MachineRequirements(agent="claude", server_files=True)
    apart = a_machine("n1", 8, shares_files=False)
    assert choose([apart, a_machine("n2", 1)], {}, reviewer) == "n2"
    assert choose([apart], {}, CLAUDE) == "n1"
    found = choose([apart, a_machine(HERE, 0)], {}, reviewer)
    assert isinstance(found, NoMachine)
    assert not found.is_full
    assert found.reason.startswith(
        "waiting: this worker needs a node that shares the server's files"
    )


def test_labels_of_machines_that_do_not_share_the_files_are_named() -> None:
    far = a_machine("n1", labels={"gpu": "true"}, shares_files=False)
    found = choose(
        [a_machine(HERE), far],
        {},
        MachineRequirements(agent="a", labels=far.labels, server_files=True),
    )
    assert isinstance(found, NoMachine)
    assert found.reason == (
        "waiting: this worker needs a node that shares the server's files, and has gpu=true; set "
        f"labels with {COMMAND} nodes label NAME gpu=true"
    )


@pytest.mark.parametrize(
    ("task", "git", "expected"),
    [
        (TaskSpec(id="a", prompt="x"), "auto", True),
        (TaskSpec(id="a", prompt="x"), "off", False),
        (TaskSpec(id="a", prompt="x", git="off"), "auto", False),
        (TaskSpec(id="a", command="x"), "auto", False),
        (TaskSpec(id="a", command="x", git="on"), "auto", True),
        (TaskSpec(id="a", command="x"), "on", True),
    ],
)
def test_a_worktree_with_submodules_needs_files_of_the_server(
    task: TaskSpec, git: str, expected: bool
) -> None:
    worker = a_worker()
    assert needs_server_files(worker, task, a_config(git=git, has_submodules=True)) is expected
    assert not needs_server_files(worker, task, a_config(git=git))


def test_only_a_machine_with_all_required_labels_is_chosen() -> None:
    gpu, both = {"gpu": "true"}, {"gpu": "true", "zone": "a"}
    machines = [a_machine("n1", 9), a_machine("n2", 8, labels=gpu), a_machine("n3", labels=both)]
    assert choose(machines, {}, MachineRequirements(agent="a", labels=gpu)) == "n2"
    assert choose(machines, {}, MachineRequirements(agent="a", labels=both)) == "n3"
    found = choose(machines, {}, MachineRequirements(agent="a", labels={"gpu": "false"}))
    assert isinstance(found, NoMachine)
    assert not found.is_full
    assert found.reason == (
        f"waiting for a node with gpu=false: set labels with {COMMAND} nodes label NAME gpu=false"
    )


def test_only_the_named_machine_is_chosen() -> None:
    machines = [a_machine(HERE, 8), a_machine("n1", agents=frozenset({"shell"}))]
    assert choose(machines, {}, MachineRequirements(agent="shell", machine="n1")) == "n1"
    assert choose(machines, {}, MachineRequirements(agent="shell", machine=HERE)) == HERE
    lacking = choose(machines, {}, MachineRequirements(agent="claude", machine="n1"))
    assert lacking == NoMachine("waiting for node n1, which lacks agent claude", is_full=False)
    removed = choose(machines, {}, MachineRequirements(agent="shell", machine="n2"))
    again = "add it again: bin/orchestrator nodes add n2"
    assert removed == NoMachine(f"waiting for node n2, which was removed; {again}", is_full=False)


def test_a_worker_whose_machines_are_unavailable_waits_for_them_by_name() -> None:
    away = a_machine("n2", labels={"gpu": "true"}, takes_workers=False)
    small = a_machine("n3", labels={"gpu": "true"}, memory_bytes=1)
    gpu = MachineRequirements(agent="a", labels={"gpu": "true"}, memory_bytes=2)

    found = choose([a_machine("n1"), away], {}, gpu)
    assert found == NoMachine("waiting for a node with a; unavailable nodes: n2", is_full=False)
    found = choose([a_machine("n1"), away, small], {}, gpu)
    reason = "waiting for free slots and memory on a node with a: n3; unavailable nodes: n2"
    assert found == NoMachine(reason, is_full=False)


def test_a_cluster_without_a_free_slot_is_full() -> None:
    machines = [a_machine(HERE, 0), a_machine("n1", 2), a_machine("n2", 4, takes_workers=False)]
    found = choose(machines, {"n1": 2}, CLAUDE)
    assert isinstance(found, NoMachine)
    assert found.is_full
    assert found.reason == "waiting for a node: all 2 slots are in use; unavailable nodes: n2"
    away = choose([a_machine("n2", takes_workers=False)], {}, CLAUDE)
    assert away == NoMachine("waiting for a node; unavailable nodes: n2", is_full=True)


NAMES = st.sampled_from(["", "n1", "n2", "n3"])
AGENTS = st.sampled_from(["shell", "claude", "codex"])
MACHINES = st.lists(
    st.builds(
        Machine,
        name=NAMES,
        slots=st.integers(0, 3),
        agents=st.none() | st.frozensets(AGENTS),
        memory_bytes=st.none() | st.integers(0, 200),
        takes_workers=st.booleans(),
    ),
    max_size=4,
    unique_by=lambda each: each.name,
)
WANTS = st.builds(
    MachineRequirements,
    agent=AGENTS,
    memory_bytes=st.integers(0, 200),
    near=st.lists(NAMES, max_size=2),
)


@given(MACHINES, st.lists(WANTS, max_size=12))
def test_no_machine_gets_more_than_its_capacity(
    machines: list[Machine], requests: list[MachineRequirements]
) -> None:
    running: Counter[str] = Counter()
    by_name = {each.name: each for each in machines}
    for requirements in requests:
        found = choose(machines, running, requirements)
        able = [
            each
            for each in machines
            if each.takes_workers
            and running[each.name] < each.slots
            and (each.agents is None or requirements.agent in each.agents)
            and (each.memory_bytes is None or each.memory_bytes >= requirements.memory_bytes)
        ]
        if isinstance(found, NoMachine):
            assert not able, "a worker waits only if no machine can run it"
            free = any(each.takes_workers and running[each.name] < each.slots for each in machines)
            assert found.is_full != free
        else:
            assert by_name[found] in able
            running[found] += 1
