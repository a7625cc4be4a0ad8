"""Creates the implementation of a containment mode, which starts, finds, and kills processes."""

from orchestrator.launchers.containment.subreaper import Subreaper
from orchestrator.launchers.process import worker_limits
from orchestrator.launchers.process.channel import Message


def containment_for(settings: Message) -> Subreaper:
    """Return the implementation of the settings' mode.

    ``settings``: the parsed JSON of ``ContainmentSettings.for_shims``. Only the modules of the mode
    are imported, because each shim has them in its memory.
    """
    mode = settings["mode"]
    if mode == "cgroup":
        from orchestrator.launchers.containment.cgroup import ControlGroups

        return ControlGroups(settings)
    if mode == "pidns":
        from orchestrator.launchers.containment.pid_namespace import Namespaces

        return Namespaces(settings)
    if mode == "sandbox":
        from orchestrator.launchers.containment.bubblewrap import Sandboxes

        return Sandboxes(settings)
    preexec = worker_limits.kernel_limit_setter(settings["limits"])
    if mode == "basic":
        from orchestrator.launchers.containment.basic_containment import ProcessGroups

        return ProcessGroups(preexec)
    return Subreaper(preexec)


def enforced_limits(settings: Message) -> list[str]:
    """Return the names of the limits that the containment enforces instead of the shim."""
    names = {"memory": "memory", "pids": "processes"}
    return [names[each] for each in settings["controllers"] if each in names]
