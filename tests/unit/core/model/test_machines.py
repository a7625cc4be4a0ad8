"""Machines: tasks that no machine can run, and texts about what machines lack."""

from typing import Any

import pytest

from orchestrator.core.errors import InvalidRequest
from orchestrator.core.model.job import TaskSpec
from orchestrator.core.model.machines import HERE, Machine, check_machines, hindrance


def a_machine(name: str = "n1", **changes: Any) -> Machine:
    return Machine(name=name, slots=2, **changes)


def test_few_reasons_and_names_are_in_a_text() -> None:
    same = [a_machine(f"n{n}", lacks={"a": "same"}) for n in range(9)]
    assert hindrance(same, "a") == "n0, n1, n2, n3, 5 more: same"
    different = [a_machine(f"n{n}", lacks={"a": f"why {n}"}) for n in range(5)]
    assert hindrance(different, "a") == "n0: why 0; n1: why 1; n2: why 2; 2 more nodes"
    assert hindrance(different[:4], "a") == "n0: why 0; n1: why 1; n2: why 2; 1 more node"
    assert hindrance(different, "b") == ""


def test_a_task_for_a_machine_without_its_agent_is_refused() -> None:
    n1 = a_machine(
        agents=frozenset({"shell"}), lacks={"claude": "command 'claude' not found; npm install x"}
    )
    named = TaskSpec(id="a", node="n1")
    check_machines(named, [a_machine(HERE), n1], is_cluster=True, agents=["shell"])
    with pytest.raises(InvalidRequest, match="'claude' is not available on n1: command 'claude'"):
        check_machines(named, [a_machine(HERE), n1], is_cluster=True, agents=["shell", "claude"])


def test_a_task_that_no_machine_can_ever_run_is_refused() -> None:
    machines = [a_machine(HERE), a_machine("n1", labels={"gpu": "true"})]
    for fine in ({"node": "n1"}, {"node": "here"}, {"requires": {"gpu": "true"}}, {}):
        check_machines(TaskSpec(id="a", **fine), machines, is_cluster=True)
    with pytest.raises(InvalidRequest, match="task a: unknown node 'n2'; known: here, n1"):
        check_machines(TaskSpec(id="a", node="n2"), machines, is_cluster=True)
    later = TaskSpec(id="a", requires={"zone": "b"})
    check_machines(later, machines, is_cluster=True)
    with pytest.raises(InvalidRequest, match="task a: this machine lacks zone=b; set cluster"):
        check_machines(later, machines[:1], is_cluster=False)
    check_machines(later, [a_machine(HERE, labels={"zone": "b"})], is_cluster=False)
