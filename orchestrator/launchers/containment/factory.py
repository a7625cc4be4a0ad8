"""Creates the object that starts, finds, and kills the processes of a shim's workers."""

from orchestrator.launchers.containment.subreaper import Subreaper
from orchestrator.launchers.process import worker_limits
from orchestrator.launchers.process.channel import Message


def containment_for(plan: Message) -> Subreaper:
    """Return the containment for a shim. ``plan`` is parsed from ``ContainmentPlan.for_shims``.

    Imports only the modules of the plan's mode.
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
    preexec = worker_limits.kernel_limit_setter(plan["limits"])
    if mode == "basic":
        from orchestrator.launchers.containment.basic_containment import ProcessGroups

        return ProcessGroups(preexec)
    return Subreaper(preexec)


def enforced_limits(plan: Message) -> list[str]:
    """Return the names of the limits that the containment enforces instead of the shim."""
    names = {"memory": "memory", "pids": "processes"}
    return [names[each] for each in plan["controllers"] if each in names]
