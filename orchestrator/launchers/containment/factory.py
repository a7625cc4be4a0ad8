"""Creates the process family of a containment mode."""

from orchestrator.launchers.containment.subreaper import Subreaper
from orchestrator.launchers.process import rlimits
from orchestrator.launchers.process.channel import Message


def family_for(plan: Message) -> Subreaper:
    """Return the process family for a shim.

    The family starts, finds, and kills a worker's processes. ``plan``: the text of
    ``ContainmentPlan.for_shims``. Imports only the modules of the plan's mode.
    """
    mode = plan["mode"]
    if mode == "cgroup":
        from orchestrator.launchers.containment.cgroup import ControlGroups

        return ControlGroups(plan)
    if mode == "pidns":
        from orchestrator.launchers.containment.pid_namespace import Namespaces

        return Namespaces(plan)
    if mode == "sandbox":
        from orchestrator.launchers.containment.bubblewrap import Sandboxes

        return Sandboxes(plan)
    enter = rlimits.entry(plan["limits"])
    if mode == "basic":
        from orchestrator.launchers.containment.process_group import ProcessGroups

        return ProcessGroups(enter)
    return Subreaper(enter)


def held_by_family(plan: Message) -> list[str]:
    """Return the limits that the family enforces. The shim need not check them."""
    names = {"memory": "memory", "pids": "processes"}
    return [names[each] for each in plan["controllers"] if each in names]
