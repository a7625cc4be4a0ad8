"""Finds leftover processes of workers, and the command that kills the processes."""

from pathlib import Path

from orchestrator.cli.doctor.check import HealthCheck

#: Maximum number of processes to name; the command ends all of them.
_MOST_NAMED = 5


def leftover_message(workspace: Path, root_id: str | None = None) -> tuple[str, str] | None:
    """Return a message about leftover processes, and the command that kills the processes.

    Return None if there is no leftover process. With ``root_id``, only processes of this root job
    count.
    """
    # Imported here, because --help does not need this module.
    from orchestrator.cli.doctor.leftover_process_search import find_leftover_processes

    processes = [
        each for each in find_leftover_processes(workspace) if root_id in (None, each.root_id)
    ]
    if not processes:
        return None
    descriptions = [
        f"process {each.pid} ({each.command}) of {each.worker_id} of job {each.root_id}"
        for each in processes[:_MOST_NAMED]
    ]
    if len(processes) > _MOST_NAMED:
        descriptions.append(f"{len(processes) - _MOST_NAMED} more")
    message = f"still running after the end of the attempt: {', '.join(descriptions)}"
    return message, " ".join(["kill -9", *(str(each.pid) for each in processes)])


def leftover_check(workspace: Path) -> HealthCheck:
    leftovers = leftover_message(workspace)
    if leftovers is None:
        return HealthCheck(name="leftover processes", ok=True, message="none")
    message, command = leftovers
    return HealthCheck(name="leftover processes", ok=False, message=message, fix=command)
