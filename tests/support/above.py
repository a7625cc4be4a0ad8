"""Finds the ancestor processes of workers: keepers, spawners, and shims."""

from orchestrator.system import process_table


def keepers(server: int) -> list[int]:
    """Return the pids of a server's keepers: the children that lead a session."""
    return [pid for pid in process_table.children(server) if _session(pid) == pid]


def spawner(keeper: int) -> int | None:
    """Return the pid of the keeper's spawner; None if it is not forked yet or was killed.

    If the spawner was killed, its shims are children of the keeper.
    """
    found = [pid for pid in process_table.children(keeper) if _session(pid) == keeper]
    return found[0] if found and process_table.start_ticks(found[0]) is not None else None


def shims(keeper: int) -> list[int]:
    """Return the pids of the busy and idle shims, even if the spawner was killed."""
    parents = {keeper, spawner(keeper) or keeper}
    children = (pid for parent in parents for pid in process_table.children(parent))
    return [pid for pid in children if _session(pid) == pid]


def _session(pid: int) -> int:
    process = process_table.look_up(pid)
    return process.session if process is not None else 0
